//! Taking the terminal, and giving it back as it was: at the end, on an error, and when something panics.

use std::io::{self, Stdout, stdin, stdout};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::{Frame, Terminal};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Signal, getpid, kill_process};

static HOOK: Once = Once::new();

/// How long the screen has to end by itself once its terminal is gone.
const GRACE: Duration = Duration::from_millis(500);

/// Waits, on a thread of its own, for the terminal to be closed: its window, its connection. Then the screen ends.
/// Reading from a terminal that is gone never returns (crossterm reads again and again), and it cannot be given back
/// either; so this process, which only looks, is ended.
pub(super) fn end_with_it(ended: &AtomicBool) {
    let stdin = stdin();
    // Nothing is asked for: a closed terminal is always told.
    let mut look = [PollFd::new(&stdin, PollFlags::empty())];
    let gone = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
    loop {
        match poll(&mut look, None) {
            Ok(_) if look.iter().any(|l| l.revents().intersects(gone)) => break,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return,
        }
    }
    ended.store(true, Ordering::SeqCst);
    std::thread::sleep(GRACE);
    let _ = kill_process(getpid(), Signal::KILL);
}

/// The terminal, taken. Dropping it gives it back.
pub(super) struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Screen {
    /// Takes it.
    pub(super) fn enter() -> io::Result<Self> {
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                give_back();
                before(panic);
            }));
        });
        enable_raw_mode()?;
        let entered = execute!(stdout(), EnterAlternateScreen);
        let terminal = entered.and_then(|()| Terminal::new(CrosstermBackend::new(stdout())));
        match terminal {
            Ok(terminal) => Ok(Self { terminal }),
            Err(error) => {
                give_back();
                Err(error)
            }
        }
    }

    /// Draws one frame, at the size that the terminal has now.
    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.terminal.draw(draw).map(|_| ())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// What cannot be given back now, the shell's `reset` does.
fn give_back() {
    let _ = execute!(stdout(), LeaveAlternateScreen, Show);
    let _ = disable_raw_mode();
}
