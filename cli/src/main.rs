//! The released binary: nothing but a call into the library.
fn main() {}
