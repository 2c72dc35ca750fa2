//! What every scenario asks at its end: who serves, do writes go through, is every acknowledged one there.

use serde_json::{Value, json};

use crate::scratch::Scratch;

impl Scratch {
    /// The writers stop, every acknowledged write is held against the live side, and the writers start again.
    ///
    /// # Panics
    /// A write is lost, doubled or came back.
    #[track_caller]
    pub fn nothing_is_lost(&self) {
        self.app(&["stop"]).expect_code(0);
        let checked = self.app(&["check"]).expect_code(0);
        let wanted = " 0 lost, 0 doubled, 0 deleted ones back";
        assert!(checked.stdout.contains(wanted), "{}", checked.all());
        self.app(&["start"]).expect_code(0);
    }

    /// A write gets through, by the writers' own way.
    ///
    /// # Panics
    /// It does not.
    #[track_caller]
    pub fn accepts_writes(&self) {
        self.app(&["try-write"]).expect_code(0);
        assert!(!self.at("var/paused").exists(), "the application was left paused");
    }

    /// Status as JSON.
    #[expect(clippy::expect_used, reason = "a test cannot go on without the status")]
    pub fn status(&self) -> Value {
        let printed = self.segue(&["status", "--json"]).expect_code(0);
        serde_json::from_str(&printed.stdout).expect("status --json prints JSON")
    }

    /// What matters of the state: what must be the same however often a run died. No times, epochs, counts of
    /// passes, positions or names of ledgers, which depend on what was written meanwhile.
    pub fn what_matters(&self) -> Value {
        let state = &self.state()["state"];
        let cutover = &state["cutovers"]["cutover.site"];
        let migration = &state["migrations"]["migration.site"];
        let unit = &migration["units"]["tree"];
        json!({
            "phase": cutover["phase"],
            "live": cutover["live"],
            "finished": cutover["finished"],
            "held": cutover["held"],
            "aborting": cutover["aborting"],
            "stale_total": cutover["stale_total"],
            "switches": cutover["switches"],
            "marker_live": migration["marker"]["live"],
            "marker_raised": migration["marker"]["raised"],
            "made": migration["made"],
            "loaded": unit["loaded"],
            "set_aside_total": unit["set_aside_total"],
            "mismatches_total": unit["mismatches_total"],
            "verified": unit["verified"]["level"],
        })
    }

    /// After a switch: nothing to do, the link leads to the side that serves, writes go through, none is lost.
    ///
    /// # Panics
    /// One of these is not so.
    #[track_caller]
    pub fn settled_at(&self, link: &str) {
        assert_eq!(self.live(), link);
        self.accepts_writes();
        self.nothing_is_lost();
        self.segue(&["plan", "--detailed-exitcode"]).expect_code(0);
    }

    /// The side that a cutover's state says it serves, `source` or `target`.
    pub fn serves(&self) -> String {
        let state = self.state();
        let live = &state["state"]["cutovers"]["cutover.site"]["live"];
        live.as_str().unwrap_or("source").to_owned()
    }
}
