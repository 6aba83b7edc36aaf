//! Moments and days as text, to microseconds and days since 1970.

const DAY_S: i64 = 86_400;

/// Microseconds since 1970 in UTC of an RFC 3339 text, with any offset.
///
/// `T` may be `t` or a space and `Z` may be `z`, as RFC 3339 allows; without an offset it is no
/// moment. Digits beyond the microsecond are cut off; second 60 is the next minute's second 0.
pub(super) fn rfc3339(b: &[u8]) -> Option<i64> {
    rfc3339_at(b).filter(|(_, end)| *end == b.len()).map(|(micros, _)| micros)
}

/// [`rfc3339`] of what `b` begins with, and its end.
#[inline]
pub(super) fn rfc3339_at(b: &[u8]) -> Option<(i64, usize)> {
    let (head, rest) = b.split_first_chunk::<19>()?;
    let [y0, y1, y2, y3, dash, m0, m1, dash2, d0, d1, t, h0, h1, c0, i0, i1, c1, s0, s1] = *head;
    // One look at all digits instead of a branch for each.
    let digits = [y0, y1, y2, y3, m0, m1, d0, d1, h0, h1, i0, i1, s0, s1];
    if digits.iter().fold(0, |worst, d| worst.max(d.wrapping_sub(b'0'))) > 9
        || [dash, dash2, c0, c1] != *b"--::"
        || !matches!(t, b'T' | b't' | b' ')
    {
        return None;
    }
    let day = civil(two(y0, y1) * 100 + two(y2, y3), two(m0, m1), two(d0, d1))?;
    let (hour, minute, second) = (two(h0, h1), two(i0, i1), two(s0, s1));
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (micros, rest) = match rest {
        [b'.', digits @ ..] => fraction(digits)?,
        rest => (0, rest),
    };
    let (offset, rest) = offset(rest)?;
    let seconds = day * DAY_S + hour * 3600 + minute * 60 + second - offset * 60;
    Some((seconds * 1_000_000 + micros, b.len() - rest.len()))
}

/// The minute that was read last: moments that come one after the other mostly lie in the same.
#[derive(Debug, Default)]
pub(super) struct Minute {
    /// `2026-11-23T05:17`.
    text: [u8; 16],
    /// Its first second, as if it were in UTC.
    seconds: i64,
}

impl Minute {
    /// [`rfc3339_at`], in a few instructions when the minute is that of the last call.
    #[inline(always)]
    pub(super) fn rfc3339_at(&mut self, b: &[u8]) -> Option<(i64, usize)> {
        let (head, rest) = b.split_first_chunk::<16>()?;
        if *head == self.text
            && let [b':', s0 @ b'0'..=b'5', s1 @ b'0'..=b'9', rest @ ..] = rest
        {
            let seconds = self.seconds + two(*s0, *s1);
            // The form that most programs write: milliseconds in UTC.
            if let [b'.', a, b, c, b'Z', ..] = rest {
                let digits = [*a, *b, *c].map(|d| d.wrapping_sub(b'0'));
                if digits.iter().all(|d| *d < 10) {
                    let [a, b, c] = digits.map(i64::from);
                    return Some((seconds * 1_000_000 + (a * 100 + b * 10 + c) * 1_000, 24));
                }
            }
            let len = b.len();
            let (micros, rest) = match rest {
                [b'.', digits @ ..] => fraction(digits)?,
                rest => (0, rest),
            };
            let (offset, rest) = offset(rest)?;
            return Some(((seconds - offset * 60) * 1_000_000 + micros, len - rest.len()));
        }
        self.anew(b)
    }

    #[inline(never)]
    fn anew(&mut self, b: &[u8]) -> Option<(i64, usize)> {
        let read = rfc3339_at(b)?;
        // The same minute in UTC: read by the same code, so that both agree.
        let minute = [b.get(..16)?, b":00Z"].concat();
        if let Some((micros, _)) = rfc3339_at(&minute) {
            self.text = *b.first_chunk()?;
            self.seconds = micros / 1_000_000;
        }
        Some(read)
    }
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

/// Minutes east of Greenwich, and what follows.
#[inline]
fn offset(b: &[u8]) -> Option<(i64, &[u8])> {
    match b {
        [b'Z' | b'z', rest @ ..] => Some((0, rest)),
        [sign @ (b'+' | b'-'), h0, h1, b':', m0, m1, rest @ ..] => {
            let digits = [h0, h1, m0, m1].iter().all(|d| d.is_ascii_digit());
            let (hours, minutes) = (two(*h0, *h1), two(*m0, *m1));
            let all = hours * 60 + minutes;
            let signed = if *sign == b'-' { -all } else { all };
            (digits && hours < 24 && minutes < 60).then_some((signed, rest))
        }
        _ => None,
    }
}

/// Days since 1970 of `2026-11-23`.
pub(super) fn date(b: &[u8]) -> Option<i32> {
    let [y0, y1, y2, y3, dash, m0, m1, dash2, d0, d1]: [u8; 10] = b.try_into().ok()?;
    let digits = [y0, y1, y2, y3, m0, m1, d0, d1].iter().all(u8::is_ascii_digit);
    if !digits || [dash, dash2] != *b"--" {
        return None;
    }
    let day = civil(two(y0, y1) * 100 + two(y2, y3), two(m0, m1), two(d0, d1))?;
    i32::try_from(day).ok()
}

/// The value of two digits, which they are known to be.
#[inline(always)]
fn two(a: u8, b: u8) -> i64 {
    i64::from(a.wrapping_sub(b'0')) * 10 + i64::from(b.wrapping_sub(b'0'))
}

const MONTH_DAYS: [i64; 13] = [0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// Days since 1970 of a day that there is.
#[inline(always)]
fn civil(year: i64, month: i64, day: i64) -> Option<i64> {
    let last = *MONTH_DAYS.get(usize::try_from(month).ok()?)?;
    let leap = || month == 2 && day == 29 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if day < 1 || (day > last && !leap()) {
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
    fn the_minute_that_is_remembered_changes_nothing() {
        let mut random = fastrand::Rng::with_seed(3);
        let mut minute = Minute::default();
        let heads =
            ["2026-11-23T05:17", "1969-12-31t23:59", "0000-01-01 00:00", "2026-02-30T00:00"];
        let tails =
            ["Z", ".5Z", ".123Z", ".12345678z", ".12aZ", "+01:30", ".123-23:59", "", ".Z", ".1234"];
        for _ in 0..20_000 {
            let head = heads[random.usize(0..heads.len())];
            let second = random.u32(0..70);
            let tail = tails[random.usize(0..tails.len())];
            let text = format!("{head}:{second:02}{tail}\"");
            let text = text.as_bytes();
            assert_eq!(minute.rfc3339_at(text), rfc3339_at(text), "{}", text.escape_ascii());
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
