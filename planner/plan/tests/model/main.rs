//! The transition table under a model checker: what the executor runs is explored with every death, delay and stall
//! that the bounds allow. The protocol as it stands breaks nothing; each order or reading that somebody might have
//! chosen instead is shown to break something. One model a room: `one` migration, a `group` of two, the `places` that
//! state lies in, the `reverse` passes, `deletions` that nobody meant, `leaving` a side.

mod check;
mod deletions;
mod group;
mod leaving;
mod one;
mod places;
mod reverse;
