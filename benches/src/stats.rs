//! Medians, and numbers as text.

use std::time::Duration;

/// The median; the mean of the middle two where there are two.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// The median of durations, in seconds.
pub(crate) fn median_seconds<'a>(values: impl IntoIterator<Item = &'a Duration>) -> f64 {
    let seconds: Vec<f64> = values.into_iter().map(Duration::as_secs_f64).collect();
    median(&seconds)
}

/// Seconds as text.
pub(crate) fn seconds(value: f64) -> String {
    match value {
        v if v < 0.1 => format!("{:.1} ms", v * 1000.0),
        v if v < 1.0 => format!("{:.0} ms", v * 1000.0),
        v if v < 100.0 => format!("{v:.2} s"),
        v => format!("{v:.0} s"),
    }
}

/// A ratio less one, as a percentage with its sign.
pub(crate) fn percent_over(ratio: f64) -> String {
    format!("{:+.1} %", (ratio - 1.0) * 100.0)
}

/// Bytes as MiB.
pub(crate) fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < f64::EPSILON);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn texts() {
        assert_eq!(seconds(0.0123), "12.3 ms");
        assert_eq!(seconds(1.5), "1.50 s");
        assert_eq!(percent_over(1.034), "+3.4 %");
        assert_eq!(percent_over(0.9), "-10.0 %");
    }
}
