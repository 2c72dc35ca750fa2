//! Search clusters moved by the released binary, on real servers, with writers that never rest: killed, refused, cut off,
//! switched by alias and by name, behind fronts that
//! want certificates and signatures, and back.

#![expect(clippy::expect_used, reason = "a test cannot go on without its servers")]

mod deletes;
mod faults;
mod fronts;
mod grower;
mod grows;
mod health;
mod kinds;
mod late;
mod network;
mod nodes;
mod pairs;
mod scene;
mod servers;
mod show;
mod streams;
