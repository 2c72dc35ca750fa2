//! Durations, sizes and rates as people write them: `1h30m`, `50MiB`, `50MiB/s`. Exact: what is not a
//! whole number of milliseconds or bytes is refused, not rounded.

const DURATIONS: &[(&str, u64)] =
    &[("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

const SIZES: &[(&str, u64)] = &[
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// Reads a duration such as `250ms`, `1.5s`, `1h30m` or `0`, in milliseconds. Units are `d`, `h`, `m`, `s`
/// and `ms`; several follow each other from the longest to the shortest.
///
/// # Errors
/// Says what is wrong and how a duration is written.
pub fn parse_duration_ms(text: &str) -> Result<u64, String> {
    const FORM: &str = "write a number and a unit of ms, s, m, h or d, such as \"30s\" or \"1h30m\"";
    if text == "0" {
        return Ok(0);
    }
    if text.is_empty() {
        return Err(format!("it is empty; {FORM}"));
    }
    let mut total: u64 = 0;
    let mut previous = u64::MAX;
    let mut rest = text;
    while !rest.is_empty() {
        let (amount, after) = take_while(rest, |c| c.is_ascii_digit() || c == '.');
        let (unit, after) = take_while(after, |c| !(c.is_ascii_digit() || c == '.'));
        let size_ms = DURATIONS.iter().find(|(name, _)| *name == unit).map(|(_, size_ms)| *size_ms);
        let Some(size_ms) = size_ms.filter(|_| !amount.is_empty()) else {
            return Err(if unit.is_empty() {
                format!("{amount} has no unit in {text:?}; {FORM}")
            } else {
                format!("{text:?} cannot be read; {FORM}")
            });
        };
        if size_ms >= previous {
            return Err(format!("in {text:?} the units do not go from the longest to the shortest; {FORM}"));
        }
        previous = size_ms;
        let part = scaled(amount, size_ms).map_err(|why| why.tell(text, "a whole number of milliseconds"))?;
        total = total.checked_add(part).ok_or_else(|| Unscaled::TooLarge.tell(text, ""))?;
        rest = after;
    }
    Ok(total)
}

/// Reads a size such as `512`, `64KB` or `1.5GiB`, in bytes. KB, MB, GB, TB count in thousands; KiB, MiB,
/// GiB, TiB in 1024s; no unit or `B` is bytes.
///
/// # Errors
/// Says what is wrong and how a size is written.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    const FORM: &str =
        "write a number and a unit, such as \"64KB\" (1,000 bytes each) or \"50MiB\" (1,048,576)";
    let (amount, unit) = take_while(text, |c| c.is_ascii_digit() || c == '.');
    if amount.is_empty() {
        return Err(if text.is_empty() {
            format!("it is empty; {FORM}")
        } else {
            format!("{text:?} does not start with a number; {FORM}")
        });
    }
    let size = match unit {
        "" => Some(1),
        _ => SIZES.iter().find(|(name, _)| *name == unit).map(|(_, size)| *size),
    };
    let Some(size) = size else {
        return Err(format!(
            "{unit:?} is not a unit of size; {}",
            nearest_size(unit).unwrap_or_else(|| FORM.to_owned())
        ));
    };
    scaled(amount, size).map_err(|why| why.tell(text, "a whole number of bytes"))
}

/// Reads a rate such as `50MiB/s`, in bytes a second, never zero.
///
/// # Errors
/// Says what is wrong and how a rate is written.
pub fn parse_rate(text: &str) -> Result<u64, String> {
    let Some(size) = text.strip_suffix("/s") else {
        return Err(format!("{text:?} does not end with \"/s\"; write a size a second, such as \"50MiB/s\""));
    };
    match parse_bytes(size)? {
        0 => Err("a rate of zero would never end; leave the limit out, or give one above zero".to_owned()),
        rate => Ok(rate),
    }
}

/// `mb` or `M` may mean thousands or 1024s: it is for the author to say which.
fn nearest_size(unit: &str) -> Option<String> {
    let letter = unit.chars().next()?.to_ascii_uppercase();
    let rest = unit.get(1..)?.to_ascii_lowercase();
    (matches!(letter, 'K' | 'M' | 'G' | 'T') && matches!(rest.as_str(), "" | "b" | "i" | "ib"))
        .then(|| format!("write {letter}B for thousands or {letter}iB for 1024s"))
}

fn take_while(text: &str, test: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !test(c)).unwrap_or(text.len());
    text.split_at(end)
}

enum Unscaled {
    NoNumber,
    TooFine,
    TooLarge,
}

impl Unscaled {
    fn tell(self, text: &str, whole: &str) -> String {
        match self {
            Self::NoNumber => format!("the number in {text:?} cannot be read"),
            Self::TooFine => format!("{text:?} is not {whole}"),
            Self::TooLarge => format!("{text:?} is too large for 64 bits"),
        }
    }
}

/// `amount` (digits, perhaps with a fraction) times `size`, exactly.
fn scaled(amount: &str, size: u64) -> Result<u64, Unscaled> {
    let (whole, fraction) = match amount.split_once('.') {
        None => (amount, ""),
        Some((whole, fraction)) if !whole.is_empty() && !fraction.is_empty() && !fraction.contains('.') => {
            (whole, fraction)
        }
        Some(_) => return Err(Unscaled::NoNumber),
    };
    let mut total = u128::from(whole.parse::<u64>().map_err(|_| Unscaled::TooLarge)?) * u128::from(size);
    let fraction = fraction.trim_end_matches('0');
    if !fraction.is_empty() {
        let places = u32::try_from(fraction.len()).map_err(|_| Unscaled::TooFine)?;
        let unit = 10_u128.checked_pow(places).ok_or(Unscaled::TooFine)?;
        let parts = fraction
            .parse::<u128>()
            .ok()
            .and_then(|f| f.checked_mul(u128::from(size)))
            .ok_or(Unscaled::TooFine)?;
        if !parts.is_multiple_of(unit) {
            return Err(Unscaled::TooFine);
        }
        total += parts / unit;
    }
    u64::try_from(total).map_err(|_| Unscaled::TooLarge)
}

#[cfg(test)]
mod tests {
    use super::{parse_bytes, parse_duration_ms, parse_rate};

    #[test]
    fn durations_are_read_in_milliseconds() {
        for (text, ms) in [
            ("0", 0),
            ("0s", 0),
            ("250ms", 250),
            ("1.5s", 1_500),
            ("30s", 30_000),
            ("2m", 120_000),
            ("1h30m", 5_400_000),
            ("1d2h3m4s5ms", 93_784_005),
            ("14d", 1_209_600_000),
            ("0.5d", 43_200_000),
        ] {
            assert_eq!(parse_duration_ms(text), Ok(ms), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_with_the_reason() {
        for (text, why) in [
            ("", "empty"),
            ("5", "5 has no unit"),
            ("1h30", "30 has no unit"),
            ("s", "cannot be read"),
            ("1 h", "cannot be read"),
            ("-1s", "cannot be read"),
            ("1S", "cannot be read"),
            ("1w", "cannot be read"),
            ("30m1h", "longest to the shortest"),
            ("1s1s", "longest to the shortest"),
            ("0.5ms", "whole number of milliseconds"),
            ("1..5s", "the number"),
            (".5s", "the number"),
            ("1.s", "the number"),
            ("99999999999999999999d", "too large"),
            ("18446744073709551615d", "too large"),
            ("18446744073709551s616ms", "too large"),
            ("1,5s", "cannot be read"),
            ("1µs", "cannot be read"),
        ] {
            let error = parse_duration_ms(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn sizes_are_read_in_bytes() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("512B", 512),
            ("64KB", 64_000),
            ("64KiB", 65_536),
            ("50MiB", 52_428_800),
            ("50MB", 50_000_000),
            ("1.5GiB", 1_610_612_736),
            ("2GB", 2_000_000_000),
            ("1TiB", 1_099_511_627_776),
            ("0.001KB", 1),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused_with_the_reason() {
        for (text, why) in [
            ("", "empty"),
            ("MiB", "start with a number"),
            ("-5MB", "start with a number"),
            ("5mb", "write MB for thousands or MiB for 1024s"),
            ("5M", "write MB for thousands or MiB for 1024s"),
            ("5kib", "write KB for thousands or KiB for 1024s"),
            ("5 MB", "not a unit of size"),
            ("5parsec", "not a unit of size"),
            ("5é", "not a unit of size"),
            ("0.5B", "whole number of bytes"),
            ("0.3KiB", "whole number of bytes"),
            ("18446744073709551616", "too large"),
            ("99999999TiB", "too large"),
        ] {
            let error = parse_bytes(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn rates_are_sizes_a_second_above_zero() {
        assert_eq!(parse_rate("50MiB/s"), Ok(52_428_800));
        assert_eq!(parse_rate("1KB/s"), Ok(1_000));
        for (text, why) in [
            ("50MiB", "does not end with \"/s\""),
            ("0B/s", "zero"),
            ("/s", "empty"),
            ("50MiB/m", "does not end with \"/s\""),
            ("5mib/s", "write MB"),
        ] {
            let error = parse_rate(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
