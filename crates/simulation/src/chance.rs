//! Random numbers that depend only on their seed and key, not on other draws.

use fastrand::Rng;

/// Returns random numbers for one purpose: the same seed and key give the same numbers. So leaving a step out of a
/// schedule does not change the others.
pub fn dice(seed: u64, key: &[u64]) -> Rng {
    let mut state = seed ^ 0x9e37_79b9_7f4a_7c15;
    for part in key {
        state = mixed(state ^ mixed(*part));
    }
    Rng::with_seed(state)
}

/// Returns one of these.
pub fn one_of<T: Copy>(dice: &mut Rng, these: &[T]) -> T {
    these[dice.usize(..these.len())]
}

/// Returns a number of microseconds of any magnitude between the two.
pub fn any_magnitude(dice: &mut Rng, least: i64, most: i64) -> i64 {
    let (least, most) = (least.max(1) as f64, most as f64);
    (least * (most / least).powf(dice.f64())) as i64
}

/// Applies the finaliser of SplitMix64.
fn mixed(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_and_key_give_the_same_numbers_and_others_do_not() {
        let drawn = |seed, key: &[u64]| dice(seed, key).u64(..);
        assert_eq!(drawn(1, &[2, 3]), drawn(1, &[2, 3]));
        assert_ne!(drawn(1, &[2, 3]), drawn(1, &[3, 2]));
        assert_ne!(drawn(1, &[2]), drawn(2, &[2]));
    }
}
