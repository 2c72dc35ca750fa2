//! `quiesce "manual"`: a person stops and starts the writers. One question a step, both answers mean something, and
//! nothing is closed where nobody can be asked. The released binary, at a terminal.

use segue_tests::{Pane, Scratch, segue_binary};

const STOP: &str = "Has everybody stopped writing?";
const START: &str = "Are they running?";

/// A quickstart of which a person stops the writers; nobody writes.
fn by_hand() -> Scratch {
    let scratch = Scratch::new();
    let spec = scratch.read("site.segue.hcl");
    let begin = spec.find("  quiesce \"command\" {").unwrap_or_default();
    let end = begin + spec[begin..].find("\n  }\n").unwrap_or_default() + "\n  }\n".len();
    let manual = "  quiesce \"manual\" {\n    stop_message  = \"press the red button\"\n    start_message = \"press the green button\"\n  }\n";
    scratch.edit_spec(&spec[begin..end], manual);
    scratch.edit_spec("timeout    = \"30s\"", "timeout    = \"10m\"");
    scratch
}

/// `segue apply` in a terminal.
fn apply(scratch: &Scratch) -> Pane {
    let shell = format!("{} apply --auto-approve; echo \"ended: $?\"; cat", segue_binary().display());
    Pane::new(scratch.path(), &shell)
}

fn answer(pane: &Pane, question: &str, answer: &str) {
    pane.until_it_shows(question);
    pane.keys(answer);
    pane.enter();
}

/// How many questions were asked in all.
fn questions(pane: &Pane) -> usize {
    pane.tmux(&["capture-pane", "-p", "-S", "-", "-t", "w"]).matches("Type yes or no:").count()
}

#[test]
fn a_switch_asks_once_to_stop_and_once_to_start() {
    let scratch = by_hand();
    let plan = scratch.segue(&["plan"]).expect_code(0).stdout;
    for said in ["A PERSON at the terminal of `segue apply` stops the writers", "A PERSON starts the writers"]
    {
        assert!(plan.contains(said), "{said}: {plan}");
    }
    let pane = apply(&scratch);
    pane.until_it_shows("press the red button");
    answer(&pane, STOP, "yes");
    pane.until_it_shows("press the green button");
    answer(&pane, START, "yes");
    pane.until_it_shows("ended: 0");
    assert_eq!((questions(&pane), scratch.live().as_str()), (2, "new"), "{}", pane.shows());
}

#[test]
fn a_no_to_the_first_question_aborts_and_the_source_is_opened() {
    let scratch = by_hand();
    let pane = apply(&scratch);
    answer(&pane, STOP, "no");
    answer(&pane, START, "yes");
    pane.until_it_shows("ended: 5");
    assert_eq!((questions(&pane), scratch.live().as_str()), (2, "old"), "{}", pane.shows());
    assert!(pane.shows().contains("did not stop"), "{}", pane.shows());
}

#[test]
fn a_no_to_the_second_question_takes_the_switch_back() {
    let scratch = by_hand();
    let pane = apply(&scratch);
    answer(&pane, STOP, "yes");
    answer(&pane, "START the writers on the target", "no");
    answer(&pane, "START the writers on the source", "yes");
    pane.until_it_shows("ended: 5");
    assert_eq!((questions(&pane), scratch.live().as_str()), (3, "old"), "{}", pane.shows());
}

#[test]
fn without_a_terminal_no_pause_is_begun() {
    for words in [&["apply", "--auto-approve"][..], &["apply", "--auto-approve", "--follow"]] {
        let scratch = by_hand();
        // Nor is a gate waited for that nobody opens.
        scratch.edit_spec(
            "  gate \"lag\" {",
            "  gate \"command\" {\n    command = [\"false\"]\n  }\n  gate \"lag\" {",
        );
        let stopped = scratch.segue(words).expect_code(3);
        assert!(stopped.stderr.contains("no pause was begun"), "{}", stopped.all());
        assert!(!scratch.segue(&["history"]).stdout.contains("QUIESCING"), "{}", stopped.all());
        assert_eq!(scratch.status()["cutovers"][0]["writes"]["state"], "open", "{}", scratch.status());
        assert_eq!(scratch.live(), "old");
    }
}
