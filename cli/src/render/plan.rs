//! The plan: in execution order, each step with what, why, what it waits for and what it costs.

mod steps;

use segue_contract::{Finding, Severity, segue};
use segue_plan::cutover::Forecast;
use segue_plan::diff::{Change, SettingDiff};
use segue_plan::plan::{Note, Outlook, Plan, Reason};

use super::drift;
use super::pause::predicted;
use super::quantity::{count, millis};
use crate::printer::{Look, Paint};

/// Digits of a hash that people compare.
const HASH_SHOWN: usize = 12;
/// Lines of one setting's diff that are shown.
const SETTING_LINES_MAX: usize = 40;

/// What the plan is shown for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// To be looked at; the command that does it.
    Planned(String),
    /// It is about to be applied.
    Applying,
}

/// A plan to be shown.
pub(crate) struct PlanView<'a> {
    /// The plan.
    pub(crate) plan: &'a Plan,
    /// Whether steps that are done are shown.
    pub(crate) all: bool,
    /// What for.
    pub(crate) what: What,
}

impl PlanView<'_> {
    /// For machines: the whole plan, and what it comes to.
    pub(crate) fn json(&self) -> serde_json::Value {
        let plan = self.plan;
        let outlook = match plan.outlook() {
            Outlook::Nothing => "nothing",
            Outlook::Changes => "changes",
            Outlook::DriftOnly => "drift_only",
        };
        serde_json::json!({
            "hash": plan.hash,
            "outlook": outlook,
            "refused": plan.refused(),
            "pending": plan.pending().count(),
            "plan": plan,
        })
    }

    /// For people.
    pub(crate) fn text(&self, look: &Look) -> String {
        let Plan { hash, basis: _, changes, steps, drift: drifted, settings, notes, forecasts } = self.plan;
        let mut out = String::new();
        for (cutover, change) in changes {
            out.push_str(&format!(
                "{}: {}\n",
                look.paint(Paint::Title, cutover.as_str()),
                change_text(*change)
            ));
        }
        if !changes.is_empty() {
            out.push('\n');
        }
        out.push_str(&steps::text(steps, self.all, look));
        for (cutover, forecast) in forecasts {
            out.push_str(&forecast_text(cutover.as_str(), forecast, look));
        }
        if !drifted.is_empty() {
            let title = look.paint(Paint::Title, "Drift: changed behind Segue's back");
            out.push_str(&format!("{title}\n{}\n", drift::text(drifted, look)));
        }
        for setting in settings {
            out.push_str(&setting_text(setting, look));
        }
        for note in notes {
            out.push_str(&note_text(note, look));
        }
        if !notes.is_empty() {
            out.push('\n');
        }
        out.push_str(&self.last_lines(hash, look));
        out
    }

    fn last_lines(&self, hash: &str, look: &Look) -> String {
        let plan = self.plan;
        let critical = plan.notes.iter().filter(|n| n.finding.severity == Severity::Critical).count();
        let short = hash.get(..HASH_SHOWN).unwrap_or(hash);
        if critical > 0 {
            let refused = look.paint(Paint::Bad, "Refused");
            return format!(
                "{refused}: {critical} critical above. Nothing is done before they are mended.\n"
            );
        }
        if plan.outlook() == Outlook::Nothing {
            let nothing = look.paint(Paint::Good, "Nothing to do");
            return format!("{nothing}: everything is as the spec says. Plan {short}.\n");
        }
        let with = |reason: Reason| plan.pending().filter(|s| s.reason == reason).count();
        let done = plan.steps.iter().filter(|s| s.done).count();
        let counts: Vec<String> = [
            (with(Reason::New), "new"),
            (with(Reason::Changed), "changed"),
            (with(Reason::Again), "again"),
            (with(Reason::Drifted), "drifted"),
            (with(Reason::Resumed), "resumed"),
            (done, "done"),
        ]
        .iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, word)| format!("{n} {word}"))
        .collect();
        let pending = plan.pending().count() as u64;
        let mut out = format!("{} steps to do ({}). Plan {short}.\n", count(pending), counts.join(", "));
        if let What::Planned(command) = &self.what {
            let asks = plan.pending().any(|s| s.asks_approval);
            if asks {
                out.push_str(&format!("To approve it: {}\n", segue(&["approve", hash])));
            }
            out.push_str(&format!("To do this: {command}\n"));
        }
        out
    }
}

fn change_text(change: Change) -> &'static str {
    match change {
        Change::Stay => "the side that serves stays; the other one is made ready and kept so",
        Change::Switch => "switch from the source to the target",
        Change::SwitchBack => "switch back from the target to the source",
        Change::Finish => "finish: the target serves for good, the fallback is given up",
        Change::Abandon => "abandon: the source serves for good, what Segue made at the target goes",
        Change::Rest => "finished",
        Change::Refused => "finished, and the spec wants something else",
    }
}

fn forecast_text(cutover: &str, forecast: &Forecast, look: &Look) -> String {
    let title = format!("Predicted pause of {cutover}: {}", predicted(forecast));
    let title = look.paint(Paint::Title, &title);
    let mut out = format!("{title}\n");
    let wide = forecast.terms.iter().map(|t| t.term.words().len()).max().unwrap_or(0);
    for term in &forecast.terms {
        out.push_str(&format!(
            "  {:wide$}  {:>8}  {}\n",
            term.term.words(),
            if term.unmeasured { "?".to_owned() } else { millis(term.ms) },
            look.paint(Paint::Dim, &term.basis)
        ));
    }
    out.push('\n');
    out
}

fn setting_text(setting: &SettingDiff, look: &Look) -> String {
    let SettingDiff { migration, name, lines } = setting;
    let title = format!("Setting {name} of {migration} differs (- source, + target)");
    let mut out = format!("{}\n", look.paint(Paint::Title, &title));
    for (tag, line) in lines.iter().take(SETTING_LINES_MAX) {
        let paint = match tag {
            '-' => Paint::Bad,
            '+' => Paint::Good,
            _ => Paint::Dim,
        };
        out.push_str(&format!("  {}\n", look.paint(paint, format!("{tag} {line}").trim_end())));
    }
    if lines.len() > SETTING_LINES_MAX {
        out.push_str(&format!("  ... {} more lines (--json has them)\n", lines.len() - SETTING_LINES_MAX));
    }
    out.push('\n');
    out
}

fn note_text(note: &Note, look: &Look) -> String {
    let Note { address, finding: Finding { severity, code, summary, remedy } } = note;
    let word = match severity {
        Severity::Info => look.paint(Paint::Dim, "note"),
        Severity::Warning => look.paint(Paint::Warning, "warning"),
        Severity::Critical => look.paint(Paint::Bad, "critical"),
    };
    // A provider may name the block itself.
    let named = summary.starts_with(address.as_str());
    let said = if named { summary.clone() } else { format!("{address} {summary}") };
    let mut out = format!("{word}[{code}]: {said}\n");
    if !remedy.is_empty() {
        out.push_str(&format!("  {} {remedy}\n", look.paint(Paint::Key, "next:")));
    }
    out
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::{PlanView, What};
    use crate::printer::Look;
    use crate::sample;

    fn view(plan: &segue_plan::plan::Plan) -> String {
        let what = What::Planned("segue apply".to_owned());
        PlanView { plan, all: false, what }.text(&Look::plain())
    }

    #[test]
    fn a_first_plan_shows_every_step_in_order_and_the_point_of_no_return() {
        assert_snapshot!(view(&sample::first_plan()), @r#"
        cutover.site: switch from the source to the target

        Prepare: nothing moves yet
          + migration.site.check (new)
              look at both endpoints
          + migration.site.provision (new)
              make target (target.directory.new) ready to receive

        Carry: data moves, writes go on
          > migration.site.unit["tree"].load (resumed)
              copy tree from source.directory.old to target.directory.new
              100,000 records, 5.0 GiB, about 25.6s [scan of the source; 200 MiB/s and 10000 records/s assumed]
          ~ migration.site.unit["tree"].sync (again)
              carry what changed, in passes, until they stop shrinking

        Gates: conditions to wait for
          + cutover.site.gate.approval (new)
              wait until somebody approves this plan's hash
              after migration.other.unit["tree"].verify

        Cut over: writes pause
          + cutover.site.quiesce (new)
              stop the writers (command)
              - not committed within 30s: abort, the source is re-opened first
          ---- point of no return: before this, everything is undone by an abort -------
          + cutover.site.commit (new)
              from here on the target is the side that serves
          + cutover.site.open (new)
              start the writers on the target

        After: the new side serves
          + cutover.site.retain (new)
              keep the source as fallback, 14d

        Predicted pause of cutover.site: more than 2.1s, not all of it was measured
          quiesce and drain         ?  not measured
          fence                  70ms  12 passes
          open                     2s  3 pauses

        Drift: changed behind Segue's back
          ! migration.site.unit["tree"] a/b.txt: content
            and 2 more in migration.site.unit["tree"]

        Setting file system of migration.site differs (- source, + target)
          - ext4
          + xfs
            case-sensitive

        warning[NO_BARRIER]: target.directory.new nothing keeps stale clients out of it while the other side serves
          next: stale_writers = "report" is declared: what they write is found, kept aside and listed

        9 steps to do (7 new, 1 again, 1 resumed). Plan 0123456789ab.
        To approve it: segue approve 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
        To do this: segue apply
        "#);
    }

    #[test]
    fn a_plan_with_nothing_to_do_says_so() {
        assert_snapshot!(view(&sample::empty_plan()), @"Nothing to do: everything is as the spec says. Plan 0123456789ab.");
    }

    #[test]
    fn a_refused_plan_says_why_and_what_to_do() {
        assert_snapshot!(view(&sample::refused_plan()), @r#"
        cutover.site: switch from the source to the target

        Prepare: nothing moves yet
          + migration.site.check (new)
              look at both endpoints

        warning[NO_BARRIER]: target.directory.new nothing keeps stale clients out of it while the other side serves
          next: stale_writers = "report" is declared: what they write is found, kept aside and listed
        critical[DIR_NOT_EMPTY]: target.directory.new has 3 entries that Segue did not make
          next: empty it, or name another directory

        Refused: 1 critical above. Nothing is done before they are mended.
        "#);
    }

    #[test]
    fn steps_that_are_done_are_shown_only_on_demand() {
        let mut plan = sample::first_plan();
        for step in plan.steps.iter_mut().take(2) {
            step.done = true;
        }
        let what = || What::Planned("segue apply".to_owned());
        let few = PlanView { plan: &plan, all: false, what: what() }.text(&Look::plain());
        let all = PlanView { plan: &plan, all: true, what: what() }.text(&Look::plain());
        assert!(!few.contains("= migration.site.check"), "{few}");
        assert!(all.contains("= migration.site.check"), "{all}");
        assert!(few.contains("2 done"), "{few}");
    }

    #[test]
    fn the_json_of_a_plan_has_the_whole_hash_and_the_outlook() {
        let plan = sample::first_plan();
        let json = PlanView { plan: &plan, all: false, what: What::Applying }.json();
        assert_eq!(json["hash"], plan.hash);
        assert_eq!(json["outlook"], "changes");
        assert_eq!(json["refused"], false);
    }
}
