//! A spec's problems, as people and machines want them: with the source text around them, as JSON, as SARIF,
//! as GitHub's annotations, or a line each.

mod excerpt;
mod human;
mod machine;

use clap::ValueEnum;
use segue_language::{Diagnostic, Loaded, Severity, Source};

use crate::failure::Failure;
use crate::printer::Printer;

/// How many problems are drawn with their text; beyond that nobody reads them, and drawing costs.
const DRAWN_MAX: usize = 50;

/// How problems are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// With the text around them, on stderr
    Human,
    /// One line each
    Text,
    /// One JSON document
    Json,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// Annotations of a GitHub workflow
    Github,
}

/// Tells all problems of a spec.
///
/// # Errors
/// Standard output cannot be written to.
pub(crate) fn tell(printer: &Printer, loaded: &Loaded, format: Format) -> Result<(), Failure> {
    let (sources, problems) = (loaded.sources.as_slice(), loaded.diagnostics.as_slice());
    match format {
        Format::Human => {
            let look = printer.talk_look();
            for problem in problems.iter().take(DRAWN_MAX) {
                printer.say_anyway(&human::text(problem, sources, &look));
            }
            if let Some(count) = count_line(problems) {
                printer.say_anyway(&count);
            }
            Ok(())
        }
        Format::Text => printer.data(&machine::text(problems, sources)),
        Format::Json => printer.json_data(&machine::json(problems, sources)),
        Format::Sarif => printer.json_data(&machine::sarif(problems, sources)),
        Format::Github => printer.data(&machine::github(problems, sources)),
    }
}

/// How many there are; said when there are several, or when some are not shown.
fn count_line(problems: &[Diagnostic]) -> Option<String> {
    if problems.len() < 2 {
        return None;
    }
    let errors = problems.iter().filter(|d| d.severity == Severity::Error).count();
    let warnings = problems.len() - errors;
    let hidden = problems.len().saturating_sub(DRAWN_MAX);
    let shown = if hidden > 0 {
        format!("; {hidden} more are not shown (--format text lists all)")
    } else {
        String::new()
    };
    Some(format!("{errors} errors, {warnings} warnings{shown}"))
}

/// Where a byte of a source is: line and column, both from 1, the column in characters.
fn place(source: &Source, byte: usize) -> (usize, usize) {
    let upto = source.text.get(..byte.min(source.text.len())).unwrap_or(&source.text);
    let line = upto.bytes().filter(|b| *b == b'\n').count() + 1;
    let column = upto.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}
