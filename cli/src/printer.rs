//! Where output may go: stdout is data, stderr is talk. Nothing else in this package writes to either.
//!
//! A reader that goes away (`segue plan | head`) ends the output quietly and changes nothing else: a run
//! must not stop between two steps because nobody listens any more.

use std::io::{self, BufRead, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::arguments::Global;
use crate::failure::Failure;

/// The width that text is wrapped to where there is no terminal to ask.
const WIDTH_DEFAULT: usize = 100;

/// What a piece of text is; the colour follows from that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    /// A heading.
    Title,
    /// A word that names what follows.
    Key,
    /// Something new, or all is well.
    Good,
    /// Somebody should look.
    Warning,
    /// Something is wrong.
    Bad,
    /// Less important.
    Dim,
}

/// How text may look at its destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    /// ANSI colours.
    pub(crate) colour: bool,
    /// Box-drawing and other characters beyond ASCII.
    pub(crate) unicode: bool,
    /// Columns.
    pub(crate) width: usize,
}

impl Look {
    /// Without colour, in ASCII: what a test or a file gets.
    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        Self { colour: false, unicode: false, width: WIDTH_DEFAULT }
    }

    /// Colours a text, where colours are wanted.
    pub(crate) fn paint(&self, paint: Paint, text: &str) -> String {
        if !self.colour || text.is_empty() {
            return text.to_owned();
        }
        let code = match paint {
            Paint::Title => "1",
            Paint::Key => "36",
            Paint::Good => "32",
            Paint::Warning => "33",
            Paint::Bad => "1;31",
            Paint::Dim => "2",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }

    /// A horizontal line with a word in it.
    pub(crate) fn rule(&self, word: &str) -> String {
        let stroke = if self.unicode { "\u{2500}" } else { "-" };
        let rest = self.width.min(78).saturating_sub(word.chars().count() + 6);
        format!("{} {word} {}", stroke.repeat(4), stroke.repeat(rest))
    }
}

/// Terminals say what they can show in their locale and in TERM.
fn shows_unicode() -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    let utf8 = locale.is_some_and(|l| {
        let l = l.to_ascii_lowercase();
        l.contains("utf-8") || l.contains("utf8")
    });
    utf8 && std::env::var("TERM").map_or(true, |term| term != "dumb" && term != "linux")
}

fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty())
}

/// no-color.org and bixense.com/clicolors: `--no-color`, then NO_COLOR, then CLICOLOR_FORCE, then the terminal.
fn wants_colour(no_color: bool, terminal: bool) -> bool {
    if no_color || is_set("NO_COLOR") {
        return false;
    }
    let forced = std::env::var_os("CLICOLOR_FORCE").is_some_and(|value| !value.is_empty() && value != "0");
    forced || (terminal && std::env::var("TERM").map_or(true, |term| term != "dumb"))
}

fn look_of(no_color: bool, terminal: bool, width: Option<usize>) -> Look {
    Look {
        colour: wants_colour(no_color, terminal),
        unicode: shows_unicode(),
        width: width.unwrap_or(WIDTH_DEFAULT).clamp(40, 200),
    }
}

fn width_of(descriptor: impl std::os::fd::AsFd) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(descriptor).ok()?;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}

/// How stdout looks.
pub(crate) fn look_of_stdout(no_color: bool) -> Look {
    let out = io::stdout();
    look_of(no_color, out.is_terminal(), width_of(&out))
}

/// How stderr looks.
pub(crate) fn look_of_stderr(no_color: bool) -> Look {
    let err = io::stderr();
    look_of(no_color, err.is_terminal(), width_of(&err))
}

/// Writes to stdout; that nobody reads any more is no error.
pub(crate) fn write_stdout(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Writes to stderr. That it cannot be written to must not hide what the command does.
pub(crate) fn say_raw(text: &str) {
    let mut err = io::stderr().lock();
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}

/// Takes talk while something else, bars for instance, owns the terminal.
pub(crate) type Diversion = Box<dyn Fn(&str) + Send + Sync>;

/// How often a question is looked at whether it is over.
const OVER_EVERY: Duration = Duration::from_millis(100);

/// Waits until a line was typed, or input ended; `false`: it was over before.
fn typed(over: &dyn Fn() -> bool) -> bool {
    let stdin = io::stdin();
    let Ok(wait) = Timespec::try_from(OVER_EVERY) else { return true };
    loop {
        if over() {
            return false;
        }
        let mut ready = [PollFd::new(&stdin, PollFlags::IN)];
        match poll(&mut ready, Some(&wait)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            // Reading says what is wrong, if anything is.
            Ok(_) | Err(_) => return true,
        }
    }
}

/// What may write where.
pub(crate) struct Printer {
    out: Look,
    talk: Look,
    quiet: bool,
    json: bool,
    diversion: Mutex<Option<Diversion>>,
    /// The prompt that waits for an answer: written again below whatever is said meanwhile.
    prompt: Mutex<Option<String>>,
    /// One question at a time.
    turn: Mutex<()>,
}

impl Printer {
    /// As the global options and the environment say.
    pub(crate) fn new(global: &Global) -> Self {
        Self {
            out: look_of_stdout(global.no_color),
            talk: look_of_stderr(global.no_color),
            quiet: global.quiet,
            json: global.json,
            diversion: Mutex::new(None),
            prompt: Mutex::new(None),
            turn: Mutex::new(()),
        }
    }

    /// How data looks.
    pub(crate) fn out_look(&self) -> Look {
        self.out
    }

    /// How talk looks.
    pub(crate) fn talk_look(&self) -> Look {
        self.talk
    }

    /// Whether facts are to be JSON.
    pub(crate) fn json(&self) -> bool {
        self.json
    }

    /// Whether bars may be drawn.
    pub(crate) fn draws_bars(&self) -> bool {
        !self.quiet
            && !self.json
            && io::stderr().is_terminal()
            && std::env::var("TERM").map_or(true, |t| t != "dumb")
    }

    /// Writes data.
    pub(crate) fn data(&self, text: &str) -> Result<(), Failure> {
        write_stdout(text).map_err(|error| Failure::new(format!("cannot write to standard output: {error}")))
    }

    /// Writes data as one JSON document.
    pub(crate) fn json_data(&self, value: &impl serde::Serialize) -> Result<(), Failure> {
        let mut text = serde_json::to_string_pretty(value)?;
        text.push('\n');
        self.data(&text)
    }

    /// Writes one JSON line.
    pub(crate) fn json_line(&self, value: &impl serde::Serialize) -> Result<(), Failure> {
        let mut text = serde_json::to_string(value)?;
        text.push('\n');
        self.data(&text)
    }

    /// Talks; not with `--quiet`.
    pub(crate) fn say(&self, text: &str) {
        if !self.quiet {
            self.say_anyway(text);
        }
    }

    /// Talks, whatever was asked for: errors and warnings.
    pub(crate) fn say_anyway(&self, text: &str) {
        let text = text.strip_suffix('\n').unwrap_or(text);
        let diversion = self.diversion.lock().unwrap_or_else(PoisonError::into_inner);
        match &*diversion {
            Some(divert) => divert(text),
            None if self.said_above_prompt(text) => {}
            None => say_raw(&format!("{text}\n")),
        }
    }

    /// A warning.
    pub(crate) fn warn(&self, text: &str) {
        self.say_anyway(&format!("{}: {text}", self.talk.paint(Paint::Warning, "warning")));
    }

    /// Sends talk elsewhere, as long as something owns the terminal.
    pub(crate) fn divert(&self, diversion: Option<Diversion>) {
        *self.diversion.lock().unwrap_or_else(PoisonError::into_inner) = diversion;
    }

    /// Whether somebody can be asked.
    pub(crate) fn somebody_there(&self) -> bool {
        !self.json && io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// Asks a person to type `expected`; `None`: there is nobody to ask.
    pub(crate) fn ask(&self, question: &str, expected: &str) -> Option<bool> {
        self.ask_until(question, expected, &|| false)
    }

    /// Asks a person to type `expected`; `None`: there is nobody to ask, or it was `over` before the answer. Others
    /// may say something meanwhile: it is written above the prompt.
    pub(crate) fn ask_until(&self, question: &str, expected: &str, over: &dyn Fn() -> bool) -> Option<bool> {
        if !self.somebody_there() {
            return None;
        }
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let prompt = format!("  Type {} to go on: ", self.talk.paint(Paint::Title, expected));
        Some(self.answer(question, prompt, over)?.trim() == expected)
    }

    /// Asks a person to type yes or no, and again until it is one of them; `None` as with [`Self::ask_until`], or when
    /// input ended.
    pub(crate) fn ask_yes_or_no(&self, question: &str, over: &dyn Fn() -> bool) -> Option<bool> {
        if !self.somebody_there() {
            return None;
        }
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let answer = self.answer(question, "  Type yes or no: ".to_owned(), over)?;
            match answer.trim() {
                "yes" => return Some(true),
                "no" => return Some(false),
                _ if answer.is_empty() => return None,
                _ => {}
            }
        }
    }

    /// Shows a question with its prompt, and reads the line that is typed; `None`: it was `over` before.
    fn answer(&self, question: &str, prompt: String, over: &dyn Fn() -> bool) -> Option<String> {
        {
            let mut shown = self.prompt.lock().unwrap_or_else(PoisonError::into_inner);
            say_raw(&format!("{question}\n{prompt}"));
            *shown = Some(prompt);
        }
        let answered = typed(over);
        *self.prompt.lock().unwrap_or_else(PoisonError::into_inner) = None;
        if !answered {
            say_raw("\n");
            return None;
        }
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer).ok()?;
        Some(answer)
    }

    /// Writes above the prompt that waits for an answer; `false`: none does. What was typed so far is not lost: the
    /// terminal keeps the line.
    pub(crate) fn said_above_prompt(&self, text: &str) -> bool {
        let prompt = self.prompt.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(prompt) = &*prompt {
            say_raw(&format!("\r\x1b[K{text}\n{prompt}"));
        }
        prompt.is_some()
    }
}
