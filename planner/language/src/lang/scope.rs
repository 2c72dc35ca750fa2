//! What names mean in an expression. The evaluator asks for the longest known beginning of a reference, so
//! that no root value (`var`, `source`, ...) is ever built or copied.

use super::value::Value;

/// The answer to "what is `root.a.b`?".
pub(crate) enum Resolution {
    /// The value of the root with the first `consumed` names after it.
    Found {
        /// The value; unknown where its declaration has been reported as broken.
        value: Value,
        /// How many names of the path it took.
        consumed: usize,
    },
    /// There is no such thing.
    Missing {
        /// Which part of the path is wrong: 0 is the root.
        part: usize,
        /// One sentence: `there is no variable "x"`.
        summary: String,
        /// What could have been meant.
        candidates: Vec<String>,
        /// What to do if nothing is near.
        help: Option<String>,
    },
}

/// Meanings of names.
pub(crate) trait Scope {
    /// Resolves a reference as far as it can. `suggests`: whether candidates are wanted where it is missing; to
    /// gather them takes time.
    fn resolve(&self, root: &str, path: &[&str], suggests: bool) -> Resolution;
}
