//! The report of hostile names, of long journals, and of a cutover from beginning to end.

use segue_contract::{
    Address, ArtifactName, Direction, Finding, PassReport, PassTimes, Position, Registry, Severity, Side,
    StaleFind, VerifyLevel, VerifyMismatch, VerifyReport,
};
use segue_plan::cutover::Phase;
use segue_plan::event::{BootTime, Entry, Event, Proof, RunRecord, WIRE_VERSION, WeightEvent, Wish};

use super::{Gather, Outcome, Report, page};
use crate::sample;

const HOSTILE: &str = "<script>alert('1')</script><img src=x onerror=\"alert(2)\">";

fn report(events: impl IntoIterator<Item = Event>) -> Report {
    let registry = Registry::default();
    let mut gather = Gather::new(&registry);
    for (n, event) in events.into_iter().enumerate() {
        gather.take(&Entry { v: WIRE_VERSION, at_ms: 1_769_851_800_000 + n as i64 * 1000, run: 1, event });
    }
    gather.finish(1_769_851_900_000, "0.1.0", None, Vec::new())
}

fn carried(n: i64, bytes: u64) -> Event {
    Event::UnitCarried {
        migration: Address::new("migration.site"),
        unit: HOSTILE.to_owned(),
        load: n == 0,
        direction: Direction::Forward,
        report: PassReport {
            ledger: ArtifactName("l".into()),
            position: Position("p".into()),
            records_seen: 9,
            records_written: 3,
            records_deleted: 1,
            bytes_written: bytes,
            set_aside: Vec::new(),
            set_aside_total: 0,
            stale: vec![StaleFind { key: HOSTILE.into(), what: "changed".into(), kept: None, process: None }],
            stale_total: 1,
            times: PassTimes::default(),
            kept_deleted: None,
            audit: segue_contract::AuditReport::default(),
        },
        began_ms: 1_769_851_800_000 + n * 1000,
        began_boot: BootTime::default(),
        took_us: 250_000,
    }
}

fn started() -> Event {
    Event::RunStarted(RunRecord {
        run: 1,
        pid: 7,
        start_time: 1,
        boot_id: "b".into(),
        host: HOSTILE.into(),
        user: HOSTILE.into(),
        command: HOSTILE.into(),
        version: "0.1.0".into(),
    })
}

fn everything_hostile() -> Vec<Event> {
    let cutover = || Address::new(HOSTILE);
    let attempt = sample::attempt();
    vec![
        started(),
        carried(0, 5 << 20),
        carried(1, 100),
        Event::UnitVerified {
            migration: Address::new("migration.site"),
            unit: HOSTILE.to_owned(),
            report: VerifyReport {
                level: VerifyLevel::Full,
                ledger: ArtifactName(HOSTILE.into()),
                records_checked: 9,
                records_read: 9,
                bytes_read: 5,
                residual: 0,
                mismatches: vec![VerifyMismatch { key: HOSTILE.into(), what: "content".into() }],
                mismatches_total: 1,
                missing: Vec::new(),
                missing_total: 0,
                took_us: 5,
            },
            whole: true,
        },
        Event::GateRead {
            cutover: cutover(),
            gate: Address::new(HOSTILE),
            met: false,
            said: HOSTILE.into(),
            value: Some(f64::NAN),
            at: BootTime::default(),
        },
        Event::Approved { plan_hash: HOSTILE.into(), by: HOSTILE.into() },
        Event::PlanBegan { plan_hash: HOSTILE.into() },
        Event::AttemptBegan { cutover: cutover(), attempt: Box::new(attempt) },
        Event::PhaseReached {
            cutover: cutover(),
            epoch: 2,
            phase: Phase::Drained,
            proof: Proof { said: HOSTILE.into(), ..Proof::default() },
            took_us: 10_000,
        },
        Event::AbortBegan {
            cutover: cutover(),
            epoch: 2,
            reason: HOSTILE.into(),
            held: Some(HOSTILE.into()),
        },
        Event::SideReopened { cutover: cutover(), epoch: 2, side: Side::Source, took_us: None },
        Event::Aborted { cutover: cutover(), epoch: 2 },
        Event::Unheld { cutover: cutover(), by: HOSTILE.into() },
        Event::StaleSettled { cutover: cutover(), by: HOSTILE.into() },
    ]
    .into_iter()
    .chain(noted_hostile())
    .collect()
}

fn noted_hostile() -> Vec<Event> {
    let cutover = || Address::new(HOSTILE);
    vec![
        Event::Steered {
            wish: Wish::Throttle { migration: Some(cutover()), bytes_per_s: Some(5 << 20) },
            by: HOSTILE.into(),
            why: Some(HOSTILE.into()),
        },
        Event::Weight { cutover: cutover(), weight: WeightEvent::Set { percent: 25 } },
        Event::Weight {
            cutover: cutover(),
            weight: WeightEvent::Lost { reason: HOSTILE.into(), held: true },
        },
        Event::HealthLost { cutover: cutover(), epoch: 2, watch: cutover(), said: HOSTILE.into() },
        Event::EndpointMade { migration: cutover(), endpoint: cutover() },
        Event::Found {
            step: cutover(),
            finding: Finding {
                severity: Severity::Critical,
                code: HOSTILE.into(),
                summary: HOSTILE.into(),
                remedy: HOSTILE.into(),
            },
        },
        Event::StepFailed {
            step: cutover(),
            class: segue_contract::ErrorClass::Permanent,
            message: HOSTILE.into(),
            remedy: Some(HOSTILE.into()),
        },
        Event::RunEnded { exit: 5 },
    ]
}

#[test]
fn names_chosen_by_strangers_are_text_wherever_they_stand() {
    let mut report = report(everything_hostile());
    report.notices.push(HOSTILE.to_owned());
    report.running = Some(HOSTILE.to_owned());
    report.state_id = Some(HOSTILE.to_owned());
    let html = page(&report);
    for markup in ["<script", "<img", "onerror=\"", "alert('"] {
        assert!(!html.contains(markup), "{markup}");
    }
    assert!(html.matches("&lt;script&gt;").count() > 20, "they are there, as text");
    for section in [
        "Time line",
        "enlarged",
        "Reads in steps",
        "Verification",
        "Gates",
        "Approvals",
        "Waived",
        "Aborts",
        "Findings",
    ] {
        assert!(html.contains(section), "{section}");
    }
}

#[test]
fn the_page_fetches_nothing_and_is_whole() {
    let html = page(&report(everything_hostile()));
    for word in ["http://", "https://", "url(", "@import", "<link", "src=\""] {
        assert!(!html.contains(word), "{word}");
    }
    for tag in ["div", "table", "tbody", "tr", "td", "svg", "figure", "span", "p", "h2", "h3", "main"] {
        let opened = html.matches(&format!("<{tag} ")).count() + html.matches(&format!("<{tag}>")).count();
        assert_eq!(opened, html.matches(&format!("</{tag}>")).count(), "{tag}");
    }
}

#[test]
fn an_abort_tells_its_reason_its_pause_and_what_was_predicted() {
    let report = report(everything_hostile());
    let attempt = report.attempts.kept.front().unwrap();
    assert_eq!(attempt.outcome, Outcome::Aborted { reason: HOSTILE.to_owned() });
    assert_eq!(attempt.pause_us, Some(3_000_000));
    let drain = attempt.terms.iter().find(|t| t.term == "quiesce and drain").unwrap();
    assert_eq!(
        (drain.predicted_ms, drain.basis.as_str(), drain.measured_us),
        (None, "not measured", Some(10_000))
    );
    assert_eq!(report.runs.kept.front().unwrap().exit, Some(5));
    assert_eq!(report.stops.total, 2);
}

#[test]
fn a_long_journal_makes_a_page_of_bounded_size() {
    let events = (0..200_000).flat_map(|n| {
        let looked = Event::GateRead {
            cutover: Address::new("cutover.site"),
            gate: Address::new("cutover.site.gate.lag"),
            met: n % 2 == 0,
            said: "lag".to_owned(),
            value: Some(n as f64),
            at: BootTime::default(),
        };
        [carried(n, n as u64), looked]
    });
    let report = report(std::iter::once(started()).chain(events));
    assert_eq!(report.events, 400_001);
    let html = page(&report);
    assert!(html.len() < 600_000, "{}", html.len());
    let json = serde_json::to_string(&report).unwrap();
    assert!(json.len() < 600_000, "{}", json.len());
}

#[test]
fn a_state_in_which_nothing_happened_has_a_report() {
    let html = page(&report([]));
    assert!(html.contains("Nothing has been applied here yet"));
}

#[test]
fn the_json_is_versioned_and_names_its_lists() {
    let json = serde_json::to_value(report(everything_hostile())).unwrap();
    assert_eq!(json["version"], 1);
    let fields = [
        "made_ms",
        "made_by",
        "state_id",
        "running",
        "events",
        "first_ms",
        "last_ms",
        "notices",
        "cutovers",
        "runs",
        "attempts",
        "units",
        "gates",
        "watches",
        "plans",
        "approvals",
        "waivers",
        "stops",
        "reads",
        "changes",
        "findings",
        "failures",
        "rehearsals",
        "steering",
    ];
    let mut found: Vec<&String> = json.as_object().unwrap().keys().collect();
    found.retain(|f| *f != "version");
    found.sort();
    let mut wanted = fields.to_vec();
    wanted.sort_unstable();
    assert_eq!(found, wanted, "a field that is taken away, or means something else, needs another version");
    assert_eq!(json["attempts"]["kept"][0]["phases"][0]["phase"], "DRAINED");
}
