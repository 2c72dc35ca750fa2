//! The formatter: indents lines by their brackets, aligns `=` of neighbouring arguments, tidies block
//! headers. It works on the text, so that strings, heredocs and comments stay byte for byte what they were.

use super::diagnostic::{Diagnostic, Diagnostics};
use super::items::parse_items;
use super::load::normalise;
use super::scan::{Kind, Token, scan};
use super::stack::on_deep_stack;

/// Spaces a level.
const INDENT: usize = 2;

/// Formats a spec's text. Formatting twice is formatting once.
///
/// # Errors
///
/// The syntax errors of the text (file index 0): text that cannot be understood is not touched.
pub fn format(text: &str) -> Result<String, Vec<Diagnostic>> {
    let text = normalise(text);
    let diagnostics = on_deep_stack(|| {
        let mut diagnostics = Diagnostics::default();
        parse_items(0, &text, &mut diagnostics);
        diagnostics
    });
    if diagnostics.has_errors() {
        return Err(diagnostics.into_sorted());
    }
    let tokens = scan(&text);
    let mut lines = Vec::new();
    let mut levels = Levels::default();
    for line in tokens.split(|t| t.kind == Kind::Newline) {
        lines.push(Line::new(&text, line, &mut levels));
    }
    align(&mut lines);
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for line in &lines {
        line.write(&mut out);
    }
    let kept = out.trim_end_matches('\n').len();
    out.truncate(kept);
    if !out.is_empty() {
        out.push('\n');
    }
    Ok(out)
}

/// Open brackets, grouped by the line that opened them: one line indents by one level, however many it opens.
#[derive(Default)]
struct Levels(Vec<usize>);

impl Levels {
    fn close(&mut self) {
        if let Some(open) = self.0.last_mut() {
            *open -= 1;
            if *open == 0 {
                self.0.pop();
            }
        }
    }
}

/// A line, cut where its parts may move.
struct Line {
    indent: usize,
    /// All up to `=`, or the whole line where there is none.
    head: String,
    /// From behind `=` on.
    value: Option<String>,
    /// Whether `=` may be aligned: the value ends on this line.
    single: bool,
    /// Width of the head with what alignment adds.
    width: usize,
}

impl Line {
    fn new(text: &str, tokens: &[Token], levels: &mut Levels) -> Self {
        let space = |t: &&Token| t.kind == Kind::Space;
        let skip = tokens.iter().take_while(space).count();
        let keep = tokens.len() - tokens[skip..].iter().rev().take_while(space).count();
        let tokens = &tokens[skip..keep];
        let depth_before = levels.0.len();
        let leading = tokens.iter().take_while(|t| matches!(t.kind, Kind::Close(_))).count();
        for _ in 0..leading {
            levels.close();
        }
        let indent = levels.0.len() * INDENT;
        let mut opened = 0_usize;
        for token in &tokens[leading..] {
            match token.kind {
                Kind::Open(_) => opened += 1,
                Kind::Close(_) if opened > 0 => opened -= 1,
                Kind::Close(_) => levels.close(),
                _ => {}
            }
        }
        if opened > 0 {
            levels.0.push(opened);
        }
        let one_line = !tokens.iter().any(|t| text[t.range.clone()].contains('\n'));
        let (head, value) = split(text, tokens);
        Self {
            indent,
            width: head.chars().count(),
            head,
            single: value.is_some() && one_line && levels.0.len() == depth_before && leading == 0,
            value,
        }
    }

    fn write(&self, out: &mut String) {
        if self.head.is_empty() {
            out.push('\n');
            return;
        }
        out.extend(std::iter::repeat_n(' ', self.indent));
        out.push_str(&self.head);
        if let Some(value) = &self.value {
            let pad = self.width - self.head.chars().count();
            out.extend(std::iter::repeat_n(' ', pad));
            out.push_str(" =");
            if !value.is_empty() {
                out.push(' ');
                out.push_str(value);
            }
        }
        out.push('\n');
    }
}

/// Head and value of `name = value`; a block's header with single spaces; anything else as it was.
fn split(text: &str, tokens: &[Token]) -> (String, Option<String>) {
    let whole = |tokens: &[Token]| match (tokens.first(), tokens.last()) {
        (Some(first), Some(last)) => trim_comment(&text[first.range.start..last.range.end]),
        _ => String::new(),
    };
    let mut words: Vec<&str> = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        match token.kind {
            Kind::Space => {}
            Kind::Word | Kind::Quoted => words.push(&text[token.range.clone()]),
            Kind::Mark if &text[token.range.clone()] == "=" && words.len() == 1 => {
                let after = &tokens[at + 1..];
                let skip = after.iter().take_while(|t| t.kind == Kind::Space).count();
                return (words[0].to_owned(), Some(whole(&after[skip..])));
            }
            Kind::Open(b'{') if tokens[0].kind == Kind::Word && !words.is_empty() => {
                let rest = whole(&tokens[at..]);
                return (format!("{} {rest}", words.join(" ")), None);
            }
            _ => break,
        }
    }
    (whole(tokens), None)
}

/// Only line comments may end in spaces that mean nothing.
fn trim_comment(text: &str) -> String {
    text.trim_end_matches([' ', '\t']).to_owned()
}

fn align(lines: &mut [Line]) {
    let mut from = 0;
    while from < lines.len() {
        let same = |line: &Line, first: &Line| line.single && line.indent == first.indent;
        let run = lines[from..].iter().take_while(|l| same(l, &lines[from])).count();
        let width = lines[from..from + run].iter().map(|l| l.width).max().unwrap_or(0);
        for line in &mut lines[from..from + run] {
            line.width = width;
        }
        from += run.max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::format;
    use proptest::prelude::{Strategy, prop, proptest};

    #[test]
    fn indents_aligns_and_keeps_text() {
        let text = "a=1\nlonger  =   \"x  \\u00e9\" # c  \nsource  \"directory\"   \"old\"{\npath=\"p\"\n   excludes = [\n\"a\",\n  ]\n\n\n note = <<-EOT\n   keep\n  EOT\n}\n\n\n";
        insta::assert_snapshot!(format(text).unwrap(), @r#"
        a      = 1
        longer = "x  \u00e9" # c
        source "directory" "old" {
          path = "p"
          excludes = [
            "a",
          ]


          note = <<-EOT
           keep
          EOT
        }
        "#);
    }

    #[test]
    fn text_with_errors_is_not_touched() {
        assert_eq!(format("a = {\n").unwrap_err()[0].code, "SYNTAX_UNCLOSED");
    }

    fn piece() -> impl Strategy<Value = String> {
        prop::sample::select(vec![
            "a = 1\n",
            "bcd=\"x${ [1,2][0] }\"\n",
            "  e = [\n1,\n 2 ]\n",
            "x = f({\n a = 1\nbb=2\n})\n",
            "# c\n",
            "/* a\n b */\n",
            "s \"t\"  {\n",
            "}\n",
            "h = <<E\n  x = 1\n E\n",
            "h = <<-E\nE\n",
            "\n",
            " k { a = 1 }\n",
            "t = a ? b : { \"q\" = 1 } // z \n",
        ])
        .prop_map(str::to_owned)
    }

    proptest! {
        #[test]
        fn formatting_twice_is_formatting_once(pieces in prop::collection::vec(piece(), 0..12)) {
            if let Ok(once) = format(&pieces.concat()) {
                assert_eq!(format(&once).unwrap(), once);
            }
        }

        #[test]
        fn mutated_text_never_panics(pieces in prop::collection::vec(piece(), 0..12), at in 0usize..200, with in ".{0,2}") {
            let mut text = pieces.concat();
            let mut at = at.min(text.len());
            while !text.is_char_boundary(at) { at -= 1; }
            text.insert_str(at, &with);
            let _ = format(&text);
        }
    }
}
