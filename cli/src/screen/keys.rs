//! Keys: what each does, and what has to be typed before anything that cannot be taken back is asked for.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use segue_contract::segue;
use segue_run::execute::Ask;

use super::model::Model;
use crate::commands::rate;
use crate::failure::Failure;
use crate::writing::here;

/// The longest answer that a prompt takes.
const TYPED_MAX: usize = 120;

/// What the screen is in the middle of.
#[derive(Clone, Debug, Default)]
pub(super) struct Ui {
    pub(super) mode: Mode,
    /// The last answer, or what was wrong with the last key.
    pub(super) note: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Mode {
    #[default]
    Looking,
    Help,
    Prompt(Prompt),
}

/// A question to the person at the screen.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Prompt {
    pub(super) question: String,
    pub(super) typed: String,
    then: Then,
}

#[derive(Clone, Debug, PartialEq)]
enum Then {
    Throttle,
    Approve { plan_hash: String },
    Abort,
}

/// What a key comes to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Act {
    Nothing,
    Quit,
    Ask(Ask),
}

/// Takes a key.
pub(super) fn press(ui: &mut Ui, model: &Model, key: KeyEvent) -> Act {
    if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
        return Act::Quit;
    }
    match std::mem::take(&mut ui.mode) {
        Mode::Looking => looking(ui, model, key.code),
        // Any key closes the help.
        Mode::Help => Act::Nothing,
        Mode::Prompt(prompt) => prompted(ui, prompt, key.code),
    }
}

fn looking(ui: &mut Ui, model: &Model, code: KeyCode) -> Act {
    ui.note = None;
    match code {
        KeyCode::Char('q') | KeyCode::Esc => return Act::Quit,
        KeyCode::Char('?' | 'h') => ui.mode = Mode::Help,
        KeyCode::Char('p' | 't' | 'a' | 'x') if !model.runs => {
            ui.note = Some(format!("no apply is running: start one with `{}`", segue(&["apply"])));
        }
        KeyCode::Char('p') if model.paused => return Act::Ask(Ask::Resume { by: here() }),
        KeyCode::Char('p') => return Act::Ask(Ask::Pause { by: here(), why: None }),
        KeyCode::Char('t') => {
            ask(
                ui,
                "Bytes a second, such as 5MiB/s, or off (then why, if you like):".to_owned(),
                Then::Throttle,
            );
        }
        KeyCode::Char('a') => match &model.approvable {
            Some(plan_hash) => {
                let short = plan_hash.get(..12).unwrap_or(plan_hash);
                let question = format!("Type approve for plan {short} (its switch begins when enough have):");
                ask(ui, question, Then::Approve { plan_hash: plan_hash.clone() });
            }
            None => ui.note = Some("nothing waits for an approval".to_owned()),
        },
        KeyCode::Char('x') => {
            let what = match &model.closing {
                Some(cutover) => format!("{cutover} (the side that served opens first)"),
                None => "the run at its next safe point (no cutover is in flight)".to_owned(),
            };
            ask(ui, format!("Type abort to stop {what}:"), Then::Abort);
        }
        _ => {}
    }
    Act::Nothing
}

fn ask(ui: &mut Ui, question: String, then: Then) {
    ui.mode = Mode::Prompt(Prompt { question, typed: String::new(), then });
}

fn prompted(ui: &mut Ui, mut prompt: Prompt, code: KeyCode) -> Act {
    match code {
        KeyCode::Esc => {
            ui.note = Some("nothing was done".to_owned());
            return Act::Nothing;
        }
        KeyCode::Enter => return answered(ui, &prompt),
        KeyCode::Backspace => {
            prompt.typed.pop();
        }
        KeyCode::Char(c) if prompt.typed.len() < TYPED_MAX => prompt.typed.push(c),
        _ => {}
    }
    ui.mode = Mode::Prompt(prompt);
    Act::Nothing
}

fn answered(ui: &mut Ui, prompt: &Prompt) -> Act {
    let typed = prompt.typed.trim();
    let question = match &prompt.then {
        Then::Throttle => match throttled(typed) {
            Ok((bytes_per_s, why)) => Ok(Ask::Throttle { migration: None, bytes_per_s, by: here(), why }),
            Err(failure) => {
                Err(failure.reasons.into_iter().map(|r| r.message).collect::<Vec<_>>().join("; "))
            }
        },
        Then::Approve { plan_hash } if typed == "approve" => {
            Ok(Ask::Approve { plan_hash: plan_hash.clone(), by: here() })
        }
        Then::Abort if typed == "abort" => Ok(Ask::Abort { cutover: None, by: here() }),
        Then::Approve { .. } | Then::Abort => Err("nothing was done: it was not typed".to_owned()),
    };
    match question {
        Ok(question) => Act::Ask(question),
        Err(why) => {
            ui.note = Some(why);
            Act::Nothing
        }
    }
}

/// `5MiB/s the shop is slow`: a rate, and perhaps why.
fn throttled(typed: &str) -> Result<(Option<u64>, Option<String>), Failure> {
    let (first, why) = typed.split_once(' ').unwrap_or((typed, ""));
    let why = why.trim();
    Ok((rate(first)?, (!why.is_empty()).then(|| why.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn type_in(ui: &mut Ui, model: &Model, text: &str) -> Act {
        for c in text.chars() {
            assert_eq!(press(ui, model, KeyCode::Char(c).into()), Act::Nothing, "{c}");
        }
        press(ui, model, KeyCode::Enter.into())
    }

    #[test]
    fn nothing_is_aborted_or_approved_before_it_was_typed() {
        let model = Model { runs: true, approvable: Some("ab".repeat(32)), ..Model::default() };
        let mut ui = Ui::default();
        press(&mut ui, &model, KeyCode::Char('x').into());
        assert_eq!(type_in(&mut ui, &model, "abor"), Act::Nothing);
        assert!(ui.note.is_some());
        press(&mut ui, &model, KeyCode::Char('x').into());
        assert_eq!(type_in(&mut ui, &model, "abort"), Act::Ask(Ask::Abort { cutover: None, by: here() }));
        press(&mut ui, &model, KeyCode::Char('a').into());
        // `q` is a letter here.
        assert_eq!(type_in(&mut ui, &model, "q"), Act::Nothing);
        press(&mut ui, &model, KeyCode::Char('a').into());
        let approve = Ask::Approve { plan_hash: "ab".repeat(32), by: here() };
        assert_eq!(type_in(&mut ui, &model, "approve"), Act::Ask(approve));
        assert_eq!(press(&mut ui, &model, KeyCode::Char('q').into()), Act::Quit);
    }

    #[test]
    fn a_rate_that_is_none_is_told_and_not_asked_for() {
        let model = Model { runs: true, ..Model::default() };
        let mut ui = Ui::default();
        press(&mut ui, &model, KeyCode::Char('t').into());
        assert_eq!(type_in(&mut ui, &model, "fast"), Act::Nothing);
        assert!(ui.note.as_deref().is_some_and(|n| n.contains("fast")), "{:?}", ui.note);
        press(&mut ui, &model, KeyCode::Char('t').into());
        let ask = Ask::Throttle { migration: None, bytes_per_s: Some(5 << 20), by: here(), why: None };
        assert_eq!(type_in(&mut ui, &model, "5MiB/s"), Act::Ask(ask));
        press(&mut ui, &model, KeyCode::Char('t').into());
        let why = Some("the shop is slow".to_owned());
        let ask = Ask::Throttle { migration: None, bytes_per_s: None, by: here(), why };
        assert_eq!(type_in(&mut ui, &model, "off the shop is slow"), Act::Ask(ask));
    }

    #[test]
    fn without_a_run_keys_say_how_to_start_one() {
        let mut ui = Ui::default();
        for key in ['p', 't', 'a', 'x'] {
            assert_eq!(press(&mut ui, &Model::default(), KeyCode::Char(key).into()), Act::Nothing);
            assert!(ui.note.as_deref().is_some_and(|n| n.contains("segue apply")));
        }
    }
}
