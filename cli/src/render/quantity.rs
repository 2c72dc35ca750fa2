//! Numbers for people: sizes, counts, times.

/// `1536` as `1.5 KiB`.
pub(crate) fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut value = n as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// `1234567` as `1,234,567`.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 record`, `2 records`.
pub(crate) fn of(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

/// Milliseconds as they are written in specs: `50ms`, `1.5s`, `1m30s`, `14d`.
pub(crate) fn millis(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms}ms"),
        1_000..60_000 => {
            let text = format!("{:.1}", ms as f64 / 1000.0);
            format!("{}s", text.strip_suffix(".0").unwrap_or(&text))
        }
        _ => {
            let mut rest = ms / 1000;
            let mut out = String::new();
            let mut parts = 0;
            for (name, size) in [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)] {
                // Two parts say enough: nobody waits for the seconds of a day.
                if rest >= size && parts < 2 {
                    out.push_str(&format!("{}{name}", rest / size));
                    rest %= size;
                    parts += 1;
                } else if parts > 0 {
                    parts += 1;
                }
            }
            out
        }
    }
}

/// Microseconds: `850us`, `112.9ms`, then as [`millis`].
pub(crate) fn micros(us: u64) -> String {
    match us {
        0..1_000 => format!("{us}us"),
        1_000..1_000_000 => format!("{:.1}ms", us as f64 / 1000.0),
        _ => millis(us / 1000),
    }
}

/// How long ago a wall-clock time was.
pub(crate) fn ago(now_ms: i64, then_ms: i64) -> String {
    match u64::try_from(now_ms - then_ms) {
        Ok(ms) if ms < 1000 => "just now".to_owned(),
        Ok(ms) => format!("{} ago", millis(ms / 1000 * 1000)),
        Err(_) => "in the future (a clock was set)".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{ago, bytes, count, micros, millis};

    #[test]
    fn numbers_read_well() {
        assert_eq!((bytes(0), bytes(1023), bytes(1536)), ("0 B".into(), "1023 B".into(), "1.5 KiB".into()));
        assert_eq!((bytes((1 << 20) - 1), bytes(5 << 40)), ("1.0 MiB".into(), "5.0 TiB".into()));
        assert_eq!(
            (count(7), count(1234), count(1_234_567)),
            ("7".into(), "1,234".into(), "1,234,567".into())
        );
    }

    #[test]
    fn times_read_as_in_specs() {
        let table = [
            (0, "0ms"),
            (50, "50ms"),
            (2000, "2s"),
            (1500, "1.5s"),
            (90_000, "1m30s"),
            (3_600_000, "1h"),
            (3_605_000, "1h"),
            (1_209_600_000, "14d"),
            (90_061_000, "1d1h"),
        ];
        for (ms, wanted) in table {
            assert_eq!(millis(ms), wanted);
        }
        assert_eq!(
            (micros(850), micros(12_345), micros(2_000_000)),
            ("850us".into(), "12.3ms".into(), "2s".into())
        );
        assert_eq!((ago(5000, 5000), ago(65_500, 0)), ("just now".into(), "1m5s ago".into()));
    }
}
