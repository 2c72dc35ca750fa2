//! The status in words: what is urgent first.

use segue_contract::segue;
use segue_plan::cutover::Freshness;

use super::{
    CutoverView, DeletionsView, Fallback, GoingBack, HeldView, Line, MigrationView, Reopens, StatusView,
    Writes,
};
use crate::printer::{Look, Paint};
use crate::render::quantity::{ago, bytes, count, micros, millis, of};

/// Entries of a list that are shown; the rest is counted.
const LISTED_MAX: usize = 10;

impl StatusView {
    /// For people.
    pub(crate) fn text(&self, look: &Look) -> String {
        let Self {
            doubts,
            running,
            cutovers,
            migrations,
            rehearsals,
            last_run,
            brakes,
            held_up: _,
            slowed,
            resources,
            now_ms,
        } = self;
        let mut out = String::new();
        if !doubts.is_empty() {
            out.push_str(&doubt_text(doubts, look));
        }
        for cutover in cutovers.iter().filter(|c| c.died) {
            out.push_str(&died_text(cutover, look));
        }
        if cutovers.is_empty() && migrations.is_empty() && rehearsals.is_empty() {
            out.push_str(&format!("Nothing has been applied here yet.\n  next: {}\n", segue(&["plan"])));
        }
        for cutover in cutovers {
            out.push_str(&cutover_text(cutover, look));
            out.push('\n');
        }
        for migration in migrations {
            out.push_str(&migration_text(migration, *now_ms, look));
        }
        for rehearsal in rehearsals {
            out.push_str(&rehearsal.text(running.is_some(), *now_ms));
        }
        let left_over = resources.iter().filter(|r| r.is_left_over()).count() as u64;
        if left_over > 0 {
            let what = of(left_over, "temporary resource", "temporary resources");
            let line = format!(
                "Left over: {what} that nobody needs: `{}` lists and releases them",
                segue(&["cleanup"])
            );
            out.push_str(&format!("\n{}\n", look.paint(Paint::Warning, &line)));
        }
        match (running, last_run) {
            (Some(running), _) => out.push_str(&format!("\nRunning: {running}\n")),
            (None, Some(last)) => out.push_str(&format!("\nLast command: {last}\n")),
            (None, None) => {}
        }
        for line in slowed {
            out.push_str(&format!("  {}\n", look.paint(Paint::Warning, line)));
        }
        if !brakes.is_empty() {
            out.push_str(&format!(
                "  (`{}`, `{}`; none of it outlives the running command)\n",
                segue(&["resume"]),
                segue(&["throttle", "off"])
            ));
        }
        out
    }
}

/// The endpoints know more than this state does (protocol P19).
fn doubt_text(doubts: &[String], look: &Look) -> String {
    let mut out = format!("{}\n", look.paint(Paint::Bad, "!! WHO SERVES IS NOT KNOWN HERE"));
    for doubt in doubts {
        out.push_str(&format!("   {doubt}\n"));
    }
    out.push_str(&format!("   Nothing is opened or closed from here. Bring back the newest state directory; when it is gone for good,\n   `{}` begins anew from what the endpoints say. What follows is what the old state says.\n\n", segue(&["adopt"])));
    out
}

/// What nobody may overlook.
fn died_text(view: &CutoverView, look: &Look) -> String {
    let title = match &view.writes {
        Writes::Paused { since_ms, .. } => {
            let since =
                since_ms.map_or_else(|| "before this boot".to_owned(), |ms| format!("{} ago", millis(ms)));
            format!(
                "{}: A RUN DIED IN THE PAUSE, AT {}: WRITES ARE REFUSED; IT BEGAN {since}",
                view.cutover, view.phase
            )
        }
        Writes::Open => format!("{}: A RUN DIED, AT {}", view.cutover, view.phase),
    };
    let mut out = format!("{}\n", look.paint(Paint::Bad, &format!("!! {title}")));
    if let Writes::Paused { reopens: Reopens::Nobody { side, by_hand }, .. } = &view.writes {
        out.push_str(&format!(
            "   Nothing re-opens the {side} by itself. Any segue command that writes does, here and now: {}\n   Without segue: {}\n",
            segue(&["abort"]),
            by_hand.display()
        ));
    }
    out.push('\n');
    out
}

fn cutover_text(view: &CutoverView, look: &Look) -> String {
    let CutoverView {
        cutover,
        serves,
        endpoint,
        since,
        pause_us,
        phase,
        finished,
        died: _,
        writes,
        going_back,
        fallback,
        held,
        watch,
        reads,
        stale: _,
        stale_total: _,
        stale_kept: _,
        set_aside: _,
        set_aside_total: _,
        mismatches_total: _,
        next,
    } = view;
    let mut out = Section::new(look);
    let endpoint = endpoint.as_ref().map(|e| format!(" ({e})")).unwrap_or_default();
    let since = since.as_ref().map(|s| format!(", since {s}")).unwrap_or_default();
    let for_good = if *finished { ", for good" } else { "" };
    let title = format!("{cutover}: the {serves} serves{endpoint}{since}{for_good}");
    out.text.push_str(&format!("{}\n", look.paint(Paint::Title, &title)));
    let (line, reopens) = writes_text(writes, *phase);
    out.line("writes", &line, if reopens.is_some() { Paint::Bad } else { Paint::Good });
    if let Some(reopens) = reopens {
        out.line("re-opens", &reopens, Paint::Warning);
    }
    out.plain("going back", &going_back_text(going_back, fallback.as_ref().and_then(|f| f.age_ms)));
    if let Some(fallback) = fallback {
        let (line, paint) = fallback_text(fallback);
        out.line("fallback", &line, paint);
    }
    if let Some(us) = pause_us {
        out.plain("last pause", &micros(*us));
    }
    if let Some(HeldView { reason, wanted, since }) = held {
        let waits = match wanted == serves {
            true => format!("the spec wants the {wanted} too: nothing waits"),
            false => format!("the spec's wish for the {wanted} waits for `unhold`"),
        };
        let line = format!("since {since}: {reason}; {waits}");
        out.line("HELD", &line, Paint::Warning);
    }
    seen(&mut out, reads.as_ref(), watch);
    trouble(&mut out, view);
    for (i, command) in next.iter().enumerate() {
        out.plain(if i == 0 { "next" } else { "" }, command);
    }
    out.text
}

/// Reads at the target before the switch, and what is watched after it.
fn seen(out: &mut Section<'_>, reads: Option<&Line>, watch: &[Line]) {
    if let Some(reads) = reads {
        out.line("reads", &reads.text, if reads.bad { Paint::Bad } else { Paint::Warning });
    }
    for (i, line) in watch.iter().enumerate() {
        let paint = if line.bad { Paint::Bad } else { Paint::Good };
        out.line(if i == 0 { "watch" } else { "" }, &line.text, paint);
    }
}

/// What somebody has to look after: stale writes, records left out, differences.
fn trouble(out: &mut Section<'_>, view: &CutoverView) {
    let CutoverView { stale, stale_total, stale_kept, set_aside, set_aside_total, mismatches_total, .. } =
        view;
    if *stale_total > 0 {
        let line = format!(
            "{} on the side that does not serve; kept below {}",
            of(*stale_total, "write", "writes"),
            stale_kept.display()
        );
        out.line("STALE", &line, Paint::Bad);
        for find in stale.iter().take(LISTED_MAX) {
            let kept = find.kept.as_ref().map(|k| format!(", kept as {k}")).unwrap_or_default();
            let who = find.process.as_ref().map(|p| format!(" by {p}")).unwrap_or_default();
            out.item(&format!("{} {}{who}{kept}", find.key, find.what));
        }
        out.rest(*stale_total, stale.len());
    }
    if *set_aside_total > 0 {
        out.line(
            "SET ASIDE",
            &format!("{} could not be carried", of(*set_aside_total, "record", "records")),
            Paint::Bad,
        );
        for record in set_aside.iter().take(LISTED_MAX) {
            out.item(&format!("{}: {}", record.key, record.reason));
        }
        out.rest(*set_aside_total, set_aside.len());
    }
    if *mismatches_total > 0 {
        out.line("DIFFERS", &of(*mismatches_total, "record", "records"), Paint::Bad);
    }
}

/// Lines of words and what is to be said of them, in two columns.
struct Section<'a> {
    text: String,
    look: &'a Look,
}

impl<'a> Section<'a> {
    fn new(look: &'a Look) -> Self {
        Self { text: String::new(), look }
    }

    fn line(&mut self, key: &str, value: &str, paint: Paint) {
        let value = self.look.paint(paint, value);
        self.plain(key, &value);
    }

    fn plain(&mut self, key: &str, value: &str) {
        let key = format!("{key:<12}");
        self.text.push_str(&format!("  {}{value}\n", self.look.paint(Paint::Key, &key)));
    }

    fn item(&mut self, value: &str) {
        self.text.push_str(&format!("    - {value}\n"));
    }

    fn rest(&mut self, total: u64, listed: usize) {
        let more = total.saturating_sub(listed.min(LISTED_MAX) as u64);
        if more > 0 {
            self.item(&format!("and {} more (--json lists those that are known)", count(more)));
        }
    }
}

fn writes_text(writes: &Writes, phase: segue_plan::cutover::Phase) -> (String, Option<String>) {
    let Writes::Paused { since_ms, reopens } = writes else {
        return ("open".to_owned(), None);
    };
    let since =
        since_ms.map_or_else(|| "since before this boot".to_owned(), |ms| format!("for {}", millis(ms)));
    let how = match reopens {
        Reopens::RunningBeforeCommit { side, at_most_ms } => match at_most_ms {
            Some(ms) => format!(
                "when the switch is through; not committed within {}: aborted, the {side} opens",
                millis(*ms)
            ),
            None => format!("when the switch is through, or aborted: the {side} opens"),
        },
        Reopens::RunningAfterCommit { side, at_most_ms, watchdog } => {
            let through = format!("the {side}, as soon as the running command is through");
            match (at_most_ms, watchdog) {
                (Some(0), true) => format!("{through}; its time is over: the watchdog ends it and completes"),
                (Some(0), false) => {
                    format!("{through}; its time is over: `{}` here ends it and completes", segue(&["apply"]))
                }
                (Some(ms), true) => format!("{through}; in {} the watchdog completes", millis(*ms)),
                (Some(ms), false) => {
                    format!(
                        "{through}; from {} on `{}` here ends it and completes",
                        millis(*ms),
                        segue(&["apply"])
                    )
                }
                (None, _) => through,
            }
        }
        Reopens::Nobody { side, by_hand } => {
            format!(
                "NOT by itself: `{}` or `{}` here opens the {side}; by hand: {}",
                segue(&["apply"]),
                segue(&["abort"]),
                by_hand.display()
            )
        }
    };
    (format!("PAUSED {since} ({phase})"), Some(how))
}

fn going_back_text(going_back: &GoingBack, behind_ms: Option<u64>) -> String {
    match going_back {
        GoingBack::NothingToGoBackTo => "not needed: the source serves".to_owned(),
        GoingBack::LosesNothing => {
            let behind = behind_ms.map(|ms| format!(", {} behind", millis(ms))).unwrap_or_default();
            format!("if you go back now: 0 writes lost{behind} (what the target took is carried back first)")
        }
        GoingBack::Loses { since } => {
            format!("LOSES what the target took since {since}: there is no reverse sync")
        }
        GoingBack::NotPossible => "not any more: the fallback was given up".to_owned(),
    }
}

fn fallback_text(fallback: &Fallback) -> (String, Paint) {
    let Fallback { side, age_ms, reverse, freshness, follower, retain_ms, served_ms } = fallback;
    let mut paint = Paint::Good;
    let mut line = match (reverse, age_ms) {
        (false, _) => format!("the {side}, as it was left: no reverse sync"),
        (true, None) => format!("the {side}; no pass towards it yet"),
        (true, Some(ms)) => format!("the {side}, {} old", millis(*ms)),
    };
    if *reverse {
        match freshness {
            Some(Freshness::StaleSoon { in_ms }) => {
                line.push_str(&format!(", STALE IN {}", millis(in_ms / 1000 * 1000)));
                paint = Paint::Warning;
            }
            Some(Freshness::Stale) => {
                line.push_str(", STALE");
                paint = Paint::Warning;
            }
            Some(Freshness::Fresh) | None => {}
        }
        if *follower {
            line.push_str(", kept fresh by the running apply");
        } else {
            line.push_str(&format!("; nobody keeps it fresh: `{}` does", segue(&["apply", "--follow"])));
        }
    }
    if let (Some(retain), Some(served)) = (retain_ms, served_ms) {
        if served >= retain {
            line.push_str(&format!("; retained for {}, which are over: finish it", millis(*retain)));
            paint = Paint::Warning;
        } else {
            line.push_str(&format!("; retained for another {}", millis(retain - served)));
        }
    }
    (line, paint)
}

fn migration_text(view: &MigrationView, now_ms: i64, look: &Look) -> String {
    let MigrationView {
        migration,
        unit,
        loaded,
        records,
        bytes: size,
        passes,
        lag_ms,
        verified,
        verified_ms,
        deletions,
    } = view;
    let title = look.paint(Paint::Title, &format!("{migration} {unit}"));
    if !loaded {
        return format!("{title}: not loaded yet\n");
    }
    let lag = lag_ms.map_or_else(|| "lag unknown".to_owned(), |ms| format!("lag at most {}", millis(ms)));
    let verified = match (verified, verified_ms) {
        (Some(level), Some(at)) => format!("verified ({level}) {}", ago(now_ms, *at)),
        _ => "not verified".to_owned(),
    };
    let line = format!(
        "{title}: {}, {} carried in {}, {lag}, {verified}\n",
        of(*records, "record", "records"),
        bytes(*size),
        of(*passes, "pass", "passes")
    );
    match deletions {
        Some(deletions) => line + &deletions_text(deletions, look),
        None => line,
    }
}

/// A pass that stopped before its first deletion, and what to type.
fn deletions_text(view: &DeletionsView, look: &Look) -> String {
    let DeletionsView { hash, asked } = view;
    let word = look.paint(Paint::Bad, "STOPPED");
    let (read, first) = (asked.direction.from(), asked.first.join(", "));
    let what = format!(
        "a pass from the {read} would delete {} of {} records: {first}",
        count(asked.deletions),
        count(asked.known)
    );
    match asked.accepted {
        Some(most) => format!("  {word} {what}\n  up to {} are accepted for the next one\n", count(most)),
        None => format!("  {word} {what}\n  if they are to go: segue apply --accept-deletions {hash}\n"),
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use crate::printer::Look;
    use crate::render::status::StatusView;
    use crate::sample;

    fn text(state: segue_plan::state::State, running: Option<&str>) -> String {
        StatusView::of(&sample::snapshot(state, running), Vec::new(), None, &sample::now())
            .text(&Look::plain())
    }

    #[test]
    fn an_empty_state_says_what_to_do_first() {
        assert_snapshot!(text(segue_plan::state::State::default(), None), @r"
        Nothing has been applied here yet.
          next: segue plan
        ");
    }

    #[test]
    fn after_a_switch_it_says_who_serves_and_how_to_go_back() {
        assert_snapshot!(text(sample::switched_state(), None), @r"
        cutover.site: the target serves (target.directory.new), since 2026-01-31T09:30:00.000Z
          writes      open
          going back  if you go back now: 0 writes lost, 1.5s behind (what the target took is carried back first)
          fallback    the source, 1.5s old; nobody keeps it fresh: `segue apply --follow` does
          last pause  112.9ms
          next        segue switch-back cutover.site   (back to the source; it asks first)
                      finished = true in the spec, then segue apply   (give the fallback up)

        migration.site tree: 100,000 records, 5.0 GiB carried in 4 passes, lag at most 1.5s, verified (full) 2h ago
        ");
    }

    #[test]
    fn in_the_pause_it_says_when_writes_open_again() {
        assert_snapshot!(text(sample::paused_state(), Some("`apply` of root (process 7 on host)")), @r"
        cutover.site: the source serves (source.directory.old)
          writes      PAUSED for 12s (FENCED)
          re-opens    when the switch is through; not committed within 18s: aborted, the source opens
          going back  not needed: the source serves
          next        segue abort cutover.site   (re-opens the source now)

        migration.site tree: 100,000 records, 5.0 GiB carried in 4 passes, lag at most 1.5s, verified (full) 2h ago

        Running: `apply` of root (process 7 on host)
        ");
    }

    #[test]
    fn a_run_that_died_in_the_pause_is_told_first() {
        assert_snapshot!(text(sample::paused_state(), None), @r"
        !! cutover.site: A RUN DIED IN THE PAUSE, AT FENCED: WRITES ARE REFUSED; IT BEGAN 12s ago
           Nothing re-opens the source by itself. Any segue command that writes does, here and now: segue abort
           Without segue: /srv/.segue/BY_HAND.txt

        cutover.site: the source serves (source.directory.old)
          writes      PAUSED for 12s (FENCED)
          re-opens    NOT by itself: `segue apply` or `segue abort` here opens the source; by hand: /srv/.segue/BY_HAND.txt
          going back  not needed: the source serves
          next        segue apply   (settles it first, then goes on)
                      segue abort   (settles it, and no more)

        migration.site tree: 100,000 records, 5.0 GiB carried in 4 passes, lag at most 1.5s, verified (full) 2h ago
        ");
    }

    #[test]
    fn holds_and_stale_writes_are_listed_with_what_to_type() {
        assert_snapshot!(text(sample::troubled_state(), None), @r"
        cutover.site: the target serves (target.directory.new), since 2026-01-31T09:30:00.000Z
          writes      open
          going back  if you go back now: 0 writes lost, 1.5s behind (what the target took is carried back first)
          fallback    the source, 1.5s old; nobody keeps it fresh: `segue apply --follow` does
          last pause  112.9ms
          HELD        since 2026-01-31T09:30:01.000Z: switched back by ann@host; the spec wants the target too: nothing waits
          STALE       14 writes on the side that does not serve; kept below /srv/.segue/artifacts
            - log/1.txt changed, kept as stale/1
            - log/2.txt changed, kept as stale/2
            - and 12 more (--json lists those that are known)
          SET ASIDE   1 record could not be carried
            - dev/tty: a device
          next        segue unhold cutover.site   (lets apply go on)
                      segue unhold cutover.site --stale   (when the stale writes are taken care of)
                      segue switch-back cutover.site   (back to the source; it asks first)
                      finished = true in the spec, then segue apply   (give the fallback up)

        migration.site tree: 100,000 records, 5.0 GiB carried in 4 passes, lag at most 1.5s, verified (full) 2h ago
        ");
    }
}
