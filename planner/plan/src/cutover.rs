//! The cutover as a pure machine: phases, the one transition table, and what settling means.
//!
//! The executor runs this table, the documentation prints it, and tests explore it. It knows neither
//! providers nor clocks. The rules (P1 to P26) are explained in ARCHITECTURE.md.

mod approval;
mod by_hand;
mod forecast;
mod group;
mod observed;
mod phase;
mod way_back;
mod window;

pub use approval::{counted, may_approve, person, wanted_text};
pub use by_hand::by_hand_file;
pub(crate) use forecast::REOPENED;
pub use forecast::{
    DowntimeTerm, Forecast, Known, Lag, converged, forecast, how_to_measure, p90, siblings, will_not_converge,
};
pub use group::{Failed, Retreat, begins_in_part, goes_back_again, opens_members, retreat};
pub use observed::{Facts, observed, observed_shape};
pub use phase::{Action, Opens, Phase, Settle, TABLE, Transition, When, action, advance, settle};
pub use way_back::{Freshness, WayBack};
pub use window::{WindowState, local_time, window_at, window_text};
