//! Placeholder.
mod desired;
