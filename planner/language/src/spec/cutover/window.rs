//! `gate "window"`: days, times of day and a time zone, as people write them.

use jiff::Timestamp;
use jiff::tz;

use super::super::body::Settings;
use crate::desired::{Day, WindowDecl};
use crate::syntax::{Diagnostic, Diagnostics, nearest};

/// Minutes of a day.
const DAY_MIN: u16 = 24 * 60;

/// Decodes one; `None`: something was reported.
pub(super) fn decode(own: &Settings, diagnostics: &mut Diagnostics) -> Option<WindowDecl> {
    let before = diagnostics.len();
    let mut report = |name: &str, (summary, help): (String, String)| {
        diagnostics.push(Diagnostic::error("SPEC_BAD_VALUE", summary).at(own.place(name), "").help(help));
    };
    let days = days(&own.words("days"), own.values.contains_key("days")).unwrap_or_else(|problem| {
        report("days", problem);
        Vec::new()
    });
    let mut minute = |name: &str, absent: u16| {
        own.text(name).map_or(Ok(absent), |text| time_of_day(name, text)).unwrap_or_else(|problem| {
            report(name, problem);
            absent
        })
    };
    let (from_min, to_min) = (minute("from", 0), minute("to", DAY_MIN));
    if from_min == DAY_MIN {
        report(
            "from",
            ("a window cannot open at 24:00".to_owned(), "write 00:00, and the next day".to_owned()),
        );
    }
    if to_min == from_min {
        let summary = "this window closes when it opens".to_owned();
        report("to", (summary, "leave `from` and `to` out for whole days".to_owned()));
    }
    let zone = own.text("zone").unwrap_or("UTC").to_owned();
    if tz::TimeZone::get(&zone).is_err() {
        let names: Vec<String> = tz::db().available().map(|name| name.to_string()).collect();
        let help = match nearest(&zone, &names) {
            Some(near) => format!("did you mean {near:?}?"),
            None => "write a name of the IANA time zone database: \"Europe/Berlin\", \"UTC\"".to_owned(),
        };
        report("zone", (format!("there is no time zone {zone:?}"), help));
    }
    let mut instant = |name: &str| {
        let text = own.text(name)?;
        match text.parse::<Timestamp>() {
            Ok(at) => Some(at.as_millisecond()),
            Err(error) => {
                let help = "write it with its offset: \"2026-12-01T22:00:00+01:00\"".to_owned();
                report(name, (format!("`{name}` is no time: {error}"), help));
                None
            }
        }
    };
    let (not_before_ms, not_after_ms) = (instant("not_before"), instant("not_after"));
    if let (Some(first), Some(last)) = (not_before_ms, not_after_ms)
        && last <= first
    {
        let summary = "`not_after` is not after `not_before`: the window never opens".to_owned();
        report("not_after", (summary, "exchange them".to_owned()));
    }
    (diagnostics.len() == before).then_some(WindowDecl {
        days,
        from_min,
        to_min,
        zone,
        not_before_ms,
        not_after_ms,
    })
}

/// `["mon-fri", "sun"]`; a range may go over the end of the week.
fn days(words: &[String], given: bool) -> Result<Vec<Day>, (String, String)> {
    if !given {
        return Ok(Day::ALL.to_vec());
    }
    let advice = || "days are mon, tue, wed, thu, fri, sat, sun; a range is mon-fri".to_owned();
    let mut found = Vec::new();
    for word in words {
        let day = |text: &str| {
            let known = Day::ALL.iter().position(|d| d.as_str() == text);
            known.ok_or_else(|| (format!("{text:?} is no day"), advice()))
        };
        let (first, last) = match word.split_once('-') {
            Some((first, last)) => (day(first)?, day(last)?),
            None => (day(word)?, day(word)?),
        };
        let length = (last + Day::ALL.len() - first) % Day::ALL.len();
        found.extend(Day::ALL.iter().cycle().skip(first).take(length + 1));
    }
    found.sort();
    found.dedup();
    if found.is_empty() {
        return Err(("`days` names no day: the window never opens".to_owned(), advice()));
    }
    Ok(found)
}

/// `"22:00"`
fn time_of_day(name: &str, text: &str) -> Result<u16, (String, String)> {
    let parsed = text.split_once(':').and_then(|(hours, minutes)| {
        let digits =
            |t: &str| (t.len() == 2 && t.bytes().all(|b| b.is_ascii_digit())).then(|| t.parse().ok());
        let (hours, minutes): (u16, u16) = (digits(hours)??, digits(minutes)??);
        let all = hours * 60 + minutes;
        (minutes < 60 && all <= DAY_MIN).then_some(all)
    });
    parsed.ok_or_else(|| {
        (format!("`{name}` is no time of day: {text:?}"), "write hours and minutes: \"22:00\"".to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::{days, time_of_day};
    use crate::desired::Day;

    #[test]
    fn days_are_single_ones_and_ranges_also_over_the_end_of_the_week() {
        let of = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|&w| w.to_owned()).collect();
            days(&words, true).map(|list| list.iter().map(|d| d.as_str()).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(of(&["mon-fri"]).unwrap(), "mon tue wed thu fri");
        assert_eq!(of(&["sat", "sun", "sat"]).unwrap(), "sat sun");
        assert_eq!(of(&["fri-mon"]).unwrap(), "mon fri sat sun");
        assert_eq!(of(&["sun-sun"]).unwrap(), "sun");
        assert_eq!(days(&[], false).unwrap(), Day::ALL.to_vec());
        for bad in [&["monday"][..], &["mon-"], &["Mon"], &["mon-fri-sun"], &[]] {
            assert!(of(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn times_of_day_have_hours_and_minutes_up_to_24_00() {
        for (text, minutes) in [("00:00", 0), ("04:30", 270), ("23:59", 1439), ("24:00", 1440)] {
            assert_eq!(time_of_day("to", text).unwrap(), minutes, "{text}");
        }
        for bad in ["", "4:30", "24:01", "12:60", "12", "12:5", "+1:00", "12:00:00", "noon"] {
            assert!(time_of_day("to", bad).is_err(), "{bad}");
        }
    }
}
