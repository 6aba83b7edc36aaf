//! Moments and days as text, to microseconds and days since 1970.

const DAY_S: i64 = 86_400;

/// Microseconds since 1970 in UTC of an RFC 3339 text, with any offset.
///
/// `T` may be `t` or a space and `Z` may be `z`, as RFC 3339 allows; without an offset it is no
/// moment. Digits beyond the microsecond are cut off; second 60 is the next minute's second 0.
pub(super) fn rfc3339(b: &[u8]) -> Option<i64> {
    let (head, rest) = b.split_first_chunk::<19>()?;
    let [y0, y1, y2, y3, _, m0, m1, _, d0, d1, t, h0, h1, c0, i0, i1, c1, s0, s1] = *head;
    let day = ymd([y0, y1, y2, y3, head[4], m0, m1, head[7], d0, d1])?;
    if !matches!(t, b'T' | b't' | b' ') || c0 != b':' || c1 != b':' {
        return None;
    }
    let (hour, minute, second) = (two(h0, h1)?, two(i0, i1)?, two(s0, s1)?);
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (micros, rest) = match rest {
        [b'.', digits @ ..] => fraction(digits)?,
        rest => (0, rest),
    };
    let offset = offset(rest)?;
    let seconds = day * DAY_S + hour * 3600 + minute * 60 + second - offset * 60;
    Some(seconds * 1_000_000 + micros)
}

/// Microseconds of the digits after the point, and what follows them.
#[inline]
fn fraction(b: &[u8]) -> Option<(i64, &[u8])> {
    let (mut micros, mut n) = (0i64, 0);
    while let Some(d) = b.get(n).map(|c| c.wrapping_sub(b'0')).filter(|d| *d < 10) {
        if n < 6 {
            micros = micros * 10 + i64::from(d);
        }
        n += 1;
    }
    for _ in n..6 {
        micros *= 10;
    }
    (n > 0).then_some((micros, b.get(n..)?))
}

/// Minutes east of Greenwich.
#[inline]
fn offset(b: &[u8]) -> Option<i64> {
    match *b {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), h0, h1, b':', m0, m1] => {
            let (hours, minutes) = (two(h0, h1)?, two(m0, m1)?);
            let all = hours * 60 + minutes;
            (hours < 24 && minutes < 60).then_some(if sign == b'-' { -all } else { all })
        }
        _ => None,
    }
}

/// Days since 1970 of `2026-11-23`.
pub(super) fn date(b: &[u8]) -> Option<i32> {
    let day = ymd(b.try_into().ok()?)?;
    i32::try_from(day).ok()
}

#[inline(always)]
fn two(a: u8, b: u8) -> Option<i64> {
    let (a, b) = (a.wrapping_sub(b'0'), b.wrapping_sub(b'0'));
    (a < 10 && b < 10).then(|| i64::from(a) * 10 + i64::from(b))
}

#[inline(always)]
fn ymd(b: [u8; 10]) -> Option<i64> {
    let [y0, y1, y2, y3, dash, m0, m1, dash2, d0, d1] = b;
    if dash != b'-' || dash2 != b'-' {
        return None;
    }
    let (year, month, day) = (two(y0, y1)? * 100 + two(y2, y3)?, two(m0, m1)?, two(d0, d1)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        _ => return None,
    };
    if day < 1 || day > last {
        return None;
    }
    // Years begin in March, so that the leap day is the last (H. Hinnant, `days_from_civil`).
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let day_of_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{DateTime, NaiveDate};

    #[test]
    fn moments_are_what_chrono_reads() {
        let mut random = fastrand::Rng::with_seed(2);
        for _ in 0..20_000 {
            let mut text = format!(
                "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
                random.u32(0..10_000),
                random.u32(0..14),
                random.u32(0..33),
                random.u32(0..25),
                random.u32(0..61),
                random.u32(0..61)
            );
            if random.bool() {
                text.push('.');
                text.extend((0..random.usize(0..10)).map(|_| random.digit(10)));
            }
            match random.u8(0..4) {
                0 => text.push('Z'),
                1 => text += &format!("+{:02}:{:02}", random.u8(0..25), random.u8(0..61)),
                2 => text += &format!("-{:02}:{:02}", random.u8(0..25), random.u8(0..61)),
                _ => {}
            }
            let want = DateTime::parse_from_rfc3339(&text).ok().map(|t| t.timestamp_micros());
            assert_eq!(rfc3339(text.as_bytes()), want, "{text}");
        }
    }

    #[test]
    fn days_are_what_chrono_reads() {
        for text in ["1970-01-01", "2024-02-29", "2023-02-29", "0000-01-01", "9999-12-31"] {
            let want = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
            let want = want.map(|d| d.to_epoch_days());
            assert_eq!(date(text.as_bytes()), want, "{text}");
        }
        for bad in ["", "2026-1-2", "2026/01/02", "2026-01-02 ", "2026-13-01", "2026-04-31"] {
            assert_eq!(date(bad.as_bytes()), None, "{bad}");
        }
    }
}
