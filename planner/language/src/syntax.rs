//! Text to items with spans: reading files, cutting them into top-level items, parsing each on its own,
//! and the formatter. Knows what HCL looks like, not what it means.

mod diagnostic;
mod format;
mod items;
mod load;
mod scan;
mod stack;

pub(crate) use diagnostic::Diagnostics;
pub use diagnostic::{Diagnostic, Label, Severity, Span, nearest};
pub use format::format;
pub(crate) use items::{Base, Broken, Item, parse_items};
pub use load::{Source, SpecPath};
pub(crate) use load::{read_file, read_sources};
pub(crate) use stack::on_deep_stack;
