//! The part of a source that a drawing needs. Lines that are very long are cut to a window around the label:
//! the drawing library panics at columns beyond 65535, and nobody could read them.

use std::ops::Range;

use miette::{MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};
use segue_language::Source;

/// A longer line is cut.
const LINE_BYTES_MAX: usize = 400;
/// What is kept before and after a label's start.
const WINDOW_BYTES: usize = 120;
/// Lines kept around the labels.
const CONTEXT_LINES: usize = 2;

/// Some lines of a source, with spans moved along.
#[derive(Debug)]
pub(super) struct Excerpt {
    name: String,
    text: String,
    /// Lines of the source before it.
    lines_before: usize,
}

impl Excerpt {
    /// The lines around `spans`, and the spans in it.
    pub(super) fn of(source: &Source, spans: &[Range<usize>]) -> (Self, Vec<Range<usize>>) {
        let text = source.text.as_str();
        let start = spans.iter().map(|s| s.start.min(text.len())).min().unwrap_or(0);
        let end = spans.iter().map(|s| s.end.min(text.len())).max().unwrap_or(0);
        let from = nth_line_start_before(text, start, CONTEXT_LINES);
        let to = nth_line_end_after(text, end, CONTEXT_LINES);
        let mut out = String::new();
        let mut moved = vec![0..0; spans.len()];
        let mut at = from;
        for line in text.get(from..to).unwrap_or_default().split_inclusive('\n') {
            let range = at..at + line.len();
            at = range.end;
            let first = spans
                .iter()
                .filter(|s| s.start < range.end && s.end >= range.start)
                .map(|s| s.start.max(range.start))
                .min();
            let kept = window(text, &range, first);
            let shift = out.len();
            for (span, moved) in spans.iter().zip(&mut moved) {
                if span.start >= range.start && span.start < range.end.max(range.start + 1) {
                    moved.start = shift + span.start.clamp(kept.start, kept.end) - kept.start;
                }
                if span.end >= range.start && span.end <= range.end {
                    moved.end = shift + span.end.clamp(kept.start, kept.end) - kept.start;
                }
            }
            out.push_str(text.get(kept.clone()).unwrap_or_default());
            if line.ends_with('\n') && !out.ends_with('\n') {
                out.push('\n');
            }
        }
        for (span, moved) in spans.iter().zip(&mut moved) {
            // The end of the text, after its last line's end.
            if span.start >= to {
                moved.start = out.len();
            }
            moved.end = moved.end.max(moved.start).min(out.len());
            moved.start = moved.start.min(out.len());
        }
        let lines_before = text.get(..from).unwrap_or_default().bytes().filter(|b| *b == b'\n').count();
        (Self { name: source.name.clone(), text: out, lines_before }, moved)
    }
}

/// What is kept of a line, its line end left out when it is cut.
fn window(text: &str, line: &Range<usize>, label: Option<usize>) -> Range<usize> {
    if line.len() <= LINE_BYTES_MAX {
        return line.clone();
    }
    let centre = label.unwrap_or(line.start);
    let mut from = centre.saturating_sub(WINDOW_BYTES).max(line.start);
    let mut to = (centre + WINDOW_BYTES).min(line.end);
    while !text.is_char_boundary(from) {
        from -= 1;
    }
    while !text.is_char_boundary(to) {
        to -= 1;
    }
    from..to
}

fn nth_line_start_before(text: &str, byte: usize, lines: usize) -> usize {
    let mut start = byte;
    for _ in 0..=lines {
        let before = text.get(..start).unwrap_or_default();
        match before.rfind('\n') {
            Some(newline) => start = newline,
            None => return 0,
        }
    }
    start + 1
}

fn nth_line_end_after(text: &str, byte: usize, lines: usize) -> usize {
    let mut end = byte;
    for _ in 0..=lines {
        match text.get(end..).unwrap_or_default().find('\n') {
            Some(newline) => end += newline + 1,
            None => return text.len(),
        }
    }
    end
}

impl SourceCode for Excerpt {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        lines_before: usize,
        lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let inner = self.text.as_str().read_span(span, lines_before, lines_after)?;
        Ok(Box::new(MietteSpanContents::new_named(
            self.name.clone(),
            inner.data(),
            *inner.span(),
            inner.line() + self.lines_before,
            inner.column(),
            inner.line_count(),
        )))
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use segue_language::Source;

    use super::{Excerpt, Range};

    fn source(text: &str) -> Source {
        Source { name: "a.segue.hcl".to_owned(), path: PathBuf::from("a.segue.hcl"), text: text.to_owned() }
    }

    #[test]
    fn spans_move_with_the_lines_that_are_kept() {
        let text: String = (1..=20).map(|n| format!("line {n:02} here\n")).collect();
        let at = text.find("10 here").unwrap();
        let (excerpt, moved) = Excerpt::of(&source(&text), &[Range { start: at, end: at + 2 }]);
        assert_eq!(&excerpt.text[moved[0].clone()], "10");
        assert_eq!(excerpt.lines_before, 7);
        assert_eq!(excerpt.text.lines().count(), 5);
    }

    #[test]
    fn a_long_line_is_cut_around_its_label() {
        let text = format!("a = \"{}\" + wrong + \"{}\"\n", "ä".repeat(50_000), "x".repeat(50_000));
        let at = text.find("wrong").unwrap();
        let (excerpt, moved) = Excerpt::of(&source(&text), &[Range { start: at, end: at + 5 }]);
        assert_eq!(&excerpt.text[moved[0].clone()], "wrong");
        assert!(excerpt.text.len() < 300, "{}", excerpt.text.len());
    }

    #[test]
    fn every_span_of_every_text_stays_inside() {
        for text in ["", "\n", "a", "a\n", "ab\ncd", "a\r\nb\n\n\n"] {
            for start in 0..=text.len() {
                for end in start..=text.len() + 1 {
                    let (excerpt, moved) = Excerpt::of(&source(text), &[start..end, start..start]);
                    for span in moved {
                        assert!(
                            span.start <= span.end && span.end <= excerpt.text.len(),
                            "{text:?} {start}..{end}"
                        );
                    }
                }
            }
        }
    }
}
