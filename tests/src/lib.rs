//! What the laws and scenarios stand on: a world in a file that survives SIGKILL, and the lab that runs
//! the tool in it and kills it on request.

pub mod lab;
pub mod memory;
