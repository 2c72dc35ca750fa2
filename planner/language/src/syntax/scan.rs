//! A light scanner: text to tokens, knowing just enough of HCL (brackets, quotes with interpolations,
//! heredocs, comments) to cut files into items and to indent them. It never fails and never backs up;
//! what is not closed becomes a token that says so. Linear in the text.

use std::ops::Range;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Spaces and tabs.
    Space,
    /// One `\n`.
    Newline,
    /// `#` or `//` to the end of its line.
    LineComment,
    /// `/* */`
    BlockComment,
    /// Identifier or number.
    Word,
    /// A quoted string with all that is in it.
    Quoted,
    /// From `<<` to the end of the closing delimiter. Whether it has no lines.
    Heredoc { empty: bool },
    /// `{`, `[` or `(`
    Open(u8),
    /// `}`, `]` or `)`
    Close(u8),
    /// Any other punctuation, longest match of `==`, `=>`, `...`, `&&` and the like.
    Mark,
    /// A quoted string that does not end on its line.
    UnclosedQuote,
    /// A heredoc whose delimiter never comes: its first line only.
    UnclosedHeredoc,
    /// `/*` without `*/`: these two characters only.
    UnclosedComment,
    /// A heredoc inside an interpolation of a quoted string.
    HeredocInQuote,
}

/// A piece of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    /// What.
    pub(crate) kind: Kind,
    /// Where.
    pub(crate) range: Range<usize>,
}

/// Cuts a text into tokens that cover all of it.
pub(crate) fn scan(text: &str) -> Vec<Token> {
    let bytes = text.as_bytes();
    let mut tokens = Vec::with_capacity(bytes.len() / 4);
    let mut at = 0;
    while at < bytes.len() {
        let (kind, end) = token_at(text, at);
        debug_assert!(end > at, "a token has at least one byte");
        tokens.push(Token { kind, range: at..end });
        at = end;
    }
    tokens
}

fn token_at(text: &str, at: usize) -> (Kind, usize) {
    let bytes = text.as_bytes();
    let rest = &bytes[at..];
    match rest[0] {
        b'\n' => (Kind::Newline, at + 1),
        b' ' | b'\t' | b'\r' => (Kind::Space, at + run(rest, |b| matches!(b, b' ' | b'\t' | b'\r'))),
        b'#' => (Kind::LineComment, at + run(rest, |b| b != b'\n')),
        b'/' if rest.starts_with(b"//") => (Kind::LineComment, at + run(rest, |b| b != b'\n')),
        b'/' if rest.starts_with(b"/*") => match text[at + 2..].find("*/") {
            Some(found) => (Kind::BlockComment, at + 2 + found + 2),
            None => (Kind::UnclosedComment, at + 2),
        },
        b'"' => quoted(text, at),
        b'<' if rest.starts_with(b"<<") => heredoc(text, at),
        b @ (b'{' | b'[' | b'(') => (Kind::Open(b), at + 1),
        b @ (b'}' | b']' | b')') => (Kind::Close(b), at + 1),
        b if is_word(b) => (Kind::Word, at + word(rest)),
        _ => (Kind::Mark, at + mark(text, at)),
    }
}

fn run(bytes: &[u8], wanted: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|&b| !wanted(b)).unwrap_or(bytes.len())
}

fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_' || b >= 0x80
}

/// Identifiers may contain `-`; a number may contain one `.` between digits.
fn word(bytes: &[u8]) -> usize {
    let number = bytes[0].is_ascii_digit();
    let mut len = 1;
    while let Some(&b) = bytes.get(len) {
        let fraction = number && b == b'.' && bytes.get(len + 1).is_some_and(u8::is_ascii_digit);
        if !(is_word(b) || (b == b'-' && !number) || fraction) {
            break;
        }
        len += 1;
    }
    len
}

fn mark(text: &str, at: usize) -> usize {
    const LONG: [&str; 10] = ["...", "==", "=>", "!=", "<=", ">=", "&&", "||", "::", ".*"];
    LONG.iter()
        .find(|m| text[at..].starts_with(**m))
        .map_or_else(|| text[at..].chars().next().map_or(1, char::len_utf8), |m| m.len())
}

/// A quoted string: from its quote to its end, through interpolations and what is quoted in them.
fn quoted(text: &str, start: usize) -> (Kind, usize) {
    /// Where the scanner is: in the letters of a string, or in an expression inside one.
    enum Inside {
        Letters,
        Expression { open: usize },
    }
    let bytes = text.as_bytes();
    let mut stack = vec![Inside::Letters];
    let mut at = start + 1;
    let mut heredoc_inside = false;
    let line_end = start + run(&bytes[start..], |b| b != b'\n');
    while let Some(&b) = bytes.get(at) {
        match stack.last_mut() {
            Some(Inside::Letters) => match b {
                b'\\' if bytes.get(at + 1) != Some(&b'\n') => at += 2,
                b'\n' => return (Kind::UnclosedQuote, line_end),
                b'"' => {
                    stack.pop();
                    at += 1;
                    if stack.is_empty() {
                        let kind = if heredoc_inside { Kind::HeredocInQuote } else { Kind::Quoted };
                        return (kind, at);
                    }
                }
                b'$' | b'%' if bytes.get(at + 1) == Some(&b) && bytes.get(at + 2) == Some(&b'{') => at += 3,
                b'$' | b'%' if bytes.get(at + 1) == Some(&b'{') => {
                    stack.push(Inside::Expression { open: 0 });
                    at += 2;
                }
                _ => at += 1,
            },
            Some(Inside::Expression { open }) => match b {
                b'"' => {
                    stack.push(Inside::Letters);
                    at += 1;
                }
                b'{' => {
                    *open += 1;
                    at += 1;
                }
                b'}' if *open == 0 => {
                    stack.pop();
                    at += 1;
                }
                b'}' => {
                    *open -= 1;
                    at += 1;
                }
                b'#' => at += run(&bytes[at..], |b| b != b'\n'),
                b'<' if bytes.get(at + 1) == Some(&b'<') => {
                    heredoc_inside = true;
                    at += 2;
                }
                _ => at += 1,
            },
            None => break,
        }
    }
    (Kind::UnclosedQuote, line_end)
}

/// A heredoc; `<<` that starts none is a mark.
fn heredoc(text: &str, start: usize) -> (Kind, usize) {
    let bytes = text.as_bytes();
    let mut at = start + 2;
    if bytes.get(at) == Some(&b'-') {
        at += 1;
    }
    let name_len = run(&bytes[at..], |b| is_word(b) || b == b'-');
    let line_end = at + name_len + run(&bytes[at + name_len..], |b| b != b'\n');
    if name_len == 0 || !text[at + name_len..line_end].trim().is_empty() {
        return (Kind::Mark, start + 2);
    }
    let name = &text[at..at + name_len];
    let mut line = line_end + 1;
    while line < bytes.len() {
        let indent = run(&bytes[line..], |b| matches!(b, b' ' | b'\t'));
        let here = line + indent;
        let after = bytes.get(here + name.len()).copied();
        if text[here..].starts_with(name) && !after.is_some_and(|b| is_word(b) || b == b'-') {
            return (Kind::Heredoc { empty: line == line_end + 1 }, here + name.len());
        }
        line += run(&bytes[line..], |b| b != b'\n') + 1;
    }
    (Kind::UnclosedHeredoc, line_end)
}

#[cfg(test)]
mod tests {
    use super::{Kind, scan};
    use proptest::prelude::{Strategy, prop, proptest};

    fn kinds(text: &str) -> Vec<Kind> {
        scan(text).into_iter().map(|t| t.kind).filter(|k| *k != Kind::Space).collect()
    }

    #[test]
    fn strings_with_interpolated_strings_are_one_token() {
        assert_eq!(kinds(r#""a ${f("}", { a = "x" })} $${ b""#), [Kind::Quoted]);
        assert_eq!(kinds(r#""a \" b" c"#), [Kind::Quoted, Kind::Word]);
        assert_eq!(kinds("\"a\nb\""), [Kind::UnclosedQuote, Kind::Newline, Kind::Word, Kind::UnclosedQuote]);
        assert_eq!(kinds("\"a\\"), [Kind::UnclosedQuote]);
    }

    #[test]
    fn heredocs_end_at_their_own_delimiter() {
        assert_eq!(
            kinds("<<EOT\nEOTX\n \"{\n  EOT\nx"),
            [Kind::Heredoc { empty: false }, Kind::Newline, Kind::Word]
        );
        assert_eq!(kinds("<<-E\nE\n"), [Kind::Heredoc { empty: true }, Kind::Newline]);
        assert_eq!(kinds("<<E\nx\n")[0], Kind::UnclosedHeredoc);
    }

    proptest! {
        #[test]
        fn tokens_cover_any_text(
            text in prop::collection::vec(
                prop::sample::select(vec!["\"", "{", "}", "${", "%{", "<<", "<<-", "E", "\n", " ", "/*", "*/", "#",
                    "=", "a", "ü", "\\", "[", "(", ")", "]", "~", "...", "0.1", "\r"]), 0..60)
                .prop_map(|v| v.concat())
        ) {
            let mut at = 0;
            for token in scan(&text) {
                assert_eq!(token.range.start, at);
                assert!(text.is_char_boundary(token.range.end) || token.range.end > text.len());
                at = token.range.end;
            }
            assert_eq!(at, text.len());
        }
    }
}
