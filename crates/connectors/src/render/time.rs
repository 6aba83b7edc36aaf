//! Moments and dates as RFC 3339 writes them.

/// Microseconds of a day.
const DAY_US: i64 = 86_400_000_000;

/// Whether a moment lies within the years 0000 to 9999, which is all that RFC 3339 can say.
pub(crate) fn in_rfc3339_range(us: i64) -> bool {
    const FIRST: i64 = -719_528 * DAY_US;
    const END: i64 = 2_932_897 * DAY_US;
    (FIRST..END).contains(&us)
}

/// `2026-11-23T05:16:24.000000`, with `digits` digits of fraction (6, or 9 for nanoseconds).
pub(super) fn push_moment(
    out: &mut Vec<u8>,
    seconds: i64,
    fraction: u32,
    digits: usize,
    utc: bool,
) {
    push_date(out, seconds.div_euclid(86_400));
    out.push(b'T');
    push_time(out, seconds.rem_euclid(86_400), fraction, digits);
    if utc {
        out.push(b'Z');
    }
}

/// `05:16:24.000000`.
pub(super) fn push_time(out: &mut Vec<u8>, second_of_day: i64, fraction: u32, digits: usize) {
    push_digits(out, second_of_day / 3_600, 2);
    out.push(b':');
    push_digits(out, second_of_day / 60 % 60, 2);
    out.push(b':');
    push_digits(out, second_of_day % 60, 2);
    out.push(b'.');
    push_digits(out, i64::from(fraction), digits);
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
