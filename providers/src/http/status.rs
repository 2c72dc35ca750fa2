//! Which statuses count: `200-299, 404`.

use std::fmt;
use std::ops::RangeInclusive;

/// What counts when the spec says nothing.
pub(crate) fn statuses_default() -> serde_json::Value {
    serde_json::json!("200-299")
}

/// A set of status codes as it is written in specs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Statuses(Vec<RangeInclusive<u16>>);

impl Statuses {
    /// Reads `200`, `200-299`, `200-299, 404`.
    ///
    /// # Errors
    /// What is wrong with it, a fragment.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let one = |word: &str| {
            let number: Option<u16> = word.trim().parse().ok();
            number.filter(|n| (100..600).contains(n)).ok_or_else(|| {
                format!("{:?} is no status: write codes and ranges, \"200-299, 404\"", word.trim())
            })
        };
        let range = |part: &str| match part.split_once('-') {
            Some((first, last)) => Ok(one(first)?..=one(last)?),
            None => one(part).map(|n| n..=n),
        };
        text.split(',').map(range).collect::<Result<Vec<_>, String>>().map(Self)
    }

    /// Whether a status counts.
    pub(crate) fn contain(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }
}

impl fmt::Display for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            if range.start() == range.end() {
                write!(f, "{comma}{}", range.start())?;
            } else {
                write!(f, "{comma}{}-{}", range.start(), range.end())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_codes_and_ranges() {
        let set = Statuses::parse("200-299, 404").expect("valid");
        let found = [199, 200, 299, 300, 404].map(|s| set.contain(s));
        assert_eq!(found, [false, true, true, false, true]);
        assert_eq!(set.to_string(), "200-299, 404");
        for wrong in ["", "2xx", "20", "200-", "200,,300"] {
            assert!(Statuses::parse(wrong).is_err(), "{wrong}");
        }
    }
}
