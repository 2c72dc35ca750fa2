//! Values, expressions and functions: what an expression means. Knows no blocks and no providers.

mod value;

pub use value::{BlockValue, Data, Number, Sensitivity, Value};
