//! Durations, sizes and rates: numbers that carry their unit.

/// `"1h30m"`, `"250ms"`, `"1.5s"`, `"14d"`: whole milliseconds.
///
/// # Errors
///
/// Why the text is none, a fragment for a message.
pub(crate) fn duration_ms(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, f64); 6] = [
        ("ms", 1.0),
        ("s", 1e3),
        ("m", 60e3),
        ("h", 3600e3),
        ("d", 86_400e3),
        ("w", 604_800e3),
    ];
    let wanted = "a duration such as \"30s\", \"1h30m\" or \"14d\" (units ms, s, m, h, d, w)";
    let mut rest = text;
    let mut total = 0.0;
    if rest.is_empty() {
        return Err(format!("an empty string is not {wanted}"));
    }
    while !rest.is_empty() {
        let (number, after) = split_number(rest).ok_or_else(|| format!("{text:?} is not {wanted}"))?;
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit = &after[..letters];
        let Some((_, factor)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(if unit.is_empty() {
                format!("{text:?} has no unit; write {wanted}")
            } else {
                format!("{unit:?} in {text:?} is no unit; write {wanted}")
            });
        };
        total += number * factor;
        rest = &after[letters..];
    }
    whole(total).ok_or_else(|| format!("{text:?} is not a whole number of milliseconds, or too long"))
}

/// `"50MiB"`, `"1.5GB"`, `"512B"`: bytes. `KiB` is 1024, `KB` (and `kB`) is 1000.
///
/// # Errors
///
/// Why the text is none.
pub(crate) fn size_bytes(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, f64); 12] = [
        ("B", 1.0),
        ("KiB", 1024.0),
        ("MiB", 1_048_576.0),
        ("GiB", 1_073_741_824.0),
        ("TiB", 1_099_511_627_776.0),
        ("PiB", 1_125_899_906_842_624.0),
        ("KB", 1e3),
        ("kB", 1e3),
        ("MB", 1e6),
        ("GB", 1e9),
        ("TB", 1e12),
        ("PB", 1e15),
    ];
    let wanted = "a size such as \"512B\", \"50MiB\" or \"1.5GB\" (KiB = 1024 B, KB = 1000 B)";
    let (number, unit) = split_number(text).ok_or_else(|| format!("{text:?} is not {wanted}"))?;
    let unit = unit.trim_start();
    let Some((_, factor)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(if unit.is_empty() {
            format!("{text:?} has no unit; write {wanted}")
        } else {
            format!("{unit:?} in {text:?} is no unit; write {wanted}")
        });
    };
    whole(number * factor).ok_or_else(|| format!("{text:?} is not a whole number of bytes, or too large"))
}

/// `"50MiB/s"`: bytes a second.
///
/// # Errors
///
/// Why the text is none.
pub(crate) fn rate_bytes(text: &str) -> Result<u64, String> {
    let Some(size) = text.strip_suffix("/s") else {
        return Err(format!("{text:?} is not a rate such as \"50MiB/s\""));
    };
    match size_bytes(size)? {
        0 => Err(format!("{text:?}: a rate of nothing would never end")),
        bytes => Ok(bytes),
    }
}

fn split_number(text: &str) -> Option<(f64, &str)> {
    let len = text
        .bytes()
        .take_while(|b| b.is_ascii_digit() || *b == b'.')
        .count();
    let number = &text[..len];
    if !number.starts_with(|c: char| c.is_ascii_digit()) || number.ends_with('.') {
        return None;
    }
    Some((number.parse().ok()?, &text[len..]))
}

/// Floats are exact for whole numbers up to 2^53: 285,000 years of milliseconds, 9 PB.
fn whole(f: f64) -> Option<u64> {
    const LARGEST: f64 = 9_007_199_254_740_992.0;
    let rounded = f.round();
    ((rounded - f).abs() < 1e-6 && rounded <= LARGEST).then_some(rounded as u64)
}

#[cfg(test)]
mod tests {
    use super::{duration_ms, rate_bytes, size_bytes};

    #[test]
    fn quantities_carry_units() {
        assert_eq!(duration_ms("1h30m"), Ok(5_400_000));
        assert_eq!(duration_ms("1.5s"), Ok(1_500));
        assert_eq!(duration_ms("0s"), Ok(0));
        assert_eq!(duration_ms("14d"), Ok(14 * 86_400_000));
        for bad in [
            "",
            "30",
            "s",
            "-1s",
            "1 s",
            "1x",
            "0.5ms",
            "1s1",
            "1..5s",
            ".5s",
            "99999999999w",
            "1µs",
        ] {
            assert!(duration_ms(bad).is_err(), "{bad}");
        }
        assert_eq!(size_bytes("50MiB"), Ok(52_428_800));
        assert_eq!(size_bytes("1.5 GB"), Ok(1_500_000_000));
        for bad in ["50", "50mib", "-1B", "1.5B", "x", "9999PiB"] {
            assert!(size_bytes(bad).is_err(), "{bad}");
        }
        assert_eq!(rate_bytes("1KiB/s"), Ok(1024));
        assert!(rate_bytes("1KiB").is_err());
        assert!(rate_bytes("0B/s").is_err());
    }
}
