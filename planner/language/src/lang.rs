//! Values, expressions and functions: what an expression means. Knows no blocks and no providers.

mod evaluate;
mod functions;
mod operators;
mod references;
mod scope;
mod template;
mod traverse;
mod types;
mod value;

pub use evaluate::Evaluator;
pub use functions::FunctionContext;
pub use references::{Reference, references_of_body, references_of_expression};
pub use scope::{Resolution, Scope};
pub use types::{TYPE_WORDS, Type, parse_type};
pub use value::{BlockValue, Data, Number, Sensitivity, Value};
