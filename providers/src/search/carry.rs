//! What becomes of an index on its way to another product or version: its mapping and settings translated, and said of
//! each thing that does not go along. Nothing here asks a server.

mod fields;
pub(crate) mod growth;
mod mapping;
pub(crate) mod settings;

use segue_contract::{Finding, Severity};
use serde_json::{Value, json};

use super::about::About;
use super::indices::{self, Index};

/// An index as it is to be made elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Translated {
    /// By flat name.
    pub(crate) settings: serde_json::Map<String, Value>,
    /// Without a type.
    pub(crate) mapping: Value,
    /// What does not go along, or not as it is.
    pub(crate) findings: Vec<Finding>,
    /// Fields that are left out: the other product has no such type. Their paths, and why.
    pub(crate) left_out: Vec<(String, String)>,
}

impl Translated {
    /// What was made by hand at the target with a type that it has is settled: fields that are there are not left out.
    pub(crate) fn settle(&mut self, there: &Value) {
        let mut paths = Vec::new();
        indices::fields(there, &mut |path, _| paths.push(path.to_owned()));
        let (settled, left): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.left_out).into_iter().partition(|(path, _)| paths.contains(path));
        self.left_out = left;
        self.findings.retain(|finding| !settled.iter().any(|(_, why)| finding.summary.ends_with(why)));
    }

    /// The body of the call that makes the index.
    pub(crate) fn body(&self, to: &About) -> Value {
        let mapping = if to.has_types() { json!({"_doc": self.mapping}) } else { self.mapping.clone() };
        json!({"settings": self.settings, "mappings": mapping})
    }
}

/// Translates an index.
pub(crate) fn translated(index: &Index, from: &About, to: &About) -> Translated {
    let mut said = Said::new(&index.name);
    if index.many_types {
        said.critical(
            "SEARCH_TYPES",
            format!("its mapping has {} types ({})", index.types.len(), index.types.join(", ")),
            "Split it into one index for each type at the source (`_reindex` with a query on _type), and move those.",
        );
    } else if let Some(ty) = index.types.first().filter(|ty| ty.as_str() != "_doc" && !to.has_types()) {
        said.warning(
            "SEARCH_TYPES",
            format!("its mapping's type {ty:?} is gone at the target"),
            "Clients that name the type in addresses have to name _doc there.",
        );
    }
    let mapping = mapping::translated(&index.mapping, from, to, &mut said);
    let settings = settings::translated(&index.settings, from, to, &mut said);
    Translated { settings, mapping, findings: said.findings, left_out: said.left_out }
}

/// What is said of one index.
pub(crate) struct Said {
    index: String,
    pub(crate) findings: Vec<Finding>,
    left_out: Vec<(String, String)>,
    /// A field became a vector of the k-NN plugin.
    vectors: bool,
}

impl Said {
    pub(crate) fn new(index: &str) -> Self {
        Self { index: index.to_owned(), findings: Vec::new(), left_out: Vec::new(), vectors: false }
    }

    fn push(&mut self, severity: Severity, code: &str, summary: &str, remedy: &str) {
        self.findings.push(Finding {
            severity,
            code: code.to_owned(),
            summary: format!("index {:?}: {summary}", self.index),
            remedy: remedy.to_owned(),
        });
    }

    pub(crate) fn critical(&mut self, code: &str, summary: impl AsRef<str>, remedy: &str) {
        self.push(Severity::Critical, code, summary.as_ref(), remedy);
    }

    pub(crate) fn warning(&mut self, code: &str, summary: impl AsRef<str>, remedy: &str) {
        self.push(Severity::Warning, code, summary.as_ref(), remedy);
    }

    pub(crate) fn info(&mut self, code: &str, summary: impl AsRef<str>, remedy: &str) {
        self.push(Severity::Info, code, summary.as_ref(), remedy);
    }
}

#[cfg(test)]
mod tests;
