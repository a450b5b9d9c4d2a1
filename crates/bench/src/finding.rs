//! Results: samples, their median and range, and whether they meet a target.

use serde_json::{Value, json};

/// Repeated measurements of the same quantity.
#[derive(Debug, Clone)]
pub struct Samples(Vec<f64>);

impl Samples {
    pub fn new(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    pub fn median(&self) -> f64 {
        match self.0.len() {
            0 => f64::NAN,
            odd if odd % 2 == 1 => self.0[odd / 2],
            even => (self.0[even / 2 - 1] + self.0[even / 2]) / 2.0,
        }
    }

    pub fn least(&self) -> f64 {
        self.0.first().copied().unwrap_or(f64::NAN)
    }

    pub fn most(&self) -> f64 {
        self.0.last().copied().unwrap_or(f64::NAN)
    }

    /// Returns the value below which `percent` percent lie, by nearest rank.
    pub fn percentile(&self, percent: f64) -> f64 {
        let rank = (self.0.len() as f64 * percent / 100.0).ceil().max(1.0);
        self.0.get(rank as usize - 1).copied().unwrap_or(f64::NAN)
    }
}

/// One line of a finding.
#[derive(Debug, Clone)]
pub struct Figure {
    pub what: String,
    pub unit: &'static str,
    pub samples: Samples,
    /// The target's text, and whether the median meets it.
    pub target: Option<(String, bool)>,
}

impl Figure {
    pub fn new(what: impl Into<String>, unit: &'static str, values: Vec<f64>) -> Self {
        Self {
            what: what.into(),
            unit,
            samples: Samples::new(values),
            target: None,
        }
    }

    pub fn at_least(mut self, bound: f64) -> Self {
        self.target = Some((format!(">= {bound}"), self.samples.median() >= bound));
        self
    }

    pub fn at_most(mut self, bound: f64) -> Self {
        self.target = Some((format!("<= {bound}"), self.samples.median() <= bound));
        self
    }

    pub fn to_json(&self) -> Value {
        json!({
            "what": self.what,
            "unit": self.unit,
            "median": self.samples.median(),
            "min": self.samples.least(),
            "max": self.samples.most(),
            "samples": self.samples.0.len(),
            "target": self.target.as_ref().map(|(words, _)| words),
            "met": self.target.as_ref().map(|(_, met)| met),
        })
    }

    /// Returns a row of a Markdown table: what, median, least and most, unit, target.
    pub fn to_row(&self) -> String {
        let target = match &self.target {
            Some((words, true)) => format!("{words}: met"),
            Some((words, false)) => format!("{words}: **not met**"),
            None => String::new(),
        };
        let range = match self.samples.0.len() {
            0 | 1 => String::new(),
            _ => format!(
                "{} to {}",
                rounded(self.samples.least()),
                rounded(self.samples.most())
            ),
        };
        format!(
            "| {} | {} | {range} | {} | {target} |",
            self.what,
            rounded(self.samples.median()),
            self.unit
        )
    }
}

/// Returns ratios round by round, because both sides of a round saw the same machine.
pub fn ratios(ours: &[f64], others: &[f64]) -> Vec<f64> {
    ours.iter()
        .zip(others)
        .map(|(our, other)| our / other)
        .collect()
}

/// Rounds to three significant digits, without an exponent.
pub fn rounded(value: f64) -> String {
    if !value.is_finite() {
        return "-".to_owned();
    }
    let digits = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let (sign, whole) = whole
        .strip_prefix('-')
        .map_or(("", whole), |rest| ("-", rest));
    let grouped: Vec<&str> = whole
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| std::str::from_utf8(group).unwrap_or_default())
        .collect();
    let dot = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{}{dot}{fraction}", grouped.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_of_the_middle() {
        assert_eq!(Samples::new(vec![3.0, 1.0, 2.0]).median(), 2.0);
        assert_eq!(Samples::new(vec![4.0, 1.0]).median(), 2.5);
        assert!(Samples::new(vec![]).median().is_nan());
        let hundred = Samples::new((1..=100).map(f64::from).collect());
        assert_eq!(
            (hundred.percentile(50.0), hundred.percentile(99.0)),
            (50.0, 99.0)
        );
    }

    #[test]
    fn targets_go_by_the_median() {
        let figure = |bound| Figure::new("x", "ms", vec![1.0, 2.0, 9.0]).at_most(bound);
        assert!(figure(2.0).target.unwrap().1);
        assert!(!figure(1.9).target.unwrap().1);
    }

    #[test]
    fn numbers_are_rounded_for_people() {
        let texts = [0.12345, 1.2345, 12.345, 1_234.5, 1_234_567.0].map(rounded);
        assert_eq!(texts, ["0.123", "1.23", "12.3", "1,234", "1,234,567"]);
    }
}
