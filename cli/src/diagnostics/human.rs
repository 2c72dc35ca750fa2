//! Problems drawn with the text around them.

use std::collections::BTreeMap;
use std::fmt;

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, SourceCode};
use segue_language::{Diagnostic, Label, Severity, Source};

use super::excerpt::Excerpt;
use super::machine::word;
use crate::printer::Look;

/// A problem as the drawing library wants it: one source text, and the labels in it.
#[derive(Debug)]
struct Drawing {
    code: Option<String>,
    summary: String,
    help: Option<String>,
    severity: miette::Severity,
    excerpt: Option<Excerpt>,
    labels: Vec<LabeledSpan>,
    /// The same problem's labels in other files.
    related: Vec<Drawing>,
}

impl fmt::Display for Drawing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.summary)
    }
}

impl std::error::Error for Drawing {}

impl miette::Diagnostic for Drawing {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.code.as_ref().map(|code| Box::new(code) as _)
    }
    fn severity(&self) -> Option<miette::Severity> {
        Some(self.severity)
    }
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as _)
    }
    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.excerpt.as_ref().map(|e| e as _)
    }
    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        (!self.labels.is_empty()).then(|| Box::new(self.labels.iter().cloned()) as _)
    }
    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn miette::Diagnostic> + 'a>> {
        (!self.related.is_empty())
            .then(|| Box::new(self.related.iter().map(|d| d as &dyn miette::Diagnostic)) as _)
    }
}

impl Drawing {
    fn of(problem: &Diagnostic, sources: &[Source]) -> Self {
        let Diagnostic { severity, code, summary, help, labels, about: _ } = problem;
        let mut by_file: BTreeMap<usize, Vec<&Label>> = BTreeMap::new();
        for label in labels {
            by_file.entry(label.span.file).or_default().push(label);
        }
        let first = labels.first().map(|l| l.span.file);
        let mut drawing = Self {
            code: Some(format!("{}[{code}]", word(*severity))),
            summary: summary.clone(),
            help: help.clone(),
            severity: drawn(*severity),
            excerpt: None,
            labels: Vec::new(),
            related: Vec::new(),
        };
        for (file, labels) in by_file {
            let Some(source) = sources.get(file) else { continue };
            let (excerpt, spans) = excerpt_of(source, &labels);
            if Some(file) == first {
                (drawing.excerpt, drawing.labels) = (Some(excerpt), spans);
            } else {
                drawing.related.push(Self {
                    code: None,
                    summary: format!("the same problem, in {}", source.name),
                    help: None,
                    severity: miette::Severity::Advice,
                    excerpt: Some(excerpt),
                    labels: spans,
                    related: Vec::new(),
                });
            }
        }
        drawing
    }
}

fn excerpt_of(source: &Source, labels: &[&Label]) -> (Excerpt, Vec<LabeledSpan>) {
    let ranges: Vec<_> = labels.iter().map(|l| l.span.range.clone()).collect();
    let (excerpt, moved) = Excerpt::of(source, &ranges);
    let spans = labels
        .iter()
        .zip(moved)
        .enumerate()
        .map(|(i, (label, range))| {
            let text = (!label.text.is_empty()).then(|| label.text.clone());
            if i == 0 {
                LabeledSpan::new_primary_with_span(text, (range.start, range.len()))
            } else {
                LabeledSpan::new_with_span(text, (range.start, range.len()))
            }
        })
        .collect();
    (excerpt, spans)
}

fn drawn(severity: Severity) -> miette::Severity {
    match severity {
        Severity::Error => miette::Severity::Error,
        Severity::Warning => miette::Severity::Warning,
    }
}

/// A problem with the text around it.
pub(super) fn text(problem: &Diagnostic, sources: &[Source], look: &Look) -> String {
    let theme = match (look.unicode, look.colour) {
        (true, true) => GraphicalTheme::unicode(),
        (true, false) => GraphicalTheme::unicode_nocolor(),
        (false, true) => GraphicalTheme { styles: miette::ThemeStyles::ansi(), ..GraphicalTheme::ascii() },
        (false, false) => GraphicalTheme { styles: miette::ThemeStyles::none(), ..GraphicalTheme::ascii() },
    };
    let drawer = GraphicalReportHandler::new_themed(theme).with_links(false).with_width(look.width);
    let mut out = String::new();
    match drawer.render_report(&mut out, &Drawing::of(problem, sources)) {
        Ok(()) => out,
        Err(_) => super::machine::text(std::slice::from_ref(problem), sources),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use insta::assert_snapshot;
    use segue_language::{Diagnostic, Source, Span};

    use super::text;
    use crate::printer::Look;

    fn sources() -> Vec<Source> {
        let source = |name: &str, text: &str| Source {
            name: name.to_owned(),
            path: PathBuf::from(name),
            text: text.to_owned(),
        };
        vec![
            source("main.segue.hcl", "source \"directory\" \"old\" {\n  pth = \"old\"\n}\n"),
            source("other.segue.hcl", "# more\n\nsource \"directory\" \"old\" {\n}\n"),
        ]
    }

    #[test]
    fn a_problem_is_drawn_with_its_text_its_code_and_what_to_do() {
        let problem = Diagnostic::error("SPEC_UNKNOWN_ARGUMENT", "there is no argument `pth` here")
            .at(Span { file: 0, range: 29..32 }, "not an argument of source \"directory\"")
            .help("did you mean `path`?");
        assert_snapshot!(text(&problem, &sources(), &Look::plain()), @r#"
        error[SPEC_UNKNOWN_ARGUMENT]

          x there is no argument `pth` here
           ,-[main.segue.hcl:2:3]
         1 | source "directory" "old" {
         2 |   pth = "old"
           :   ^|^
           :    `-- not an argument of source "directory"
         3 | }
           `----
          help: did you mean `path`?
        "#);
    }

    #[test]
    fn a_problem_in_two_files_shows_both() {
        let problem = Diagnostic::error("SPEC_DUPLICATE", "source.directory.old is declared twice")
            .at(Span { file: 1, range: 8..32 }, "here again")
            .at(Span { file: 0, range: 0..24 }, "first here");
        assert_snapshot!(text(&problem, &sources(), &Look::plain()), @r#"
        error[SPEC_DUPLICATE]

          x source.directory.old is declared twice
           ,-[other.segue.hcl:3:1]
         2 | 
         3 | source "directory" "old" {
           : ^^^^^^^^^^^^|^^^^^^^^^^^
           :             `-- here again
         4 | }
           `----

        Advice: 
          > the same problem, in main.segue.hcl
           ,-[main.segue.hcl:1:1]
         1 | source "directory" "old" {
           : ^^^^^^^^^^^^|^^^^^^^^^^^
           :             `-- first here
         2 |   pth = "old"
           `----
        "#);
    }

    #[test]
    fn a_problem_without_a_place_is_told_too() {
        let problem = Diagnostic::warning("SPEC_UNUSED", "nothing uses var.x").help("remove it");
        assert_snapshot!(text(&problem, &sources(), &Look::plain()), @r"
        warning[SPEC_UNUSED]

          ! nothing uses var.x
          help: remove it
        ");
    }
}
