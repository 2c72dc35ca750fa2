//! Views: what the planner answers, as text and JSON. Only here is decided how something looks.

pub(crate) mod drift;
pub(crate) mod history;
pub(crate) mod pause;
pub(crate) mod plan;
pub(crate) mod quantity;
pub(crate) mod resources;
pub(crate) mod state;
pub(crate) mod status;
pub(crate) mod summary;
pub(crate) mod way_back;
