//! The laws of the core, each in a world with seeded writers that write between any two calls: what holds
//! whatever is killed, repeated or refused.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that cannot go on says so; the size of a matrix and its seed are part of its result"
)]

mod cleanup;
mod command_line;
mod crash;
mod harness;
mod holds;
mod leaving;
mod normal;
mod orders;
mod plans;
mod repeat;
mod strangers;
mod table;
mod watches;
mod weights;
