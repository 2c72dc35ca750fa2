//! Names of things: addresses of blocks and steps, and the two sides of a migration.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The stable address of a block, a unit or a step, as it is printed and typed:
/// `source.directory.old`, `migration.site["eu"]`, `cutover.site.switch`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Address(String);

impl Address {
    /// Wraps an address that is already in its printed form.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The address of a block: its words joined by dots, then `["key"]` for an instance of `for_each`.
    pub fn block(words: &[&str], key: Option<&str>) -> Self {
        let mut text = words.join(".");
        if let Some(key) = key {
            text.push_str(&format!("[{key:?}]"));
        }
        Self(text)
    }

    /// It as a part of a file's name: two addresses never have the same.
    pub fn file_name(&self) -> String {
        let mut name = String::new();
        for byte in self.0.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' => name.push(char::from(byte)),
                other => name.push_str(&format!("%{other:02x}")),
            }
        }
        name
    }

    /// This address followed by one more word: `cutover.site` and `switch` give `cutover.site.switch`.
    pub fn step(&self, word: &str) -> Self {
        Self(format!("{}.{word}", self.0))
    }

    /// The printed form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first word: `migration`, `cutover`, `source`, ...
    pub fn kind(&self) -> &str {
        self.0.split('.').next().unwrap_or_default()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One of the two systems of a migration, as declared in the spec (never "old" or "new": a switch back
/// turns those round).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// What the spec declares as `source`.
    Source,
    /// What the spec declares as `target`.
    Target,
}

impl Side {
    /// The other side.
    pub fn other(self) -> Self {
        match self {
            Self::Source => Self::Target,
            Self::Target => Self::Source,
        }
    }

    /// `source` or `target`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Target => "target",
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
