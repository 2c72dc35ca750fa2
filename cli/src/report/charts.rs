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

/// A plot of a series: each bin from its least to its most, on a scale of powers of ten, for what it shows reaches from
/// milliseconds to days.
pub(super) fn plot(html: &mut Html, title: &str, series: &Series, span: Span, unit: impl Fn(f64) -> String) {
    let Some(most) = series.most() else { return };
    let least = series.bins.iter().map(|b| b.least).filter(|v| *v > 0.0).fold(f64::INFINITY, f64::min);
    let (low, high) = decades(least, most);
    let y = |value: f64| {
        let at = (value.max(low).log10() - low.log10()) / (high.log10() - low.log10());
        PLOT_PX * (1.0 - at.clamp(0.0, 1.0))
    };
    html.element("figure", "", |h| {
        h.element("figcaption", "", |h| {
            h.text(title).markup(" <span class=\"dim\">");
            h.text(format_args!("{} at most", unit(most))).markup("</span>");
        });
        h.markup("<svg class=\"plot\" width=\"100%\" height=\"138\" role=\"img\"><title>")
            .text(title)
            .markup("</title>");
        let mut line = low;
        while line <= high * 1.001 {
            h.markup("<line class=\"grid\" x1=\"0\" x2=\"100%\" y1=\"")
                .text(y(line))
                .markup("\" y2=\"")
                .text(y(line));
            h.markup("\"/><text x=\"2\" y=\"")
                .text(format_args!("{:.1}", (y(line) - 3.0).max(9.0)))
                .markup("\">");
            h.text(unit(line)).markup("</text>");
            line *= 10.0;
        }
        for bin in &series.bins {
            let (left, width) = span.part(bin.from_ms, bin.to_ms);
            let (top, bottom) = (y(bin.most), y(bin.least));
            h.markup("<rect class=\"bin\"");
            place(h, left, width);
            h.markup(" y=\"").text(format_args!("{top:.1}")).markup("\" height=\"");
            h.text(format_args!("{:.1}", (bottom - top).max(2.0))).markup("\"><title>");
            h.text(format_args!("{}: {} to {}", clock(bin.from_ms), unit(bin.least), unit(bin.most)));
            h.markup("</title></rect>");
        }
        h.markup("<text x=\"0\" y=\"134\">").text(clock(span.from_ms)).markup("</text>");
        h.markup("<text x=\"100%\" y=\"134\" text-anchor=\"end\">")
            .text(clock(span.to_ms))
            .markup("</text></svg>");
    });
}

/// The powers of ten around what is shown: at least one decade, and at most six.
fn decades(least: f64, most: f64) -> (f64, f64) {
    let high = 10_f64.powf(most.max(1.0).log10().ceil());
    let high = if high < most || high <= 1.0 { high.max(1.0) * 10.0 } else { high };
    let low = 10_f64.powf(least.min(most).max(high / 1e6).log10().floor());
    (low.min(high / 10.0), high)
}

/// `2026-01-31 09:30:00`, UTC.
pub(super) fn clock(at_ms: i64) -> String {
    let text = segue_run::clock::rfc3339(at_ms);
    text.get(..19).unwrap_or(&text).replace('T', " ")
}

#[cfg(test)]
mod tests {
    use super::decades;

    #[test]
    fn the_scale_holds_what_is_shown() {
        for (least, most) in
            [(1.0, 1.0), (0.0004, 0.5), (12.0, 950.0), (1.0, 1e12), (f64::INFINITY, 0.0), (10.0, 100.0)]
        {
            let (low, high) = decades(least, most);
            assert!(low > 0.0 && low < high && high >= most, "{least} {most}: {low} {high}");
            assert!((high / low).log10() < 7.1, "{least} {most}: {low} {high}");
        }
    }
}
