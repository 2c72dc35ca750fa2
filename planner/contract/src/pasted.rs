//! Commands of Segue that messages tell people to type. They work when they are pasted: every word is quoted for a POSIX
//! shell, and the options that say which spec is meant are repeated.

use std::fmt;
use std::sync::{PoisonError, RwLock};

/// How this process was called: the options that a command must repeat to be about the same spec.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CalledWith {
    /// `-C DIR`, `--spec FILE`, `--var NAME=VALUE`, `--var-file FILE`, a word each. No value of a sensitive variable.
    pub options: Vec<String>,
    /// `--early`: repeated by the commands that plan.
    pub early: bool,
}

/// Set by the command line before anything is told; libraries and tests that never set it repeat nothing.
static CALLED_WITH: RwLock<CalledWith> = RwLock::new(CalledWith { options: Vec::new(), early: false });

/// Says how this process was called.
pub fn called_with(how: CalledWith) {
    *CALLED_WITH.write().unwrap_or_else(PoisonError::into_inner) = how;
}

/// A command to paste; its [`fmt::Display`] is the whole line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegueCommand {
    words: Vec<String>,
}

/// `segue`, these words, and the options that this process was called with.
pub fn segue(words: &[&str]) -> SegueCommand {
    SegueCommand { words: words.iter().map(|&word| word.to_owned()).collect() }
}

impl SegueCommand {
    fn line(&self, how: &CalledWith) -> String {
        let mut line = "segue".to_owned();
        let plans = matches!(self.words.first().map(String::as_str), Some("plan" | "apply"));
        let early = (how.early && plans).then(|| "--early".to_owned());
        for word in self.words.iter().chain(&how.options).chain(&early) {
            line.push(' ');
            line.push_str(&shell_word(word));
        }
        line
    }
}

impl fmt::Display for SegueCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = CALLED_WITH.read().unwrap_or_else(PoisonError::into_inner);
        f.write_str(&self.line(&how))
    }
}

/// A word as a POSIX shell reads it: as it is where nothing in it is special, else in single quotes.
pub fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@%+,=".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::{CalledWith, segue, shell_word};

    #[test]
    fn words_are_quoted_and_options_repeated() {
        let how = CalledWith {
            options: ["-C", "my specs", "--var", "a=it's"].map(str::to_owned).into(),
            early: true,
        };
        let unhold = segue(&["unhold", "cutover.site[\"eu\"]"]);
        assert_eq!(unhold.line(&how), r#"segue unhold 'cutover.site["eu"]' -C 'my specs' --var 'a=it'\''s'"#);
        assert_eq!(segue(&["apply"]).line(&how), r#"segue apply -C 'my specs' --var 'a=it'\''s' --early"#);
        assert_eq!(segue(&["status"]).to_string(), "segue status");
        assert_eq!(shell_word(""), "''");
    }
}
