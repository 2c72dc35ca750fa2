//! stub
use crate::exit::Exit;
use crate::failure::Failure;
use crate::invocation::Invocation;
use clap::Args;
/// x
#[derive(Debug, Args)]
pub(crate) struct Watch {}
impl Watch {
    pub(crate) fn run(&self, _: &Invocation) -> Result<Exit, Failure> {
        Ok(Exit::Done)
    }
}
