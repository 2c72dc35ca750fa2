//! Charts as inline SVG. Widths are in percent and heights in pixels, so that a chart fits a telephone and a sheet of
//! paper alike, and its words keep their size.

use super::Series;
use super::html::Html;

/// The smallest part of a chart's width that is seen.
const WIDTH_MIN: f64 = 0.25;
/// Height of a plot, without its time axis, in pixels.
const PLOT_PX: f64 = 120.0;

/// A span of time that a chart shows, milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) from_ms: i64,
    pub(super) to_ms: i64,
}

impl Span {
    /// Where a moment is, in percent of the width.
    fn percent(self, at_ms: i64) -> f64 {
        let whole = (self.to_ms - self.from_ms).max(1) as f64;
        (((at_ms - self.from_ms) as f64) * 100.0 / whole).clamp(0.0, 100.0)
    }

    /// Left edge and width of a part of it, in percent.
    fn part(self, from_ms: i64, to_ms: i64) -> (f64, f64) {
        let left = self.percent(from_ms).min(100.0 - WIDTH_MIN);
        (left, (self.percent(to_ms) - left).max(WIDTH_MIN))
    }
}

/// One bar of a time line.
pub(super) struct Bar {
    pub(super) from_ms: i64,
    pub(super) to_ms: i64,
    /// A class of the style sheet.
    pub(super) class: &'static str,
    /// What the pointer shows.
    pub(super) title: String,
}

/// A row of a time line: its name, its bars, and what is said of it.
pub(super) fn row(html: &mut Html, span: Span, name: &str, bars: &[Bar], said: &str) {
    html.element("div", "row", |h| {
        h.words("span", "name", name);
        h.markup("<svg class=\"line\" width=\"100%\" height=\"14\" role=\"img\"><title>")
            .text(name)
            .markup("</title>");
        h.markup("<rect class=\"track\" x=\"0\" y=\"6\" width=\"100%\" height=\"2\"/>");
        for bar in bars {
            let (left, width) = span.part(bar.from_ms, bar.to_ms);
            h.markup("<rect class=\"").markup(bar.class).markup("\" rx=\"2\" y=\"1\" height=\"12\"");
            place(h, left, width);
            h.markup("><title>").text(&bar.title).markup("</title></rect>");
        }
        h.markup("</svg>");
        h.words("span", "said", said);
    });
}

/// From when to when the rows above it reach.
pub(super) fn axis(html: &mut Html, span: Span) {
    html.element("div", "row axis", |h| {
        h.markup("<span></span><span class=\"ends\">");
        h.words("span", "", clock(span.from_ms)).words("span", "", clock(span.to_ms));
        h.markup("</span><span></span>");
    });
}

/// A row whose bar is a part of a whole (a phase of a pause).
pub(super) fn part(html: &mut Html, name: &str, (from, width): (f64, f64), class: &'static str, said: &str) {
    html.element("div", "row", |h| {
        h.words("span", "name", name);
        h.markup("<svg class=\"line\" width=\"100%\" height=\"14\" role=\"img\"><title>")
            .text(name)
            .markup("</title>");
        h.markup("<rect class=\"track\" x=\"0\" y=\"6\" width=\"100%\" height=\"2\"/>");
        h.markup("<rect class=\"").markup(class).markup("\" rx=\"2\" y=\"1\" height=\"12\"");
        let left = (from * 100.0).clamp(0.0, 100.0 - WIDTH_MIN);
        place(h, left, (width * 100.0).clamp(WIDTH_MIN, 100.0 - left));
        h.markup("/></svg>");
        h.words("span", "said", said);
    });
}

fn place(html: &mut Html, left: f64, width: f64) {
    html.markup(" x=\"").text(format_args!("{left:.2}%")).markup("\" width=\"");
    html.text(format_args!("{width:.2}%")).markup("\"");
}

/// Durations in milliseconds that a person counts in.
pub(super) const TIME_MARKS: &[f64] = &[
    1.0,
    10.0,
    100.0,
    1_000.0,
    10_000.0,
    60_000.0,
    600_000.0,
    3_600_000.0,
    36_000_000.0,
    86_400_000.0,
    864_000_000.0,
    8_640_000_000.0,
];
/// Sizes in bytes, each 32 times the one before.
pub(super) const SIZE_MARKS: &[f64] = &[
    1.0,
    32.0,
    1024.0,
    32_768.0,
    1_048_576.0,
    33_554_432.0,
    1_073_741_824.0,
    34_359_738_368.0,
    1_099_511_627_776.0,
];
/// Numbers of any unit.
pub(super) const PLAIN_MARKS: &[f64] =
    &[0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12];
/// Lines of a scale; what is lower is drawn at the bottom.
const MARKS_MAX: usize = 7;

/// A plot of a series: each bin from its least to its most, on a scale of the given marks, which are equally far from
/// each other: what is shown reaches from milliseconds to days.
pub(super) fn plot(
    html: &mut Html,
    title: &str,
    series: &Series,
    span: Span,
    marks: &'static [f64],
    unit: impl Fn(f64) -> String,
) {
    let Some(most) = series.most() else { return };
    let least = series.bins.iter().map(|b| b.least).filter(|v| *v > 0.0).fold(f64::INFINITY, f64::min);
    let marks = scale(marks, least, most);
    let y = |value: f64| PLOT_PX * (1.0 - height(marks, value));
    html.element("figure", "", |h| {
        h.element("figcaption", "", |h| {
            h.text(title).markup(" <span class=\"dim\">");
            h.text(format_args!("{} at most", unit(most))).markup("</span>");
        });
        h.markup("<svg class=\"plot\" width=\"100%\" height=\"138\" role=\"img\"><title>")
            .text(title)
            .markup("</title>");
        for bin in &series.bins {
            let (left, width) = span.part(bin.from_ms, bin.to_ms);
            let (top, bottom) = (y(bin.most), y(bin.least));
            h.markup("<rect class=\"bin\"");
            place(h, left, width);
            h.markup(" y=\"").text(format_args!("{:.1}", top.min(PLOT_PX - 2.0))).markup("\" height=\"");
            h.text(format_args!("{:.1}", (bottom - top).max(2.0))).markup("\"><title>");
            h.text(format_args!("{}: {} to {}", clock(bin.from_ms), unit(bin.least), unit(bin.most)));
            h.markup("</title></rect>");
        }
        for mark in marks {
            let at = y(*mark);
            h.markup("<line class=\"grid\" x1=\"0\" x2=\"100%\" y1=\"").text(format_args!("{at:.1}"));
            h.markup("\" y2=\"").text(format_args!("{at:.1}"));
            h.markup("\"/><text class=\"mark\" x=\"2\" y=\"")
                .text(format_args!("{:.1}", (at - 3.0).max(9.0)));
            h.markup("\">").text(unit(*mark)).markup("</text>");
        }
        h.markup("<text x=\"0\" y=\"134\">").text(clock(span.from_ms)).markup("</text>");
        h.markup("<text x=\"100%\" y=\"134\" text-anchor=\"end\">")
            .text(clock(span.to_ms))
            .markup("</text></svg>");
    });
}

/// The marks around what is shown: at least two.
fn scale(marks: &'static [f64], least: f64, most: f64) -> &'static [f64] {
    let high = marks.iter().position(|m| *m >= most).unwrap_or(marks.len().saturating_sub(1)).max(1);
    let low = marks.iter().rposition(|m| *m <= least.min(most)).unwrap_or(0).min(high - 1);
    marks.get(low.max((high + 1).saturating_sub(MARKS_MAX))..=high).unwrap_or(marks)
}

/// How high a value is on a scale, from 0 to 1: between two marks by its logarithm.
fn height(marks: &[f64], value: f64) -> f64 {
    let (Some(first), Some(last)) = (marks.first(), marks.last()) else { return 0.0 };
    let value = value.clamp(*first, *last);
    let below = marks.iter().rposition(|m| *m <= value).unwrap_or(0).min(marks.len().saturating_sub(2));
    let (Some(low), Some(high)) = (marks.get(below), marks.get(below + 1)) else { return 0.0 };
    (below as f64 + (value / low).ln() / (high / low).ln()) / (marks.len() - 1) as f64
}

/// `2026-01-31 09:30:00`, UTC.
pub(super) fn clock(at_ms: i64) -> String {
    let text = segue_run::clock::rfc3339(at_ms);
    text.get(..19).unwrap_or(&text).replace('T', " ")
}

#[cfg(test)]
mod tests {
    use super::{PLAIN_MARKS, SIZE_MARKS, TIME_MARKS, height, scale};

    #[test]
    fn the_scale_holds_what_is_shown() {
        let shown =
            [(1.0, 1.0), (0.0004, 0.5), (12.0, 950.0), (1.0, 1e12), (f64::INFINITY, 0.0), (10.0, 100.0)];
        for marks in [TIME_MARKS, SIZE_MARKS, PLAIN_MARKS] {
            for (least, most) in shown {
                let scale = scale(marks, least, most);
                assert!((2..=7).contains(&scale.len()), "{least} {most}: {scale:?}");
                assert!(scale.last().is_some_and(|l| *l >= most || most > 1e10), "{least} {most}: {scale:?}");
                assert!(
                    (0.0..=1.0).contains(&height(scale, least)) && (0.0..=1.0).contains(&height(scale, most))
                );
                assert!(height(scale, least.min(most)) <= height(scale, most));
            }
        }
        assert_eq!(height(&[1.0, 10.0, 100.0], 10.0), 0.5);
    }
}
