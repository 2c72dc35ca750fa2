//! What a writer did, as a line of its log.

use std::fmt;

use xxhash_rust::xxh3::xxh3_64;

/// An operation that was acknowledged. Paths are below the tree; neither paths nor tags have blanks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// A new file has this name and this content, and no other ([`content`] of the tag).
    Put(String, String),
    /// The file of this name, under all its names, has this content and no other.
    Over(String, String),
    /// A file has a second name.
    Link(String, String),
    /// A file is gone.
    Delete(String),
    /// A file has another name.
    Move(String, String),
    /// A directory has another name.
    MoveDir(String, String),
    /// A line was added to a file.
    Line(String, String),
    /// A page was stored into a file through a mapping ([`page`] of the tag).
    Page(String, String),
}

impl Deed {
    /// Reads a line of a log.
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let (verb, path) = (words.next()?, words.next()?.to_owned());
        let mut second = || words.next().map(str::to_owned);
        let deed = match verb {
            "put" => Self::Put(path, second()?),
            "over" => Self::Over(path, second()?),
            "link" => Self::Link(path, second()?),
            "delete" => Self::Delete(path),
            "move" => Self::Move(path, second()?),
            "movedir" => Self::MoveDir(path, second()?),
            "line" => Self::Line(path, second()?),
            "page" => Self::Page(path, second()?),
            _ => return None,
        };
        words.next().is_none().then_some(deed)
    }

    /// The path that it wrote or removed.
    pub fn path(&self) -> &str {
        match self {
            Self::Put(path, _)
            | Self::Over(path, _)
            | Self::Delete(path)
            | Self::Line(path, _)
            | Self::Page(path, _) => path,
            Self::Move(_, to) | Self::MoveDir(_, to) | Self::Link(_, to) => to,
        }
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put(path, tag) => write!(f, "put {path} {tag}"),
            Self::Over(path, tag) => write!(f, "over {path} {tag}"),
            Self::Link(from, to) => write!(f, "link {from} {to}"),
            Self::Delete(path) => write!(f, "delete {path}"),
            Self::Move(from, to) => write!(f, "move {from} {to}"),
            Self::MoveDir(from, to) => write!(f, "movedir {from} {to}"),
            Self::Line(path, line) => write!(f, "line {path} {line}"),
            Self::Page(path, tag) => write!(f, "page {path} {tag}"),
        }
    }
}

/// The content that a tag stands for: the tag, and as much after it as its hash says, now and then several blocks.
pub fn content(tag: &str) -> Vec<u8> {
    let hash = xxh3_64(tag.as_bytes());
    let more = if hash.is_multiple_of(64) { hash / 64 % 20_000 } else { hash / 64 % 200 };
    let mut bytes = format!("{tag}\n").into_bytes();
    bytes.extend((0..more).map(|n| b'a' + (n % 26) as u8));
    bytes
}

/// The length of a file that stays mapped, in bytes.
pub(super) const PAGE: usize = 4096;

/// What a store through a mapping writes: the tag, again and again, so that every part of the page tells.
pub(super) fn page(tag: &str) -> [u8; PAGE] {
    let mut bytes = [b'\n'; PAGE];
    let line = format!("{tag}\n").into_bytes();
    for (byte, wanted) in bytes.iter_mut().zip(line.iter().cycle()) {
        *byte = *wanted;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::{Deed, content, page};

    #[test]
    fn a_deed_is_read_as_it_was_written_and_half_a_line_is_none() {
        let text = |s: &str| s.to_owned();
        for deed in [
            Deed::Put(text("own/a/1"), text("a-1")),
            Deed::Over(text("own/a/1"), text("a-2")),
            Deed::Link(text("own/a/1"), text("own/a/3")),
            Deed::Delete(text("own/a/1")),
            Deed::Move(text("own/a/1"), text("own/a/2")),
            Deed::MoveDir(text("own/a"), text("own/b")),
            Deed::Line(text("own/a/lines"), text("a-2")),
            Deed::Page(text("own/a/mapped-1"), text("a-3")),
        ] {
            assert_eq!(Deed::parse(&deed.to_string()), Some(deed));
        }
        assert_eq!(Deed::parse("put own/a/1"), None);
        assert_eq!(Deed::parse("put own/a/1 tag more"), None);
        assert_ne!(content("a-1"), content("a-2"));
        assert!(page("a-1").starts_with(b"a-1\na-1\n"));
    }
}
