//! Many measurements summarized in one number.

/// Returns the value at a percentile of sorted values, by nearest rank.
pub fn at_rank<T: Copy + Default>(sorted: &[T], percent: usize) -> T {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

/// Returns how much y grows when x grows by 1: the slope of the least-squares line through the points (x, y).
pub fn slope(points: &[(f64, f64)]) -> f64 {
    let mean =
        |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / points.len() as f64;
    let (mean_x, mean_y) = (mean(|point| point.0), mean(|point| point.1));
    let (mut sum_xy, mut sum_xx) = (0.0, 0.0);
    for (x, y) in points {
        sum_xy += (x - mean_x) * (y - mean_y);
        sum_xx += (x - mean_x) * (x - mean_x);
    }
    if sum_xx == 0.0 { 0.0 } else { sum_xy / sum_xx }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let sorted: Vec<u64> = (1..=200).collect();
        assert_eq!((at_rank(&sorted, 50), at_rank(&sorted, 99)), (100, 198));
        assert_eq!((at_rank(&[5], 99), at_rank::<u64>(&[], 50)), (5, 0));
    }

    #[test]
    fn a_slope_is_that_of_the_line_among_the_points() {
        assert_eq!(slope(&[(0.0, 1.0), (1.0, 3.0), (2.0, 5.0)]), 2.0);
        assert_eq!(slope(&[(0.0, 0.0), (1.0, 4.0), (2.0, 0.0)]), 0.0);
        assert_eq!((slope(&[]), slope(&[(1.0, 7.0)])), (0.0, 0.0));
    }
}
