//! The language through its own door: specs in, `Desired` or diagnostics out.

mod audit;
mod blocks;
mod conditions;
mod expressions;
mod mistakes;
mod modes;
mod quickstart;
mod sharing;
mod speed;
mod variables;
mod world;
