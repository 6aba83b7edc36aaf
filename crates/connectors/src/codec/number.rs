//! Numbers as text to `i64` and `f64`: exact, or refused. A number never changes its value silently.
//!
//! Digits are read eight at a time in one register (SWAR), as in D. Lemire, "Number Parsing at a
//! Gigabyte per Second" (2021); short decimals are exact by W. Clinger's rule (1990): below 2^53 a
//! mantissa divided by a power of ten up to 10^22 is rounded once. What is longer goes to `fast-float2`.

/// Powers of ten that a double holds exactly, as far as 15 digits need them.
const POW10: [f64; 16] =
    [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

const POW10_U64: [u64; 16] = [
    1,
    10,
    100,
    1_000,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    100_000_000,
    1_000_000_000,
    10_000_000_000,
    100_000_000_000,
    1_000_000_000_000,
    10_000_000_000_000,
    100_000_000_000_000,
    1_000_000_000_000_000,
];

/// Ten to the power of `places`, 0 to 15.
#[inline(always)]
pub(super) fn ten_to(places: i64) -> i64 {
    let power = usize::try_from(places).ok().and_then(|p| POW10_U64.get(p));
    power.map_or(1, |p| p.cast_signed())
}

/// Eight bytes from `at` on, the first one lowest; `None` near the end.
#[inline(always)]
pub(super) fn load8(b: &[u8], at: usize) -> Option<u64> {
    // By the rest of the slice: no sum that could overflow has to be looked at.
    Some(u64::from_le_bytes(*b.get(at..)?.first_chunk()?))
}

/// The value and count of up to 18 digits from `at` on. With 18 there may be more.
#[inline(always)]
fn digits(b: &[u8], at: usize) -> (u64, usize) {
    let (first, n) = upto_eight(b, at);
    if n < 8 {
        return (first, n);
    }
    let (second, m) = upto_eight(b, at + 8);
    let value = first * POW10_U64.get(m).copied().unwrap_or(1) + second;
    if m < 8 {
        return (value, 8 + m);
    }
    let (mut value, mut n) = (value, 16);
    while n < 18
        && let Some(d) = digit(b, at + n)
    {
        value = value * 10 + u64::from(d);
        n += 1;
    }
    (value, n)
}

#[inline(always)]
fn digit(b: &[u8], at: usize) -> Option<u8> {
    b.get(at).map(|c| c.wrapping_sub(b'0')).filter(|d| *d < 10)
}

/// The value and count of up to eight digits.
#[inline(always)]
fn upto_eight(b: &[u8], at: usize) -> (u64, usize) {
    let Some(word) = load8(b, at) else {
        let (mut value, mut n) = (0, 0);
        while n < 8
            && let Some(d) = digit(b, at + n)
        {
            value = value * 10 + u64::from(d);
            n += 1;
        }
        return (value, n);
    };
    let x = word ^ 0x3030_3030_3030_3030;
    // The high bit of each byte that is no digit; carries only reach bytes after the first such.
    let other = (x.wrapping_add(0x7676_7676_7676_7676) | x) & 0x8080_8080_8080_8080;
    let n = (other.trailing_zeros() / 8) as usize;
    if n == 0 {
        return (0, 0);
    }
    // Zero bytes in front stand for leading zeros.
    (eight(x << (64 - 8 * n)), n)
}

/// The value of eight digits, the first one in the lowest byte.
#[inline(always)]
fn eight(x: u64) -> u64 {
    let pairs = x.wrapping_mul(10).wrapping_add(x >> 8);
    let high = (pairs & 0x0000_00ff_0000_00ff).wrapping_mul(0x000f_4240_0000_0064);
    let low = ((pairs >> 16) & 0x0000_00ff_0000_00ff).wrapping_mul(0x0000_2710_0000_0001);
    high.wrapping_add(low) >> 32
}

/// Whether a number goes on at `at` with a fraction or an exponent.
#[inline(always)]
fn goes_on(b: &[u8], at: usize) -> bool {
    matches!(b.get(at), Some(b'.' | b'e' | b'E' | b'0'..=b'9'))
}

/// A plain JSON integer of up to 18 digits and its end; anything else is for [`scaled`]. Where `closed`,
/// the caller looks at what comes after it.
#[inline(always)]
pub(super) fn short_int(b: &[u8], at: usize, closed: bool) -> Option<(i64, usize)> {
    let (value, n) = digits(b, at);
    if n == 0 {
        return negative(b, at, |b, at| short_int_of(b, at, digits(b, at), closed));
    }
    short_int_of(b, at, (value, n), closed)
}

#[inline(always)]
fn short_int_of(b: &[u8], at: usize, digits: (u64, usize), closed: bool) -> Option<(i64, usize)> {
    let (value, n) = digits;
    let end = at + n;
    if (b.get(at) == Some(&b'0') && n > 1) || n == 0 || (!closed && goes_on(b, end)) {
        return None;
    }
    Some((value.cast_signed(), end))
}

/// What `read` makes of the number behind the minus at `at`, with its sign.
#[inline(always)]
fn negative<N: std::ops::Neg<Output = N>>(
    b: &[u8],
    at: usize,
    read: impl FnOnce(&[u8], usize) -> Option<(N, usize)>,
) -> Option<(N, usize)> {
    if b.get(at) != Some(&b'-') {
        return None;
    }
    read(b, at + 1).map(|(value, end)| (-value, end))
}

/// A plain JSON decimal of up to 15 digits and its end, exact by Clinger's rule; anything else is
/// for [`float`]. Where `closed`, the caller looks at what comes after it.
#[inline(always)]
pub(super) fn short_float(b: &[u8], at: usize, closed: bool) -> Option<(f64, usize)> {
    let (value, n) = digits(b, at);
    if n == 0 {
        return negative(b, at, |b, at| short_float_of(b, at, digits(b, at), closed));
    }
    short_float_of(b, at, (value, n), closed)
}

#[inline(always)]
fn short_float_of(b: &[u8], at: usize, whole: (u64, usize), closed: bool) -> Option<(f64, usize)> {
    let (whole, n) = whole;
    let mut end = at + n;
    if (b.get(at) == Some(&b'0') && n > 1) || n == 0 || n > 15 {
        return None;
    }
    let (mut mantissa, mut places) = (whole, 0);
    if b.get(end) == Some(&b'.') {
        let (fraction, m) = digits(b, end + 1);
        if m == 0 || n + m > 15 {
            return None;
        }
        mantissa = whole * POW10_U64.get(m)? + fraction;
        places = m;
        end += 1 + m;
    }
    if !closed && goes_on(b, end) {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "15 digits are below 2^53")]
    let value = mantissa as f64 / POW10.get(places)?;
    Some((value, end))
}

/// The end of the JSON number that begins at `at`, by the grammar of RFC 8259.
pub(super) fn end(b: &[u8], at: usize) -> Option<usize> {
    let run = |mut i: usize| {
        while digit(b, i).is_some() {
            i += 1;
        }
        i
    };
    let start = at + usize::from(b.get(at) == Some(&b'-'));
    let mut end = run(start);
    if end == start || (end > start + 1 && b.get(start) == Some(&b'0')) {
        return None;
    }
    if b.get(end) == Some(&b'.') {
        let from = end + 1;
        end = run(from);
        if end == from {
            return None;
        }
    }
    if matches!(b.get(end), Some(b'e' | b'E')) {
        let from = end + 1 + usize::from(matches!(b.get(end + 1), Some(b'+' | b'-')));
        end = run(from);
        if end == from {
            return None;
        }
    }
    Some(end)
}

/// The nearest double to the JSON number `text`; `None` when it is beyond all doubles.
pub(super) fn float(text: &[u8]) -> Option<f64> {
    fast_float2::parse::<f64, _>(text).ok().filter(|v| v.is_finite())
}

/// `text × 10^places` cut down to an integer, and whether nothing was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scaled {
    /// The greatest integer that is not above the number.
    pub(super) value: i64,
    /// The number had no further digits.
    pub(super) exact: bool,
}

/// The JSON number `text`, moved by `places` decimal places; `None` when it is beyond `i64`.
pub(super) fn scaled(text: &[u8], places: i64) -> Option<Scaled> {
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let (mantissa, exponent) = match text.iter().position(|c| matches!(c, b'e' | b'E')) {
        Some(e) => (text.get(..e)?, exponent(text.get(e + 1..)?)),
        None => (text, 0),
    };
    let point = mantissa.iter().position(|c| *c == b'.').unwrap_or(mantissa.len());
    let digits = || mantissa.iter().filter(|c| **c != b'.').map(|c| i128::from(*c - b'0'));
    // How many digits stand before the point once it has moved.
    let keep = i64::try_from(point).ok()?.saturating_add(exponent).saturating_add(places);
    let mut value: i128 = 0;
    let mut taken: i64 = 0;
    let mut exact = true;
    for d in digits() {
        if taken < keep {
            value = value * 10 + d;
            if value > 1 << 64 {
                return None;
            }
        } else if d != 0 {
            exact = false;
        }
        taken += 1;
    }
    while value != 0 && taken < keep {
        value *= 10;
        taken += 1;
        if value > 1 << 64 {
            return None;
        }
    }
    if negative {
        value = -value - i128::from(!exact);
    }
    Some(Scaled { value: i64::try_from(value).ok()?, exact })
}

/// The exponent's value; beyond any use it stops growing.
fn exponent(text: &[u8]) -> i64 {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let value =
        digits.iter().fold(0i64, |v, c| (v * 10 + i64::from(*c - b'0')).min(1_000_000_000_000));
    if negative { -value } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_integers_are_read_whole_or_not_at_all() {
        for (text, want) in [
            ("0,", Some((0, 1))),
            ("-0}", Some((0, 2))),
            ("7", Some((7, 1))),
            ("12345678,", Some((12_345_678, 8))),
            ("123456789012345678]", Some((123_456_789_012_345_678, 18))),
            ("-123456789 ", Some((-123_456_789, 10))),
            ("01", None),
            ("1.0", None),
            ("1e2", None),
            ("-", None),
            ("x", None),
            ("1234567890123456789", None),
        ] {
            assert_eq!(short_int(text.as_bytes(), 0, false), want, "{text}");
        }
    }

    #[test]
    fn short_floats_are_what_the_standard_library_reads() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..20_000 {
            let digits = random.usize(1..20);
            let mut text: String = (0..digits).map(|_| random.digit(10)).collect();
            if random.bool() {
                text.insert(random.usize(0..=text.len()), '.');
            }
            if random.bool() {
                text.insert(0, '-');
            }
            let line = format!("{text},");
            if let Some((value, at)) = short_float(line.as_bytes(), 0, false) {
                assert_eq!(at, text.len(), "{text}");
                assert_eq!(value.to_bits(), text.parse::<f64>().unwrap().to_bits(), "{text}");
            }
            if let Some((value, at)) = short_int(line.as_bytes(), 0, false) {
                assert_eq!(at, text.len(), "{text}");
                assert_eq!(value, text.parse::<i64>().unwrap(), "{text}");
            }
        }
    }

    #[test]
    fn the_grammar_of_numbers_is_that_of_json() {
        for good in ["0", "-0", "10", "0.5", "-1.25e+10", "1E5", "1e-5"] {
            assert_eq!(end(good.as_bytes(), 0), Some(good.len()), "{good}");
        }
        for bad in ["", "-", "00", "01", "1.", ".5", "1e", "1e+", "+1", "NaN", "Infinity"] {
            assert_eq!(end(bad.as_bytes(), 0), None, "{bad}");
        }
    }

    #[test]
    fn scaling_is_exact_and_cuts_towards_the_past() {
        let ok = |value, exact| Some(Scaled { value, exact });
        for (text, places, want) in [
            ("1e2", 0, ok(100, true)),
            ("100e-2", 0, ok(1, true)),
            ("1.50", 0, ok(1, false)),
            ("-1.5", 0, ok(-2, false)),
            ("-0.0", 0, ok(0, true)),
            ("9223372036854775807", 0, ok(i64::MAX, true)),
            ("-9223372036854775808", 0, ok(i64::MIN, true)),
            ("9223372036854775808", 0, None),
            ("1700000000.1234567", 6, ok(1_700_000_000_123_456, false)),
            ("0e999999999999999999", 0, ok(0, true)),
            ("1e400", 0, None),
            ("1e-400", 0, ok(0, false)),
            ("0.000e5", 3, ok(0, true)),
        ] {
            assert_eq!(scaled(text.as_bytes(), places), want, "{text}");
        }
    }
}
