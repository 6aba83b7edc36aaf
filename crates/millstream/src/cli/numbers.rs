//! Numbers as people read them.

use std::time::Duration;

/// `1234567` as `1,234,567`.
pub(crate) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// A rate per second: one digit of fraction below ten.
pub(crate) fn rate(n: u64, over: Duration) -> String {
    let micros = over.as_micros().max(1);
    let tenths = u128::from(n) * 10_000_000 / micros;
    let tenths = u64::try_from(tenths).unwrap_or(u64::MAX);
    if tenths == 0 || tenths >= 100 {
        return grouped(tenths / 10);
    }
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// `75.25s` as `1m15s`; below ten seconds with a digit of fraction.
pub(crate) fn span(time: Duration) -> String {
    let s = time.as_secs();
    match s {
        0..10 => format!("{:.1}s", time.as_secs_f64()),
        10..60 => format!("{s}s"),
        60..3_600 => format!("{}m{:02}s", s / 60, s % 60),
        _ => format!("{}h{:02}m", s / 3_600, s / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(rate(15, Duration::from_secs(2)), "7.5");
        assert_eq!(rate(0, Duration::from_secs(2)), "0");
        assert_eq!(rate(1_500_000, Duration::from_millis(500)), "3,000,000");
        assert_eq!(rate(1, Duration::ZERO), "1,000,000");
        assert_eq!(span(Duration::from_millis(1_500)), "1.5s");
        assert_eq!(span(Duration::from_secs(75)), "1m15s");
        assert_eq!(span(Duration::from_secs(7_260)), "2h01m");
    }
}
