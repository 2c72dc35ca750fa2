//! Values, expressions and functions: what an expression means. Knows no blocks and no providers.

mod call;
mod condition;
mod evaluate;
mod functions;
mod operators;
mod references;
mod repeat;
mod scope;
mod template;
mod traverse;
mod types;
mod units;
mod value;

pub use condition::{Condition, Judged, LooksAt, Verdict};
pub(crate) use evaluate::Evaluator;
pub(crate) use functions::FunctionContext;
pub(crate) use references::{Reference, references_of_body, references_of_expression};
pub(crate) use scope::{Resolution, Scope};
pub(crate) use types::{TYPE_WORDS, Type, parse_type};
pub use units::{parse_bytes, parse_duration_ms, parse_rate};
pub use value::{BlockValue, Collection, Data, Number, Sealed, Sensitivity, TooLarge, Value};
