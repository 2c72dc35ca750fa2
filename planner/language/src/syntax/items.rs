//! Cuts a file into top-level items and parses each on its own, so that a mistake in one hides no other.
//!
//! hcl-edit stops at its first error, takes a raw newline in a quoted string for text, lets an empty heredoc
//! swallow all up to a later one with the same delimiter, and is quadratic in the keys of an object: those
//! four are dealt with here, before it sees the text.

use std::borrow::Cow;
use std::ops::Range;

use hcl::edit::parser::parse_body;
use hcl::edit::structure::Structure;

use super::diagnostic::{Diagnostic, Diagnostics, Span};
use super::scan::{Kind, Token, scan};

/// An object literal with more keys is refused: the parser takes time quadratic in them (5,000: a third of a second).
const MAX_OBJECT_KEYS: usize = 5_000;

/// After so many items that are not closed the rest of a file is not looked at: each costs a look at all that follows.
const MAX_UNCLOSED_ITEMS: usize = 50;

/// Where an item starts: spans in its syntax tree count from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Base {
    /// Index into the sources.
    pub(crate) file: usize,
    /// Byte offset of the item in its file.
    pub(crate) offset: usize,
}

impl Base {
    /// A range of the item's text as a place in the spec; an item without one is at its start.
    pub(crate) fn span(self, range: Option<Range<usize>>) -> Span {
        let range = range.unwrap_or(0..0);
        Span { file: self.file, range: range.start + self.offset..range.end + self.offset }
    }
}

/// A top-level item.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    /// One that was parsed.
    Parsed(Box<Parsed>),
    /// One that was not: it has been reported, and what refers to it shall not be.
    Broken(Broken),
}

/// A parsed item.
#[derive(Clone, Debug)]
pub(crate) struct Parsed {
    /// A block or an attribute.
    pub(crate) structure: Structure,
    /// What its spans count from.
    pub(crate) base: Base,
}

/// What is known of an item that could not be parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    /// `source`, `directory`, `old`
    pub(crate) header: Vec<String>,
}

/// Parses a file's text. `file` is its index in the sources.
pub(crate) fn parse_items(file: usize, text: &str, diagnostics: &mut Diagnostics) -> Vec<Item> {
    let tokens = scan(text);
    let pieces = Cutter::new(file, text, &tokens, diagnostics).cut();
    let mut items = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let base = Base { file, offset: piece.range.start };
        if piece.bad {
            items.push(Item::Broken(Broken { header: piece.header }));
            continue;
        }
        match parse_body(&without_empty_heredocs(&text[piece.range.clone()], &piece)) {
            Ok(body) => items
                .extend(body.into_iter().map(|structure| Item::Parsed(Box::new(Parsed { structure, base })))),
            Err(error) => {
                diagnostics.push(explain(&error, &text[piece.range.clone()], base));
                items.push(Item::Broken(Broken { header: piece.header }));
            }
        }
    }
    items
}

/// A piece of text that should be one item.
struct Piece {
    range: Range<usize>,
    bad: bool,
    header: Vec<String>,
    empty_heredocs: Vec<Range<usize>>,
}

/// `<<EOT` and `EOT` without lines between mean `""`; spaces keep every offset where it was.
fn without_empty_heredocs<'t>(text: &'t str, piece: &Piece) -> Cow<'t, str> {
    if piece.empty_heredocs.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut copy = text.to_owned();
    for range in &piece.empty_heredocs {
        let range = range.start - piece.range.start..range.end - piece.range.start;
        let blank = format!("{:1$}", "\"\"", range.len());
        copy.replace_range(range, &blank);
    }
    Cow::Owned(copy)
}

/// An opening bracket that waits for its end.
struct Frame {
    open: u8,
    at: usize,
    indent: usize,
    is_object: bool,
    keys: usize,
}

struct Cutter<'t, 'd> {
    file: usize,
    text: &'t str,
    tokens: &'t [Token],
    diagnostics: &'d mut Diagnostics,
    at: usize,
}

/// An item on the way.
struct Walk {
    /// Its first token.
    start: usize,
    piece: Piece,
    stack: Vec<Frame>,
    /// The first bracket whose end stands further left than its line: it is the one that is not closed.
    suspect: Option<usize>,
    before: Option<Kind>,
}

fn closing(open: u8) -> u8 {
    match open {
        b'{' => b'}',
        b'[' => b']',
        _ => b')',
    }
}

/// How an item ended.
enum End {
    /// At its newline.
    Whole,
    /// Somewhere in it the text can no longer be understood; go on at the next header.
    Lost,
}

impl<'t, 'd> Cutter<'t, 'd> {
    fn new(file: usize, text: &'t str, tokens: &'t [Token], diagnostics: &'d mut Diagnostics) -> Self {
        Self { file, text, tokens, diagnostics, at: 0 }
    }

    fn report(&mut self, code: &'static str, summary: &str, at: Range<usize>, label: &str, help: &str) {
        let span = Span { file: self.file, range: at };
        self.diagnostics.push(Diagnostic::error(code, summary).at(span, label).help(help));
    }

    fn cut(mut self) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let mut lost = 0;
        while let Some(token) = self.tokens.get(self.at) {
            match token.kind {
                Kind::Space | Kind::Newline | Kind::LineComment | Kind::BlockComment => self.at += 1,
                Kind::Close(_) => {
                    self.closes_nothing(token.range.clone());
                    self.at += 1;
                }
                _ => {
                    let start = self.at;
                    let (piece, end) = self.item();
                    pieces.push(piece);
                    if let End::Lost = end {
                        lost += 1;
                        if lost == MAX_UNCLOSED_ITEMS {
                            break;
                        }
                        self.at = self.next_header(start + 1);
                    }
                }
            }
        }
        pieces
    }

    /// The next line that looks like the header of a top-level block.
    fn next_header(&self, from: usize) -> usize {
        (from..self.tokens.len())
            .find(|&i| {
                let at_line_start = i > 0 && self.tokens[i - 1].kind == Kind::Newline;
                at_line_start && self.tokens[i].kind == Kind::Word && self.header(i).1
            })
            .unwrap_or(self.tokens.len())
    }

    /// The words before `{`, and whether there is one.
    fn header(&self, from: usize) -> (Vec<String>, bool) {
        let mut words = Vec::new();
        for token in &self.tokens[from..] {
            match token.kind {
                Kind::Space => {}
                Kind::Word | Kind::Quoted => {
                    words.push(self.text[token.range.clone()].trim_matches('"').to_owned());
                }
                // `source "directory" "old {`: the name is plain all the same.
                Kind::UnclosedQuote => {
                    let text = &self.text[token.range.clone()];
                    words.push(text.trim_matches(['"', '{', ' ']).to_owned());
                }
                Kind::Open(b'{') => return (words, true),
                _ => return (words, false),
            }
        }
        (words, false)
    }

    fn indent(&self, at: usize) -> usize {
        let line = self.text[..at].rfind('\n').map_or(0, |n| n + 1);
        self.text[line..at].bytes().take_while(|b| matches!(b, b' ' | b'\t')).count()
    }

    fn item(&mut self) -> (Piece, End) {
        let start = self.at;
        let mut walk = Walk {
            start,
            piece: Piece {
                range: self.tokens[start].range.clone(),
                bad: false,
                header: self.header(start).0,
                empty_heredocs: Vec::new(),
            },
            stack: Vec::new(),
            suspect: None,
            before: None,
        };
        while let Some(token) = self.tokens.get(self.at) {
            if token.kind == Kind::Newline && walk.stack.is_empty() {
                return (walk.piece, End::Whole);
            }
            if let End::Lost = self.token(token, &mut walk) {
                walk.piece.bad = true;
                return (walk.piece, End::Lost);
            }
            if !matches!(token.kind, Kind::Space | Kind::Newline | Kind::LineComment | Kind::BlockComment) {
                walk.before = Some(token.kind);
            }
            walk.piece.range.end = token.range.end;
            self.at += 1;
        }
        if walk.stack.is_empty() {
            return (walk.piece, End::Whole);
        }
        self.unclosed(&walk);
        walk.piece.bad = true;
        (walk.piece, End::Lost)
    }

    /// Takes one token of an item; lost when nothing behind it can be understood.
    fn token(&mut self, token: &Token, walk: &mut Walk) -> End {
        let range = token.range.clone();
        match token.kind {
            Kind::Open(open) => {
                let is_object = open == b'{' && !matches!(walk.before, Some(Kind::Word | Kind::Quoted));
                self.open(open, range.start, is_object, walk);
            }
            Kind::Close(close) => {
                let Some(frame) = walk.stack.pop() else {
                    self.closes_nothing(range);
                    walk.piece.bad = true;
                    return End::Whole;
                };
                if closing(frame.open) != close {
                    if !self.lost_before(walk) {
                        self.mismatch(&frame, close, &range);
                    }
                    return End::Lost;
                }
                if self.first_on_line() && self.indent(range.start) < frame.indent {
                    walk.suspect.get_or_insert(frame.at);
                }
            }
            Kind::Mark if matches!(&self.text[range.clone()], "=" | ":") => {
                walk.piece.bad |= self.too_many_keys(walk.stack.last_mut());
            }
            Kind::Heredoc { empty: true } => walk.piece.empty_heredocs.push(range),
            Kind::UnclosedQuote | Kind::HeredocInQuote => {
                self.broken_token(token);
                walk.piece.bad = true;
                // The brace of a header is in the string that should have ended before it.
                if walk.stack.is_empty() && self.text[range.clone()].trim_end().ends_with('{') {
                    self.open(b'{', range.start, false, walk);
                }
            }
            Kind::UnclosedHeredoc | Kind::UnclosedComment => {
                if !self.lost_before(walk) {
                    self.broken_token(token);
                }
                return End::Lost;
            }
            _ => {}
        }
        End::Whole
    }

    fn open(&self, open: u8, at: usize, is_object: bool, walk: &mut Walk) {
        let indent = self.indent(at);
        walk.stack.push(Frame { open, at, indent, is_object, keys: 0 });
    }

    fn first_on_line(&self) -> bool {
        let kind = |back: usize| self.at.checked_sub(back).map(|i| self.tokens[i].kind);
        kind(1) == Some(Kind::Newline) || (kind(1) == Some(Kind::Space) && kind(2) == Some(Kind::Newline))
    }

    /// Trouble far inside an item that never ended: what is wrong is its bracket; the trouble is found again by
    /// whoever looks at the item that it is really in.
    fn lost_before(&mut self, walk: &Walk) -> bool {
        let lost = !walk.stack.is_empty() && self.next_header(walk.start + 1) < self.at;
        if lost {
            self.unclosed(walk);
        }
        lost
    }

    fn unclosed(&mut self, walk: &Walk) {
        let Some(at) = walk.suspect.or_else(|| walk.stack.last().map(|f| f.at)) else {
            return;
        };
        // In a broken header the place is the quote before the brace: that one has been told.
        if self.text.as_bytes()[at] == b'"' {
            return;
        }
        let summary = format!("this `{}` is never closed", &self.text[at..=at]);
        self.report("SYNTAX_UNCLOSED", &summary, at..at + 1, "opened here", "add the closing bracket");
    }

    fn closes_nothing(&mut self, at: Range<usize>) {
        self.report(
            "SYNTAX_UNEXPECTED_CLOSE",
            "this closes nothing",
            at,
            "no bracket is open here",
            "remove it, or add the bracket that it should close",
        );
    }

    fn mismatch(&mut self, frame: &Frame, close: u8, range: &Range<usize>) {
        let wanted = char::from(closing(frame.open));
        let summary = format!("`{}` cannot close `{}`", char::from(close), char::from(frame.open));
        let place = |range| Span { file: self.file, range };
        let diagnostic = Diagnostic::error("SYNTAX_UNCLOSED", summary)
            .at(place(frame.at..frame.at + 1), "opened here")
            .at(place(range.clone()), format!("`{wanted}` expected here"))
            .help(format!("add `{wanted}`, or correct this bracket"));
        self.diagnostics.push(diagnostic);
    }

    /// Counts a key of an object literal; tells once when they are too many.
    fn too_many_keys(&mut self, frame: Option<&mut Frame>) -> bool {
        let Some(frame) = frame.filter(|f| f.is_object) else {
            return false;
        };
        frame.keys += 1;
        if frame.keys <= MAX_OBJECT_KEYS {
            return false;
        }
        if frame.keys == MAX_OBJECT_KEYS + 1 {
            let at = frame.at;
            self.report(
                "SYNTAX_OBJECT_TOO_LARGE",
                &format!("an object literal may have {MAX_OBJECT_KEYS} keys"),
                at..at + 1,
                "this one has more",
                "keep the data in a file and read it with jsondecode(file(...)) or csvdecode(file(...))",
            );
        }
        true
    }

    fn broken_token(&mut self, token: &Token) {
        let range = token.range.clone();
        match token.kind {
            Kind::UnclosedQuote => self.report(
                "SYNTAX_UNCLOSED_STRING",
                "this quoted string does not end on its line",
                range.start..range.start + 1,
                "starts here",
                "add the closing `\"`; for text of several lines write a heredoc: <<EOT",
            ),
            Kind::HeredocInQuote => self.report(
                "SYNTAX_HEREDOC_IN_STRING",
                "a heredoc inside a quoted string is not supported",
                range,
                "this string",
                "give the heredoc a name in `locals` and use that",
            ),
            Kind::UnclosedHeredoc => self.report(
                "SYNTAX_UNCLOSED_HEREDOC",
                "the end of this heredoc is missing",
                range,
                "starts here",
                "put its delimiter on a line of its own after the text",
            ),
            _ => self.report(
                "SYNTAX_UNCLOSED_COMMENT",
                "this comment is never closed",
                range,
                "starts here",
                "add `*/`",
            ),
        }
    }
}

/// The parser's error as a diagnostic. Its `Display` panics on very long lines, so only its parts are used.
fn explain(error: &hcl::edit::parser::Error, text: &str, base: Base) -> Diagnostic {
    let mut at = error.location().offset().min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let next = text[at..].chars().next();
    let len = next.filter(|c| *c != '\n').map_or(0, char::len_utf8);
    let message = error.message();
    // The list of all that could start an expression helps nobody.
    let message = match message.split_once("; ") {
        Some((what, expected)) if expected.matches(',').count() > 4 => what,
        _ => message,
    };
    let found = match next {
        Some('\n') => "the line ends here".to_owned(),
        Some(c) => format!("found `{c}`"),
        None => "the block ends here".to_owned(),
    };
    let help = match next {
        Some('\'') => "strings are written in double quotes",
        Some(':') => "an argument is written `name = value`",
        Some(',') => "arguments of a block stand on lines of their own, without commas",
        Some('}') => "an argument is written `name = value`",
        _ => "see what stands before this place, too: a missing quote or `=` is often noticed late",
    };
    Diagnostic::error("SYNTAX", message.replace('\n', " ").trim().to_owned())
        .at(base.span(Some(at..at + len)), found)
        .help(help)
}
