//! The full screen of `segue watch`: what it shows is a model made from facts (`model`), drawn by a pure function
//! (`draw`); keys become questions (`keys`), and a thread asks them (`source`), so that nothing makes the screen wait.

mod draw;
mod graph;
mod keys;
mod model;
mod source;
mod terminal;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ratatui::crossterm::event::{Event, KeyEventKind, poll, read};
use segue_run::clock::{Clock, SystemClock};
use segue_run::execute::next_signal;

use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::render::status::Now;
use crate::workspace::Workspace;
use draw::draw;
use keys::{Act, Ui, press};
use model::{Facts, History, Model};
use source::{Source, Update};
use terminal::Screen;

/// How long a key may wait for the screen, and how often clocks on it move.
const TICK: Duration = Duration::from_millis(100);

/// Shows it until the person leaves.
///
/// # Errors
/// The terminal cannot be taken, or read.
pub(crate) fn show(invocation: &Invocation, workspace: &Workspace) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::new(format!("the terminal cannot be used: {error}"));
    let look = invocation.printer.out_look();
    let ended = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&ended);
    // A thread that waits for a signal ends with the process.
    std::thread::spawn(move || {
        // Where signals cannot be waited for, they end the process as they always did.
        if matches!(next_signal(), Ok(Some(_))) {
            flag.store(true, Ordering::SeqCst);
        }
    });
    let flag = Arc::clone(&ended);
    std::thread::spawn(move || terminal::end_with_it(&flag));
    let source = Source::start(workspace.state_dir.clone());
    let clock = SystemClock::new();
    let (mut facts, mut history, mut ui) = (Facts::default(), History::default(), Ui::default());
    let mut screen = Screen::enter().map_err(failed)?;
    while !ended.load(Ordering::SeqCst) {
        let now =
            Now { wall_ms: clock.wall_ms(), boot_ms: clock.boot_ms(), boot_id: clock.boot_id().to_owned() };
        for update in source.updates() {
            match update {
                Update::Facts(fresh) => facts.take(*fresh),
                Update::Answer(said) => ui.note = Some(said),
            }
        }
        let model = Model::of(&facts, &mut history, &now);
        screen.draw(|frame| draw(frame, &model, &ui, &look)).map_err(failed)?;
        if !poll(TICK).map_err(failed)? {
            continue;
        }
        // A resize is an event, too: the next frame has the new size.
        let Event::Key(key) = read().map_err(failed)? else { continue };
        if key.kind == KeyEventKind::Release {
            continue;
        }
        match press(&mut ui, &model, key) {
            Act::Nothing => {}
            Act::Quit => break,
            Act::Ask(question) => source.ask(question),
        }
    }
    Ok(())
}
