//! Executing an approved plan: one dispatcher, bounded workers, retries, gates, the cutover protocol,
//! and settling what a death left behind. Knows no HCL and no colour; what it tells goes to a [`Listener`].

mod attempt;
mod claims;
mod control;
mod dispatch;
mod drive;
mod error;
mod gates;
mod ground;
mod io;
mod prove;
mod rate;
mod recorder;
mod release;
mod retry;
mod settle;
mod socket;
mod talk;
mod unit;

pub use attempt::{attempt_from_spec, attempt_from_state};
pub use claims::{ClaimProblem, check_claims};
pub use control::{Control, StopLevel};
pub use dispatch::{ApplyOptions, apply, follow};
pub use drive::{CutoverTask, run_cutover};
pub use error::RunError;
pub use ground::{Ground, Who};
pub use io::ObserveIo;
pub use recorder::{RecordError, Recorder};
pub use settle::settle_all;
pub use socket::{Ask, Reply, SocketError, ask};
pub use talk::{Listener, RunEvent};
pub use unit::{UnitRef, verify_unit};
