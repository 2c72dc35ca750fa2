//! Three situations on the screen, and the frame that each gives.

use insta::assert_snapshot;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::super::keys::{Mode, Ui};
use super::super::model::{ConditionView, CutoverView, Model, StageView, UnitView};
use super::draw;
use crate::printer::Look;

fn frame(model: &Model, ui: &Ui, (width, height): (u16, u16), look: &Look) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, model, ui, look)).unwrap();
    let text = terminal.backend().to_string();
    text.lines().map(|l| l.trim_matches('"').trim_end()).collect::<Vec<_>>().join("\n")
}

fn cutover() -> CutoverView {
    CutoverView {
        cutover: "cutover.site".into(),
        serves: "the source serves (source.directory.old)".into(),
        writes: "open".into(),
        writes_paused: false,
        phase: "READY".into(),
        pause: "not measured yet".into(),
        back: "nothing to go back from: it never left".into(),
        loses: false,
        held: None,
    }
}

fn unit() -> UnitView {
    UnitView {
        name: "migration.site tree".into(),
        doing: "load".into(),
        part: Some(0.43),
        pace: "12.0 MiB/s, 2m10s left".into(),
        lag: "?".into(),
        verified: "not verified".into(),
        trouble: None,
    }
}

fn loading() -> Model {
    let stage = |name, done, of| StageView { name, done, of };
    Model {
        runs: true,
        title: "apply --follow by alice@host (process 7) for 2m13s".into(),
        clock: "10:02:11".into(),
        paused: false,
        warnings: vec!["throttled to 5 MiB/s by alice@host since 2026-01-31T10:02:00Z".into()],
        stages: vec![stage("Prepare", 3, 3), stage("Carry", 0, 3), stage("Cut over", 0, 10)],
        cutovers: vec![cutover()],
        units: vec![unit()],
        messages: vec!["10:02:10 migration.site.unit[\"tree\"].load: started".into()],
        ..Model::default()
    }
}

fn conditions() -> Vec<ConditionView> {
    vec![
        ConditionView {
            word: "met",
            good: true,
            name: "cutover.site.gate.lag".into(),
            said: "lag 300 ms, at most 2000 ms".into(),
            left: String::new(),
        },
        ConditionView {
            word: "waits",
            good: false,
            name: "cutover.site.gate.approval".into(),
            said: "plan abababababab is not approved".into(),
            left: "for 59m30s at most".into(),
        },
    ]
}

#[test]
fn a_load_shows_how_far_it_is_how_fast_and_who_throttled_it() {
    assert_snapshot!(frame(&loading(), &Ui::default(), (100, 20), &Look::plain()), @r#"
     segue watch  apply --follow by alice@host (process 7) for 2m13s  10:02:11Z
     ! throttled to 5 MiB/s by alice@host since 2026-01-31T10:02:00Z
     Prepare 3/3 > Carry 0/3 > Cut over 0/10
    + Cutovers ----------------------------------------------------------------------------------------+
    |cutover.site: the source serves (source.directory.old)                                            |
    |writes   open                                                                                     |
    |phase    READY                                                                                    |
    |pause    not measured yet                                                                         |
    |back     nothing to go back from: it never left                                                   |
    +--------------------------------------------------------------------------------------------------+
    + Units -------------------------------------------------------------------------------------------+
    |migration.site tree  load [######..........] 43 %  12.0 MiB/s, 2m10s left  lag ?  not verified    |
    +--------------------------------------------------------------------------------------------------+
    + Messages ----------------------------------------------------------------------------------------+
    |10:02:10 migration.site.unit["tree"].load: started                                                |
    |                                                                                                  |
    |                                                                                                  |
    |                                                                                                  |
    +--------------------------------------------------------------------------------------------------+
     p pause/resume  t throttle  a approve  x abort  ? help  q quit
    "#);
}

#[test]
fn a_pause_shows_its_clock_and_what_happens_when_it_is_too_long() {
    let mut model = loading();
    model.warnings.clear();
    model.cutovers[0] = CutoverView {
        writes: "PAUSED for 180ms; not committed within 29.8s: aborted, the source opens".into(),
        writes_paused: true,
        phase: "FENCED (DRAINED 10.1ms, FENCED 52.6ms)".into(),
        pause: "predicted 250ms (fence 70ms, open 100ms)".into(),
        ..cutover()
    };
    model.units[0] =
        UnitView { part: None, pace: String::new(), doing: "2.9 MiB in 6 passes".into(), ..unit() };
    model.conditions = conditions();
    model.lag = (0..40).map(|n| Some(f64::from(n % 10) * 100.0)).collect();
    model.lag_ms = Some(900);
    assert_snapshot!(frame(&model, &Ui::default(), (90, 32), &Look::plain()), @r#"
     segue watch  apply --follow by alice@host (process 7) for 2m13s  10:02:11Z
     Prepare 3/3 > Carry 0/3 > Cut over 0/10
    + Cutovers ------------------------------------------------------------------------------+
    |cutover.site: the source serves (source.directory.old)                                  |
    |writes   PAUSED for 180ms; not committed within 29.8s: aborted, the source opens        |
    |phase    FENCED (DRAINED 10.1ms, FENCED 52.6ms)                                         |
    |pause    predicted 250ms (fence 70ms, open 100ms)                                       |
    |back     nothing to go back from: it never left                                         |
    +----------------------------------------------------------------------------------------+
    + Units ---------------------------------------------------------------------------------+
    |migration.site tree  2.9 MiB in 6 passes  lag ?  not verified                           |
    +----------------------------------------------------------------------------------------+
    + Gates and watches ---------------------------------------------------------------------+
    |waits    cutover.site.gate.approval  for 59m30s at most: plan abababababab is not approv|
    |met      cutover.site.gate.lag  lag 300 ms, at most 2000 ms                             |
    +----------------------------------------------------------------------------------------+
    + Lag: 900ms now, 900ms at most ---------------------------------------------------------+
    |       .:#       .:#       .:#       .:#                                                |
    |    .:####    .:####    .:####    .:####                                                |
    |..:#######..:#######..:#######..:#######                                                |
    +----------------------------------------------------------------------------------------+
    + Messages ------------------------------------------------------------------------------+
    |10:02:10 migration.site.unit["tree"].load: started                                      |
    |                                                                                        |
    |                                                                                        |
    |                                                                                        |
    |                                                                                        |
    |                                                                                        |
    |                                                                                        |
    |                                                                                        |
    +----------------------------------------------------------------------------------------+
     p pause/resume  t throttle  a approve  x abort  ? help  q quit
    "#);
}

#[test]
fn after_the_switch_it_shows_what_going_back_would_lose_and_waits_for_a_run() {
    let model = Model {
        title: "no apply is running: waiting for one; the last (apply) ended, exit 0".into(),
        clock: "10:02:11".into(),
        cutovers: vec![CutoverView {
            serves: "the target serves since 2026-01-31T09:30:00Z (target.directory.new)".into(),
            phase: "SOAKING".into(),
            pause: "last 101.2ms".into(),
            back: "if you go back now: 0 writes lost, 2s behind".into(),
            held: Some("since 2026-01-31T09:31:00Z: somebody went back".into()),
            ..cutover()
        }],
        ..Model::default()
    };
    let look = Look { unicode: true, ..Look::plain() };
    assert_snapshot!(frame(&model, &Ui::default(), (80, 18), &look), @r#"
     segue watch  no apply is running: waiting for one; the last (apply) ended, exit

    ╭ Cutovers ────────────────────────────────────────────────────────────────────╮
    │cutover.site: the target serves since 2026-01-31T09:30:00Z (target.directory.n│
    │HELD     since 2026-01-31T09:31:00Z: somebody went back                       │
    │writes   open                                                                 │
    │phase    SOAKING                                                              │
    │pause    last 101.2ms                                                         │
    │back     if you go back now: 0 writes lost, 2s behind                         │
    ╰──────────────────────────────────────────────────────────────────────────────╯
    ╭ Units ───────────────────────────────────────────────────────────────────────╮
    │none yet                                                                      │
    ╰──────────────────────────────────────────────────────────────────────────────╯
    ╭ Messages ────────────────────────────────────────────────────────────────────╮
    │                                                                              │
    │                                                                              │
    ╰──────────────────────────────────────────────────────────────────────────────╯
     p pause/resume  t throttle  a approve  x abort  ? help  q quit
    "#);
}

#[test]
fn a_screen_that_is_too_small_says_how_large_it_must_be() {
    assert_snapshot!(frame(&loading(), &Ui::default(), (40, 5), &Look::plain()), @r#"
    This terminal has 40 x 5; segue watch
    needs 60 x 18. q leaves.
    "#);
}

#[test]
fn no_size_and_no_situation_breaks_the_frame() {
    let mut model = loading();
    model.units = vec![unit(); 40];
    model.cutovers = vec![cutover(); 9];
    model.messages = vec!["m\u{1b}[31m\u{7}".repeat(90); 70];
    let ui = Ui { mode: Mode::Help, note: Some("n".repeat(500)) };
    for (width, height) in [(1, 1), (59, 18), (60, 18), (60, 100), (300, 18), (80, 24), (200, 60)] {
        for unicode in [true, false] {
            let text = frame(&model, &ui, (width, height), &Look { unicode, ..Look::plain() });
            assert!(!text.contains(['\u{1b}', '\u{7}']), "what files are called moves no cursor");
            assert!(unicode || text.is_ascii());
        }
    }
}
