//! Routes against the servers that people run: BIND, changed by dynamic update, and HAProxy, by its runtime socket.

#![expect(clippy::expect_used, reason = "a test cannot go on without its servers")]

mod balancer;
mod dns;
mod faults;
mod haproxy;
mod named;
mod proxy;
mod step;
