//! Problems of a spec as data: collected, all of them, with places and advice. How they look is the
//! command line's affair.

use std::ops::Range;

use segue_contract::Address;
use serde::Serialize;

/// A place in a spec's text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Span {
    /// Index into the loaded sources.
    pub file: usize,
    /// Byte range in that source's text.
    pub range: Range<usize>,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The spec cannot be used.
    Error,
    /// The spec can be used; somebody should look.
    Warning,
}

/// A place and what is to be said about it. The first label of a diagnostic is where the problem is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// What is there, a short fragment; may be empty.
    pub text: String,
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// How bad.
    pub severity: Severity,
    /// Stable name: `SPEC_UNKNOWN_ARGUMENT`.
    pub code: &'static str,
    /// What is wrong, one sentence without a full stop.
    pub summary: String,
    /// What to do next.
    pub help: Option<String>,
    /// Where; empty only for problems outside of any text (a command-line variable).
    pub labels: Vec<Label>,
    /// The block that it is about, where who reads the state can say more of it.
    #[serde(skip)]
    pub about: Option<Address>,
}

impl Diagnostic {
    /// An error without a place yet.
    pub fn error(code: &'static str, summary: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            summary: summary.into(),
            help: None,
            labels: Vec::new(),
            about: None,
        }
    }

    /// A warning without a place yet.
    pub fn warning(code: &'static str, summary: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, summary) }
    }

    /// Adds a place.
    #[must_use]
    pub fn at(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { span, text: text.into() });
        self
    }

    /// Adds what to do next.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds the block that it is about.
    #[must_use]
    pub fn about(mut self, address: &Address) -> Self {
        self.about = Some(address.clone());
        self
    }

    /// Adds "did you mean", where something is near.
    #[must_use]
    pub fn suggest(self, name: &str, candidates: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        match nearest(name, candidates) {
            Some(near) => self.help(format!("did you mean `{near}`?")),
            None => self,
        }
    }
}

/// Collects problems.
#[derive(Clone, Debug, Default)]
pub(crate) struct Diagnostics {
    list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Adds one, unless the same was said about the same place (an instance of `for_each` repeats it).
    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        if !diagnostic.labels.is_empty()
            && self
                .list
                .iter()
                .rev()
                .take(REPEATS_LOOKED_AT)
                .any(|d| d.code == diagnostic.code && d.labels.first() == diagnostic.labels.first())
        {
            return;
        }
        self.list.push(diagnostic);
    }

    /// The candidate that is nearest to a mistyped name. After very many problems nothing is near any more: each look
    /// compares with many names, and nobody reads that far.
    pub(crate) fn near(
        &self,
        name: &str,
        candidates: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Option<String> {
        if self.suggests() { nearest(name, candidates) } else { None }
    }

    /// Whether near names are still looked for.
    pub(crate) fn suggests(&self) -> bool {
        self.list.len() < MAX_SUGGESTIONS
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// Forgets all after the first `len`.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.list.truncate(len);
    }

    /// Whether one of them is an error.
    pub(crate) fn has_errors(&self) -> bool {
        self.list.iter().any(|d| d.severity == Severity::Error)
    }

    /// All of them, in the order of the text; those without a place come last.
    pub(crate) fn into_sorted(mut self) -> Vec<Diagnostic> {
        self.list
            .sort_by_key(|d| d.labels.first().map_or((usize::MAX, 0), |l| (l.span.file, l.span.range.start)));
        self.list
    }
}

/// How far back a repeated problem is looked for: instances of one block report one after another.
const REPEATS_LOOKED_AT: usize = 32;

/// After so many problems no near names are looked for.
const MAX_SUGGESTIONS: usize = 200;

/// So many candidates are compared with a name.
const MAX_CANDIDATES: usize = 500;

/// A name longer than this, in bytes, is no slip of a finger on another one; comparing is quadratic in it.
const MAX_NAME_BYTES: usize = 64;

/// The candidate that is nearest to a mistyped name, if one is near enough to be meant. Looks at the first
/// 500 candidates, and at no names that are longer than 64 bytes.
pub fn nearest(name: &str, candidates: impl IntoIterator<Item = impl AsRef<str>>) -> Option<String> {
    if name.len() > MAX_NAME_BYTES {
        return None;
    }
    candidates
        .into_iter()
        .take(MAX_CANDIDATES)
        .filter(|c| c.as_ref().len() <= MAX_NAME_BYTES)
        .map(|c| (strsim::damerau_levenshtein(name, c.as_ref()), c))
        .filter(|(distance, c)| {
            let longer = name.chars().count().max(c.as_ref().chars().count());
            *distance <= 1 + longer / 4 && *distance < longer
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, c)| c.as_ref().to_owned())
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn only_near_names_are_suggested() {
        assert_eq!(nearest("pth", ["path", "exclude"]).as_deref(), Some("path"));
        assert_eq!(nearest("excludes", ["path", "exclude"]).as_deref(), Some("exclude"));
        assert_eq!(nearest("x", ["y"]), None);
        assert_eq!(nearest("interval", ["path"]), None);
    }
}
