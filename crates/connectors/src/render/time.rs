//! Moments and dates as RFC 3339 writes them.

use std::cell::Cell;

/// Microseconds of a day.
const DAY_US: i64 = 86_400_000_000;

/// Whether a moment lies within the years 0000 to 9999, which is all that RFC 3339 can say.
pub(crate) fn in_rfc3339_range(us: i64) -> bool {
    const FIRST: i64 = -719_528 * DAY_US;
    const END: i64 = 2_932_897 * DAY_US;
    (FIRST..END).contains(&us)
}

/// `2026-11-23T05:16:24.`, and which second since 1970 it is: neighbours in a column mostly share it.
#[derive(Debug, Default)]
pub(super) struct LastSecond(Cell<Option<(i64, [u8; 20])>>);

/// `2026-11-23T05:16:24.000000`, with `digits` digits of fraction (6, or 9 for nanoseconds).
pub(super) fn push_moment(
    out: &mut Vec<u8>,
    last: &LastSecond,
    second: i64,
    fraction: u32,
    digits: usize,
    utc: bool,
) {
    match last.0.get() {
        Some((same, text)) if same == second => out.extend_from_slice(&text),
        _ => {
            let from = out.len();
            push_date(out, second.div_euclid(86_400));
            out.push(b'T');
            push_second(out, second.rem_euclid(86_400));
            let text = out.get(from..).and_then(|text| text.try_into().ok());
            last.0.set(text.map(|text| (second, text)));
        }
    }
    push_fraction(out, fraction, digits);
    if utc {
        out.push(b'Z');
    }
}

/// `05:16:24.000000`.
pub(super) fn push_time(out: &mut Vec<u8>, second_of_day: i64, fraction: u32, digits: usize) {
    push_second(out, second_of_day);
    push_fraction(out, fraction, digits);
}

/// `05:16:24.`
fn push_second(out: &mut Vec<u8>, second_of_day: i64) {
    let second = u32::try_from(second_of_day).unwrap_or(0);
    let [h, m, s] = [second / 3_600, second / 60 % 60, second % 60].map(two);
    out.extend_from_slice(&[h[0], h[1], b':', m[0], m[1], b':', s[0], s[1], b'.']);
}

fn push_fraction(out: &mut Vec<u8>, fraction: u32, digits: usize) {
    if digits == 6 {
        let [a, b, c] = [fraction / 10_000, fraction / 100 % 100, fraction % 100].map(two);
        out.extend_from_slice(&[a[0], a[1], b[0], b[1], c[0], c[1]]);
    } else {
        push_digits(out, fraction.into(), digits);
    }
}

/// Two digits of a number below 100.
fn two(n: u32) -> [u8; 2] {
    let n = u8::try_from(n).unwrap_or(0);
    [b'0' + n / 10 % 10, b'0' + n % 10]
}

/// `2026-11-23`, counting days from 1970-01-01 in the Gregorian calendar without end.
pub(super) fn push_date(out: &mut Vec<u8>, days: i64) {
    // Years that begin in March have their leap day last; eras of 400 years have equal lengths.
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    if (0..=9_999).contains(&year) {
        push_digits(out, year, 4);
    } else {
        out.push(if year < 0 { b'-' } else { b'+' });
        push_digits(out, year.abs(), 6);
    }
    out.push(b'-');
    push_digits(out, month, 2);
    out.push(b'-');
    push_digits(out, day, 2);
}

/// `value` with leading zeros.
fn push_digits(out: &mut Vec<u8>, value: i64, digits: usize) {
    let at = out.len();
    out.resize(at + digits, b'0');
    let mut left = value;
    for digit in out.iter_mut().skip(at).rev() {
        // The remainder of a division by ten of what is not negative.
        *digit = b'0' + u8::try_from(left % 10).unwrap_or(0);
        left /= 10;
    }
}
