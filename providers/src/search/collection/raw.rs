//! JSON cut into its parts without being read: a document's body has to come out as it went in, to the digit, and a value
//! that was parsed and printed again has lost that.
//!
//! Servers keep and give back what they took, and they take a byte order mark and comments, too: both count as space.

/// A part of a JSON text that is no JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotJson;

type Part<'a> = Result<&'a [u8], NotJson>;
/// A name and a value, as they are written.
type Member<'a> = (&'a [u8], &'a [u8]);

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

fn spaces(mut text: &[u8]) -> &[u8] {
    loop {
        let at = text.iter().position(|b| !b.is_ascii_whitespace()).unwrap_or(text.len());
        text = text.get(at..).unwrap_or_default();
        match (text.strip_prefix(BYTE_ORDER_MARK), comment(text)) {
            (Some(rest), _) => text = rest,
            (None, Some(length)) => text = text.get(length..).unwrap_or_default(),
            (None, None) => return text,
        }
    }
}

/// How long the comment is that `text` begins with; `None`: it begins with none, or with one that does not end.
fn comment(text: &[u8]) -> Option<usize> {
    let end = |of: &[u8]| text.windows(of.len()).skip(2).position(|at| at == of).map(|at| at + 2 + of.len());
    match text {
        [b'/', b'*', ..] => end(b"*/"),
        [b'/', b'/', ..] => Some(end(b"\n").unwrap_or(text.len())),
        _ => None,
    }
}

/// How long the string is that `text` begins with, both quotes included.
fn string(text: &[u8]) -> Result<usize, NotJson> {
    let mut at = 1;
    loop {
        match text.get(at) {
            Some(b'\\') => at += 2,
            Some(b'"') => return Ok(at + 1),
            Some(_) => at += 1,
            None => return Err(NotJson),
        }
    }
}

/// How long the value is that `text` begins with.
fn value(text: &[u8]) -> Result<usize, NotJson> {
    match text.first() {
        Some(b'"') => string(text),
        Some(b'{' | b'[') => {
            let (mut at, mut depth) = (0, 0_usize);
            loop {
                match text.get(at) {
                    Some(b'"') => at += string(text.get(at..).unwrap_or_default())?,
                    Some(b'{' | b'[') => (at, depth) = (at + 1, depth + 1),
                    Some(b'}' | b']') => (at, depth) = (at + 1, depth - 1),
                    Some(b'/') => at += comment(text.get(at..).unwrap_or_default()).ok_or(NotJson)?,
                    Some(_) => at += 1,
                    None => return Err(NotJson),
                }
                if depth == 0 {
                    return Ok(at);
                }
            }
        }
        Some(_) => {
            let ends = |b: &u8| b",]} \t\r\n/".contains(b);
            match text.iter().position(ends).unwrap_or(text.len()) {
                0 => Err(NotJson),
                length => Ok(length),
            }
        }
        None => Err(NotJson),
    }
}

/// The members of an object, or the items of an array (their names are empty).
pub(super) struct Parts<'a> {
    rest: &'a [u8],
    /// `}` or `]`; 0: it is over.
    close: u8,
    first: bool,
}

/// The parts of an object or an array.
pub(super) fn parts(text: &[u8]) -> Result<Parts<'_>, NotJson> {
    let text = spaces(text);
    let close = match text.first() {
        Some(b'{') => b'}',
        Some(b'[') => b']',
        _ => return Err(NotJson),
    };
    Ok(Parts { rest: text.get(1..).unwrap_or_default(), close, first: true })
}

impl<'a> Parts<'a> {
    fn step(&mut self) -> Result<Option<Member<'a>>, NotJson> {
        self.rest = spaces(self.rest);
        match (self.rest.first(), self.first) {
            (Some(b), _) if *b == self.close => {
                self.close = 0;
                return Ok(None);
            }
            (Some(b','), false) => self.rest = spaces(self.rest.get(1..).unwrap_or_default()),
            (Some(_), true) => {}
            _ => return Err(NotJson),
        }
        self.first = false;
        let mut name: &[u8] = &[];
        if self.close == b'}' {
            if self.rest.first() != Some(&b'"') {
                return Err(NotJson);
            }
            let quoted = self.cut(string(self.rest)?)?;
            name = quoted.get(1..quoted.len() - 1).unwrap_or_default();
            self.rest = spaces(self.rest);
            if self.rest.first() != Some(&b':') {
                return Err(NotJson);
            }
            self.rest = spaces(self.rest.get(1..).unwrap_or_default());
        }
        let part = self.cut(value(self.rest)?)?;
        Ok(Some((name, part)))
    }

    fn cut(&mut self, length: usize) -> Part<'a> {
        let part = self.rest.get(..length).ok_or(NotJson)?;
        self.rest = self.rest.get(length..).unwrap_or_default();
        Ok(part)
    }
}

impl<'a> Iterator for Parts<'a> {
    /// The name as it is written, without its quotes, and the value as it is written.
    type Item = Result<Member<'a>, NotJson>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.close == 0 {
            return None;
        }
        let step = self.step().transpose();
        if matches!(step, Some(Err(NotJson))) {
            self.close = 0;
        }
        step
    }
}

/// The member of an object with this name, `None` when there is none.
pub(super) fn member<'a>(text: &'a [u8], name: &str) -> Result<Option<&'a [u8]>, NotJson> {
    for part in parts(text)? {
        let (found, value) = part?;
        if found == name.as_bytes() {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// The same value on one line, without spaces between its parts; its strings and numbers as they are.
pub(super) fn compact(text: &[u8]) -> Result<Vec<u8>, NotJson> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        if *byte == b'"' {
            let rest = text.get(at..).unwrap_or_default();
            let length = string(rest)?;
            out.extend_from_slice(rest.get(..length).ok_or(NotJson)?);
            at += length;
            continue;
        }
        let rest = text.get(at..).unwrap_or_default();
        let after = spaces(rest);
        if after.len() < rest.len() {
            at += rest.len() - after.len();
        } else if *byte == b'/' {
            return Err(NotJson);
        } else {
            out.push(*byte);
            at += 1;
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Result<Vec<(String, String)>, NotJson> {
        let text_of = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        parts(text.as_bytes())?.map(|p| p.map(|(n, v)| (text_of(n), text_of(v)))).collect()
    }

    #[test]
    fn parts_come_out_as_they_are_written() {
        let text = r#" { "a\"}" : 1.0e400 , "b":{"c":[1, "]"]}, "d" : "x\\" ,"e":null }"#;
        let wanted = [("a\\\"}", "1.0e400"), ("b", r#"{"c":[1, "]"]}"#), ("d", r#""x\\""#), ("e", "null")];
        let wanted: Vec<(String, String)> =
            wanted.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        assert_eq!(shown(text), Ok(wanted));
        assert_eq!(shown("[1,[2],{}]").expect("json").len(), 3);
        assert_eq!(shown("{}"), Ok(Vec::new()));
        assert_eq!(member(br#"{"a":1,"b":[2]}"#, "b"), Ok(Some(b"[2]".as_slice())));
        assert_eq!(member(br#"{"a":1}"#, "b"), Ok(None));
    }

    #[test]
    fn a_byte_order_mark_and_comments_are_space() {
        let text = "\u{feff}{\"a\":1/* it\"s }*/, // one \"quote\n\"b\":\u{feff}{\"/*\": \"//\" /* [ */}, \"c\" /**/ : [2,/*,*/3]}";
        let wanted = [("a", "1"), ("b", "{\"/*\": \"//\" /* [ */}"), ("c", "[2,/*,*/3]")];
        assert_eq!(shown(text), Ok(wanted.map(|(a, b)| (a.to_owned(), b.to_owned())).into()));
        let body = compact(text.as_bytes()).expect("json");
        assert_eq!(body, br#"{"a":1,"b":{"/*":"//"},"c":[2,3]}"#);
        for wrong in ["{\"a\":1 /* }", "{\"a\":1 / 2}"] {
            assert_eq!(compact(wrong.as_bytes()), Err(NotJson), "{wrong}");
        }
    }

    #[test]
    fn what_was_cut_short_is_no_json() {
        let text = r#"{"a":{"b":"x"},"c":[1,2]}"#;
        for length in 0..text.len() {
            assert_eq!(shown(&text[..length]), Err(NotJson), "{}", &text[..length]);
        }
        for wrong in ["{\"a\"}", "{\"a\":}", "{1:2}", "[1 2]", "1", "{\"a\":1 \"b\":2}"] {
            assert_eq!(shown(wrong), Err(NotJson), "{wrong}");
        }
    }

    #[test]
    fn a_body_loses_its_spaces_and_nothing_else() {
        let body = "{ \"a b\" :\n [ 1.00 , 12345678901234567890123 ] ,\t\"c\": \" x \\\" y \" }";
        let wanted = "{\"a b\":[1.00,12345678901234567890123],\"c\":\" x \\\" y \"}";
        assert_eq!(compact(body.as_bytes()).expect("json"), wanted.as_bytes());
    }
}
