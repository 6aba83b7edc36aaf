//! Numbers and moments as JSON text, written straight into the row.

use millstream_core::Timestamp;

const POWERS: [f64; 10] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];
const WHOLE: [u64; 10] =
    [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000];
/// Beyond this, a float has no exact tenths of anything left to round to.
const EXACT: f64 = 9.0e15;
const US_PER_SECOND: i64 = 1_000_000;
const US_PER_DAY: i64 = 86_400 * US_PER_SECOND;
/// The last microsecond of the year 9999, the end of RFC 3339.
const LAST: i64 = 253_402_300_799_999_999;
/// The first moment of the year 0.
const FIRST: i64 = -62_167_219_200_000_000;

/// Writes a whole number.
pub(super) fn int(out: &mut Vec<u8>, n: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes());
}

/// Writes a number with so many digits after its point (at most 9).
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the value is below 9e15 and not negative"
)]
pub(super) fn float(out: &mut Vec<u8>, value: f64, decimals: u8) {
    let at = usize::from(decimals).min(POWERS.len() - 1);
    let (Some(power), Some(whole)) = (POWERS.get(at), WHOLE.get(at)) else { return };
    let scaled = (value.abs() * power).round();
    if scaled.is_nan() || scaled >= EXACT {
        // Options are finite, so this is only ever a very large number.
        let text = zmij::Buffer::new().format(value).to_owned();
        out.extend_from_slice(if value.is_finite() { text.as_bytes() } else { b"null" });
        return;
    }
    let scaled = scaled as u64;
    if value < 0.0 && scaled > 0 {
        out.push(b'-');
    }
    out.extend_from_slice(itoa::Buffer::new().format(scaled / whole).as_bytes());
    if at > 0 {
        out.push(b'.');
        digits(out, scaled % whole, at);
    }
}

/// Writes exactly `width` digits.
fn digits(out: &mut Vec<u8>, mut n: u64, width: usize) {
    let mut text = [b'0'; 16];
    for digit in text.iter_mut().take(width).rev() {
        *digit = b'0' + u8::try_from(n % 10).unwrap_or(0);
        n /= 10;
    }
    out.extend_from_slice(text.get(..width).unwrap_or_default());
}

/// Writes moments as RFC 3339, in quotes; remembers the day, which rarely changes.
pub(super) struct Moment {
    day: i64,
    date: Vec<u8>,
}

impl Moment {
    pub(super) fn new() -> Self {
        Self { day: i64::MIN, date: Vec::new() }
    }

    pub(super) fn write(&mut self, out: &mut Vec<u8>, at: Timestamp) {
        let us = at.0.clamp(FIRST, LAST);
        let day = us.div_euclid(US_PER_DAY);
        if day != self.day {
            self.day = day;
            self.date = date(day);
        }
        let in_day = us.rem_euclid(US_PER_DAY).unsigned_abs();
        let (seconds, fraction) = (in_day / 1_000_000, in_day % 1_000_000);
        out.extend_from_slice(&self.date);
        digits(out, seconds / 3600, 2);
        out.push(b':');
        digits(out, seconds / 60 % 60, 2);
        out.push(b':');
        digits(out, seconds % 60, 2);
        if fraction > 0 {
            out.push(b'.');
            digits(out, fraction, 6);
        }
        out.extend_from_slice(b"Z\"");
    }
}

/// `"2026-01-01T`, with the opening quote.
fn date(day: i64) -> Vec<u8> {
    let moment = chrono::DateTime::from_timestamp(day * 86_400, 0).unwrap_or_default();
    moment.format("\"%Y-%m-%dT").to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_are_rounded_to_their_digits() {
        for (value, decimals, wanted) in [
            (0.0, 3, "0.000"),
            (-0.0001, 3, "0.000"),
            (-1.0006, 3, "-1.001"),
            (12.5, 1, "12.5"),
            (0.999_999, 2, "1.00"),
            (7.4, 0, "7"),
            (1e300, 3, "1e+300"),
        ] {
            assert_eq!(text(|o| float(o, value, decimals)), wanted);
        }
        assert_eq!(text(|o| float(o, 0.123_456_789, 9)), "0.123456789");
        assert_eq!(text(|o| int(o, i64::MIN)), i64::MIN.to_string());
    }

    #[test]
    fn moments_are_what_chrono_writes() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut moment = Moment::new();
        for i in 0..2000 {
            let us =
                random.i64(FIRST..=LAST) / 1_000_000 * if i % 2 == 0 { 1_000_000 } else { 999_983 };
            let wanted = chrono::DateTime::from_timestamp_micros(us).unwrap();
            let seconds = us % 1_000_000 == 0;
            let form =
                if seconds { chrono::SecondsFormat::Secs } else { chrono::SecondsFormat::Micros };
            let wanted = format!("\"{}\"", wanted.to_rfc3339_opts(form, true));
            assert_eq!(text(|o| moment.write(o, Timestamp(us))), wanted);
        }
    }
}
