//! What an operator asks of a running apply, as the journal remembers it. Apart from the other events because the
//! sentence about it is the same in the history, the report and on the screen.

use std::fmt;

use segue_contract::Address;
use serde::{Deserialize, Serialize};

/// Bytes of a reason: a sentence or two and the number of a ticket. It is shown on one line.
pub const WHY_MAX: usize = 240;

/// What was wished.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Wish {
    /// Take no more work.
    Pause,
    /// Go on.
    Resume,
    /// Carry no faster than this.
    Throttle {
        /// The migration; `None`: all of them together.
        migration: Option<Address>,
        /// Bytes a second; `None`: the spec's limits count again.
        bytes_per_s: Option<u64>,
    },
}

impl Wish {
    /// Whom it is about.
    pub fn about(&self) -> String {
        match self {
            Self::Throttle { migration: Some(migration), .. } => migration.to_string(),
            Self::Pause | Self::Resume | Self::Throttle { migration: None, .. } => "everything".to_owned(),
        }
    }
}

impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pause => f.write_str("paused"),
            Self::Resume => f.write_str("resumed"),
            Self::Throttle { bytes_per_s: Some(rate), .. } => write!(f, "throttled to {}", rate_text(*rate)),
            Self::Throttle { bytes_per_s: None, .. } => f.write_str("no longer throttled"),
        }
    }
}

/// A rate as it is written in specs: `5 MiB/s`.
pub fn rate_text(bytes_per_s: u64) -> String {
    let units = [(1_u64 << 40, "TiB/s"), (1 << 30, "GiB/s"), (1 << 20, "MiB/s"), (1 << 10, "KiB/s")];
    match units.into_iter().find(|(size, _)| bytes_per_s >= *size) {
        Some((size, unit)) => {
            let text = format!("{:.1}", bytes_per_s as f64 / size as f64);
            format!("{} {unit}", text.strip_suffix(".0").unwrap_or(&text))
        }
        None => format!("{bytes_per_s} B/s"),
    }
}

#[cfg(test)]
mod tests {
    use segue_contract::Address;

    use super::{Wish, rate_text};
    use crate::event::{Entry, Event, WIRE_VERSION};

    #[test]
    fn rates_read_as_in_specs() {
        for (rate, wanted) in
            [(5, "5 B/s"), (1536, "1.5 KiB/s"), (50 << 20, "50 MiB/s"), (3 << 40, "3 TiB/s")]
        {
            assert_eq!(rate_text(rate), wanted);
        }
    }

    #[test]
    fn a_wish_reads_back_as_it_was_written_and_says_whom_it_is_about() {
        let wish =
            Wish::Throttle { migration: Some(Address::new("migration.site")), bytes_per_s: Some(5 << 20) };
        assert_eq!(
            (wish.about().as_str(), wish.to_string().as_str()),
            ("migration.site", "throttled to 5 MiB/s")
        );
        let event = Event::Steered { wish, by: "alice@a".to_owned(), why: Some("backup until 9".to_owned()) };
        let entry = Entry { v: WIRE_VERSION, at_ms: 1, run: 1, event };
        let line = entry.encode().unwrap();
        assert_eq!(Entry::decode(&line).unwrap(), entry);
        // Its wire form is a promise.
        assert_eq!(
            String::from_utf8(line).unwrap(),
            format!(
                r#"{{"v":{WIRE_VERSION},"at_ms":1,"run":1,"event":{{"type":"steered","wish":{{"do":"throttle","migration":"migration.site","bytes_per_s":5242880}},"by":"alice@a","why":"backup until 9"}}}}"#
            )
        );
    }
}
