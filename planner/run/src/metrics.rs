//! Metrics in Prometheus' text format (version 0.0.4): the state, and what a running apply is doing, as numbers. Pure:
//! `segue metrics` and the listener of `apply --metrics-listen` print the same.

use std::fmt::Write as _;

use segue_contract::{Address, Side};
use segue_plan::cutover::{Lag, Phase};
use segue_plan::event::BootTime;
use segue_plan::state::{CutoverState, State, UnitState};

use crate::execute::{Limit, Live, Why};

/// The media type of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the numbers are made from.
#[derive(Clone, Copy, Debug)]
pub struct Measured<'a> {
    /// What the journal knows.
    pub state: &'a State,
    /// What a running apply is doing right now; `None`: none runs, or none answered.
    pub live: Option<&'a Live>,
    /// Whether a command holds the state.
    pub running: bool,
    /// Boot clock.
    pub now: &'a BootTime,
    /// Segue's version.
    pub version: &'a str,
}

/// Every metric with its help, type and samples.
pub fn exposition(measured: &Measured<'_>) -> String {
    let mut page = Page::default();
    let flag = |on: bool| f64::from(u8::from(on));
    page.family("segue_info", "gauge", "Version of segue that answers.");
    page.sample(&[("version", measured.version)], 1.0);
    page.family("segue_running", "gauge", "Whether a command holds the state (1) or none does (0).");
    page.sample(&[], flag(measured.running));
    units(&mut page, measured);
    cutovers(&mut page, measured);
    if let Some(live) = measured.live {
        running(&mut page, live);
    }
    page.text
}

#[derive(Default)]
struct Page {
    text: String,
    name: &'static str,
}

impl Page {
    fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.name = name;
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, labels: &[(&str, &str)], value: f64) {
        let labels: Vec<String> =
            labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.text, "{}{labels} {value}", self.name);
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

type OfUnit = fn(&UnitState, &BootTime) -> Option<f64>;

/// Name, type, help and value of each metric of a unit.
const OF_UNITS: [(&str, &str, &str, OfUnit); 8] = [
    (
        "segue_unit_lag_seconds",
        "gauge",
        "Upper bound of the age of the oldest change that is not carried yet.",
        |unit, now| match Lag::of(unit, now) {
            Lag::Ms(ms) => Some(ms as f64 / 1000.0),
            Lag::Unknown => None,
        },
    ),
    ("segue_unit_loaded", "gauge", "Whether the first load is complete.", |unit, _| {
        Some(f64::from(u8::from(unit.loaded)))
    }),
    ("segue_unit_records", "gauge", "Records at the last pass.", |unit, _| Some(unit.records_seen as f64)),
    ("segue_unit_records_written_total", "counter", "Records written.", |unit, _| {
        Some(unit.records_total as f64)
    }),
    ("segue_unit_bytes_written_total", "counter", "Bytes written.", |unit, _| Some(unit.bytes_total as f64)),
    ("segue_unit_passes_total", "counter", "Loads and passes completed.", |unit, _| {
        Some(unit.passes_total as f64)
    }),
    ("segue_unit_set_aside_records", "gauge", "Records that the last pass could not carry.", |unit, _| {
        Some(unit.set_aside_total as f64)
    }),
    (
        "segue_unit_mismatched_records",
        "gauge",
        "Records that the last verification found different.",
        |unit, _| Some(unit.mismatches_total as f64),
    ),
];

fn units(page: &mut Page, measured: &Measured<'_>) {
    for (name, kind, help, value) in OF_UNITS {
        page.family(name, kind, help);
        for (migration, known) in &measured.state.migrations {
            for (unit, state) in &known.units {
                if let Some(value) = value(state, measured.now) {
                    page.sample(&[("migration", migration.as_str()), ("unit", unit)], value);
                }
            }
        }
    }
    page.family(
        "segue_unit_verified_timestamp_seconds",
        "gauge",
        "When everything was last verified as equal, seconds since 1970.",
    );
    for (migration, known) in &measured.state.migrations {
        for (unit, state) in &known.units {
            if let Some(verified) = &state.verified {
                let labels =
                    [("migration", migration.as_str()), ("unit", unit), ("level", verified.level.as_str())];
                page.sample(&labels, verified.at_ms as f64 / 1000.0);
            }
        }
    }
}

const PHASES: [Phase; 16] = [
    Phase::Ready,
    Phase::Quiescing,
    Phase::Drained,
    Phase::Fenced,
    Phase::CaughtUp,
    Phase::Verified,
    Phase::Hardened,
    Phase::ReverseArmed,
    Phase::Committed,
    Phase::Opened,
    Phase::Routed,
    Phase::Started,
    Phase::Watching,
    Phase::Soaking,
    Phase::Finished,
    Phase::Aborting,
];

type OfCutover = fn(&CutoverState, &BootTime) -> Option<f64>;

/// Name, help and value of each metric of a cutover.
const OF_CUTOVERS: [(&str, &str, OfCutover); 8] = [
    ("segue_cutover_finished", "Whether the fallback was given up.", |c, _| {
        Some(f64::from(u8::from(c.finished)))
    }),
    ("segue_cutover_held", "Whether it waits for a person (segue unhold).", |c, _| {
        Some(f64::from(u8::from(c.held.is_some())))
    }),
    ("segue_cutover_writes_paused", "Whether clients' writes are, or may be, refused.", |c, _| {
        Some(f64::from(u8::from(c.refuses_writes())))
    }),
    (
        "segue_cutover_pause_seconds",
        "How long writes have been paused now; 0 when they are open.",
        |c, now| {
            if !c.refuses_writes() {
                return Some(0.0);
            }
            let began = c.attempt.as_ref().map(|a| &a.began)?;
            now.since(began).map(|ms| ms as f64 / 1000.0)
        },
    ),
    ("segue_cutover_last_pause_seconds", "How long writes were paused by the last switch.", |c, _| {
        c.last_switch.as_ref().map(|s| s.pause_us as f64 / 1_000_000.0)
    }),
    (
        "segue_cutover_last_switch_timestamp_seconds",
        "When the last switch was, seconds since 1970.",
        |c, _| c.last_switch.as_ref().map(|s| s.at_ms as f64 / 1000.0),
    ),
    ("segue_cutover_switches", "How often the side that serves changed.", |c, _| Some(c.switches as f64)),
    ("segue_cutover_stale_writes", "Writes of stale writers that nobody has settled.", |c, _| {
        Some(c.stale_total as f64)
    }),
];

fn cutovers(page: &mut Page, measured: &Measured<'_>) {
    let all = &measured.state.cutovers;
    let one = |on: bool| f64::from(u8::from(on));
    page.family(
        "segue_cutover_phase",
        "gauge",
        "The phase that a cutover is in (1), and those it is not (0).",
    );
    for (cutover, known) in all {
        for phase in PHASES {
            page.sample(
                &[("cutover", cutover.as_str()), ("phase", phase.as_str())],
                one(known.phase == phase),
            );
        }
    }
    page.family("segue_cutover_live", "gauge", "The side that serves (1), and the one that does not (0).");
    for (cutover, known) in all {
        for side in [Side::Source, Side::Target] {
            page.sample(&[("cutover", cutover.as_str()), ("side", side.as_str())], one(known.live == side));
        }
    }
    for (name, help, value) in OF_CUTOVERS {
        page.family(name, "gauge", help);
        for (cutover, known) in all {
            if let Some(value) = value(known, measured.now) {
                page.sample(&[("cutover", cutover.as_str())], value);
            }
        }
    }
}

fn running(page: &mut Page, live: &Live) {
    let one = |on: bool| f64::from(u8::from(on));
    page.family("segue_gate_waiting", "gauge", "Whether a gate is unmet and waited for.");
    for gate in &live.gates {
        page.sample(&[("gate", gate.gate.as_str())], one(!gate.met));
    }
    page.family(
        "segue_gate_value",
        "gauge",
        "What a gate measured last, in its own unit (lag, downtime: ms).",
    );
    for gate in &live.gates {
        if let Some(value) = gate.value {
            page.sample(&[("gate", gate.gate.as_str())], value);
        }
    }
    page.family("segue_gate_left_seconds", "gauge", "How long an unmet gate is still waited for.");
    for gate in live.gates.iter().filter(|g| !g.met) {
        page.sample(&[("gate", gate.gate.as_str())], gate.left_ms as f64 / 1000.0);
    }
    page.family("segue_cutover_predicted_pause_seconds", "gauge", "The predicted pause of the next switch.");
    for (cutover, forecast) in &live.forecasts {
        page.sample(&[("cutover", cutover.as_str())], forecast.total_ms() as f64 / 1000.0);
    }
    page.family("segue_step_bytes_per_second", "gauge", "How fast a running step carries bytes.");
    for step in &live.steps {
        let kind = step.kind.as_str();
        page.sample(&[("step", step.step.as_str()), ("kind", kind)], step.bytes_per_s);
    }
    page.family("segue_run_paused", "gauge", "Whether somebody paused the run.");
    page.sample(&[], one(live.brakes.paused.is_some()));
    page.family("segue_rate_limit_bytes_per_second", "gauge", "Limits that count, and who set them.");
    for Limit { migration, bytes_per_s, why } in &live.brakes.limits {
        let from = match why {
            Why::Spec => "spec",
            Why::Person { by, since_ms: _, why: _ } => by,
        };
        let migration = migration.as_ref().map_or("", Address::as_str);
        page.sample(&[("migration", migration), ("from", from)], *bytes_per_s as f64);
    }
}

#[cfg(test)]
mod tests {
    use segue_plan::state::MigrationState;

    use super::*;
    use crate::execute::{Brakes, LiveGate, Paused};

    #[test]
    fn the_text_has_help_type_and_escaped_labels() {
        let mut state = State::default();
        state.cutovers.insert(Address::new("cutover.site"), CutoverState::default());
        let record = segue_plan::event::MigrationRecord {
            migration: Address::new("migration.a"),
            cutover: None,
            source: block("source.memory.a"),
            target: block("target.memory.a"),
            source_identity: segue_contract::Identity("a".into()),
            target_identity: segue_contract::Identity("b".into()),
            jobs: Vec::new(),
        };
        let unit = UnitState { bytes_total: 12, ..UnitState::default() };
        let units = [("a \"b\"\\\n".to_owned(), unit)].into();
        let known = MigrationState { record, epoch: 1, marker: None, made: [].into(), units };
        state.migrations.insert(Address::new("migration.a"), known);
        let live = Live {
            brakes: Brakes {
                paused: Some(Paused { by: "a".into(), since_ms: 0, why: None }),
                limits: Vec::new(),
            },
            gates: vec![LiveGate {
                gate: Address::new("cutover.site.gate.lag"),
                met: false,
                said: String::new(),
                value: Some(2500.0),
                left_ms: 1500,
                asks_approval: false,
            }],
            ..Live::default()
        };
        let now = BootTime::default();
        let measured =
            Measured { state: &state, live: Some(&live), running: true, now: &now, version: "1.2.3" };
        let text = exposition(&measured);
        for line in [
            "segue_info{version=\"1.2.3\"} 1",
            "# TYPE segue_unit_bytes_written_total counter",
            "segue_unit_bytes_written_total{migration=\"migration.a\",unit=\"a \\\"b\\\"\\\\\\n\"} 12",
            "segue_cutover_phase{cutover=\"cutover.site\",phase=\"READY\"} 1",
            "segue_cutover_live{cutover=\"cutover.site\",side=\"target\"} 0",
            "segue_cutover_pause_seconds{cutover=\"cutover.site\"} 0",
            "segue_gate_left_seconds{gate=\"cutover.site.gate.lag\"} 1.5",
            "segue_run_paused 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("segue_unit_lag_seconds{"), "a lag that is not known is not told");
    }

    fn block(address: &str) -> segue_contract::BlockRef {
        segue_contract::BlockRef {
            address: Address::new(address),
            provider: "memory".to_owned(),
            base_dir: "/".into(),
            config: segue_contract::Config::default(),
            scope: Vec::new(),
        }
    }
}
