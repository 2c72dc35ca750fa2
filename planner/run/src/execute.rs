//! Executing an approved plan: one dispatcher, bounded workers, retries, gates, the cutover protocol,
//! and settling what a death left behind. Knows no HCL and no colour; what it tells goes to a [`Listener`].

mod adopt;
mod answer;
mod attempt;
mod board;
mod brake;
mod claims;
mod control;
mod dispatch;
mod drive;
mod error;
mod gates;
mod ground;
mod guard;
mod io;
mod prove;
mod rate;
mod recorder;
mod release;
mod retry;
mod scrape;
mod settle;
mod signals;
mod socket;
mod talk;
mod together;
mod unit;
mod watching;

pub use adopt::adopt;
pub use board::{Board, HeldUp, Live, LiveGate, LiveStage, LiveStep, Told};
pub use brake::{Brakes, Limit, Paused, Why};
pub use claims::{ClaimProblem, check_claims, claim_problems};
pub use control::{Control, StopLevel};
pub use dispatch::{ApplyOptions, apply, attended, follow, switch_back};
pub use error::RunError;
pub use ground::{Ground, Who};
pub use guard::Guard;
pub use io::ObserveIo;
pub use recorder::{RecordError, Recorder};
pub use scrape::serve_metrics;
pub use settle::settle_all;
pub use signals::next_signal;
pub use socket::{Ask, Reply, SocketError, ask};
pub use talk::{Listener, RunEvent};
pub use unit::{UnitRef, verify_unit};
