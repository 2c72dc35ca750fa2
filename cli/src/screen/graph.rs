//! Graphs of characters: bars that tell how far a step is, and columns that tell how a number went over time.

/// Eighths of a character cell.
const EIGHTHS: [&str; 9] =
    [" ", "\u{2581}", "\u{2582}", "\u{2583}", "\u{2584}", "\u{2585}", "\u{2586}", "\u{2587}", "\u{2588}"];

/// A bar of `width` characters.
pub(super) fn bar(part: f64, width: usize, unicode: bool) -> String {
    let part = part.clamp(0.0, 1.0);
    // A bar is full when everything is done, and not before.
    let full = (part * width as f64).floor() as usize;
    let (on, off) = if unicode { ("\u{2588}", "\u{2591}") } else { ("#", ".") };
    format!("{}{}", on.repeat(full), off.repeat(width.saturating_sub(full)))
}

/// Columns, the newest at the right, in `height` lines from the top; a column without a value is empty. The tallest
/// reaches the top.
pub(super) fn columns(values: &[Option<f64>], height: usize, unicode: bool) -> Vec<String> {
    let most = values.iter().flatten().copied().fold(0.0, f64::max);
    let eighths = |value: f64| {
        let part = if most > 0.0 { value / most } else { 0.0 };
        // What is there is seen, however small.
        ((part * (height * 8) as f64).round() as usize).max(1)
    };
    let cell = |value: &Option<f64>, row: usize| {
        let Some(value) = value else { return " " };
        let here = eighths(*value).saturating_sub(row * 8).min(8);
        match (unicode, here) {
            (true, n) => EIGHTHS.get(n).copied().unwrap_or(" "),
            (false, 0) => " ",
            (false, 1..=3) => ".",
            (false, 4..=6) => ":",
            (false, _) => "#",
        }
    };
    (0..height).rev().map(|row| values.iter().map(|value| cell(value, row)).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::{bar, columns};

    #[test]
    fn a_bar_is_full_only_when_all_is_done() {
        assert_eq!(bar(0.0, 4, false), "....");
        assert_eq!(bar(0.99, 4, false), "###.");
        assert_eq!(bar(1.0, 4, false), "####");
        assert_eq!(bar(7.0, 2, true), "\u{2588}\u{2588}");
    }

    #[test]
    fn columns_reach_the_top_at_the_most_and_gaps_stay_empty() {
        let values = [Some(0.0), Some(4.0), None, Some(8.0)];
        assert_eq!(columns(&values, 2, false), ["   #", ".# #"]);
        assert_eq!(columns(&[], 1, false), [""]);
        assert_eq!(columns(&[Some(0.0)], 1, true), ["\u{2581}"]);
    }
}
