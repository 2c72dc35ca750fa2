//! The report as one HTML page: no script, nothing that is fetched, light and dark, to be read on a screen, a telephone
//! or paper.

use super::charts::clock;
use super::html::Html;
use super::sections;
use super::{GoingBack, HeadLine, Report};
use crate::render::quantity::{count, micros, millis};

/// Whatever a name might smuggle in: nothing is loaded, nothing runs.
const HEAD: &str = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><meta name=\"referrer\" content=\"no-referrer\">\
<title>Segue report</title><style>";

/// The whole page.
pub(crate) fn page(report: &Report) -> String {
    let mut html = Html::default();
    html.markup(HEAD).markup(include_str!("style.css")).markup("</style></head><body><main>\n");
    top(&mut html, report);
    for head in &report.cutovers {
        headline(&mut html, head);
    }
    if report.cutovers.is_empty() {
        html.words(
            "h1",
            "",
            match report.events {
                0 => "Nothing has been applied here yet",
                _ => "No cutover has been tried yet",
            },
        );
    }
    for section in sections::ALL {
        section(&mut html, report);
        html.markup("\n");
    }
    foot(&mut html, report);
    html.markup("</main></body></html>\n");
    html.finish()
}

fn top(html: &mut Html, report: &Report) {
    html.element("p", "top", |h| {
        h.text("Segue report");
        if let (Some(first), Some(last)) = (report.first_ms, report.last_ms) {
            h.text(format_args!(" \u{00b7} {} to {} UTC", clock(first), clock(last)));
        }
        if let Some(running) = &report.running {
            h.text(format_args!(" \u{00b7} {running} is still at work"));
        }
    });
    for notice in &report.notices {
        html.words("p", "note bad", notice);
    }
}

fn headline(html: &mut Html, head: &HeadLine) {
    let HeadLine { cutover, serves, endpoints, since_ms, phase, finished, writes_paused, held, .. } = head;
    html.element("h1", "", |h| {
        h.text(format_args!("{cutover}: the {serves} serves"));
        let (class, word) = match (*writes_paused, held, *finished, head.going_back) {
            (true, ..) => ("pill bad", "writes paused"),
            (false, Some(_), ..) => ("pill warn", "held"),
            (false, None, true, _) => ("pill good", "finished"),
            (false, None, false, GoingBack::NeverLeft) => ("pill warn", "not switched"),
            (false, None, false, GoingBack::WentBack) => ("pill warn", "went back"),
            (false, None, false, _) => ("pill good", "switched"),
        };
        h.words("span", class, word);
    });
    html.element("p", "dim", |h| {
        let names: Vec<&str> = endpoints.iter().take(5).map(segue_contract::Address::as_str).collect();
        h.text(names.join(", "));
        if endpoints.len() > names.len() {
            h.text(format_args!(" and {} more", endpoints.len() - names.len()));
        }
        if let Some(since) = since_ms {
            h.text(format_args!(" \u{00b7} since {} UTC", clock(*since)));
        }
        h.text(format_args!(" \u{00b7} phase {phase}"));
    });
    if let Some(reason) = held {
        html.words("p", "note", format_args!("Held, until somebody lets it go on: {reason}"));
    }
    html.element("div", "tiles", |h| tiles(h, head));
    if !head.named.is_empty() {
        html.element("ul", "note bad", |h| {
            for name in &head.named {
                h.words("li", "", name);
            }
        });
    }
}

fn tile(html: &mut Html, class: &'static str, value: &str, what: &str) {
    html.element("div", class, |h| {
        h.words("b", "", value).words("span", "", what);
    });
}

fn tiles(html: &mut Html, head: &HeadLine) {
    const GOOD: &str = "tile good";
    let HeadLine { pause_us, predicted_ms, differ, set_aside, stale, verified, going_back, .. } = head;
    if let Some(us) = pause_us {
        let predicted = predicted_ms.map(|ms| format!(", {} predicted", millis(ms))).unwrap_or_default();
        tile(html, "tile", &micros(*us), &format!("without writes{predicted}"));
    }
    match (differ + set_aside, verified) {
        (0, Some(records)) => {
            tile(html, GOOD, "0 lost", &format!("{} records verified equal", count(*records)));
        }
        (0, None) => tile(html, "tile warn", "not verified", "no whole verification yet"),
        (_, _) => tile(
            html,
            "tile bad",
            &count(differ + set_aside),
            &format!("records: {} differ, {} left out", count(*differ), count(*set_aside)),
        ),
    }
    match stale {
        0 => tile(html, GOOD, "0 stale", "writes on the side that does not serve"),
        n => tile(html, "tile bad", &format!("{} stale", count(*n)), "writes kept aside, not settled"),
    }
    match going_back {
        GoingBack::NeverLeft => tile(html, "tile", "at home", "the source has served all the time"),
        GoingBack::WentBack => tile(html, "tile", "went back", "the source serves again"),
        GoingBack::LosesNothing => tile(html, GOOD, "can go back", "without losing a write"),
        GoingBack::LosesWrites => tile(html, "tile warn", "one way", "going back loses what the target took"),
        GoingBack::NotPossible => tile(html, "tile", "for good", "the fallback was given up"),
    }
}

fn foot(html: &mut Html, report: &Report) {
    html.element("footer", "", |h| {
        h.text(format_args!("Made {} UTC by segue {}", clock(report.made_ms), report.made_by));
        h.text(format_args!(" from {} events", count(report.events)));
        if let Some(id) = &report.state_id {
            h.text(format_args!(" of state {id}"));
        }
        h.text(". All times are UTC. Secrets are never in the journal, and so not here.");
    });
}
