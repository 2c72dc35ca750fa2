//! When a `gate "window"` is open: a calendar in a time zone, with the hours that a change to or from summer time
//! leaves out or brings twice.
//!
//! A time that is left out is the moment at which the clock jumps over it; of a time that comes twice the first
//! counts, for opening and for closing. So a window is always one piece, and never longer than its calendar says.
//! The rules of time zones are bundled: the same spec means the same on every machine.

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ToSpan};
use segue_language::{Day, WindowDecl};

/// Days that are looked at for the next opening: a week, and one more in which a single day's window may fall into a gap.
const DAYS_AHEAD: i32 = 15;
/// Minutes of a day.
const DAY_MIN: u16 = 24 * 60;

/// What a window says of a moment. Times are wall clock, milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowState {
    /// It is open; `until`: when it closes, `None`: it stays open as far as anybody looks.
    Open {
        /// When it closes.
        until_ms: Option<i64>,
    },
    /// It is closed; `None`: for good.
    Closed {
        /// When it opens next.
        opens_ms: Option<i64>,
    },
}

/// What a window says at `now_ms`; a zone that this version does not know is never open.
pub fn window_at(window: &WindowDecl, now_ms: i64) -> WindowState {
    let WindowDecl { days: _, from_min, to_min, zone, not_before_ms, not_after_ms } = window;
    let never = WindowState::Closed { opens_ms: None };
    let Ok(zone) = TimeZone::get(zone) else { return never };
    if not_after_ms.is_some_and(|end| now_ms >= end) {
        return never;
    }
    // Before it may open at all, what counts is the first moment at which it may.
    let from_ms = now_ms.max(not_before_ms.unwrap_or(now_ms));
    let whole_days = *from_min == 0 && *to_min == DAY_MIN;
    let found = pieces(window, &zone, from_ms, whole_days).find(|(_, close)| *close > from_ms);
    let Some((open, close)) = found else { return never };
    let opens = open.max(from_ms);
    if not_after_ms.is_some_and(|end| opens >= end) {
        return never;
    }
    if opens > now_ms {
        return WindowState::Closed { opens_ms: Some(opens) };
    }
    let always = whole_days && window.days.len() == Day::ALL.len();
    let close = (!always).then_some(close);
    WindowState::Open { until_ms: [close, *not_after_ms].into_iter().flatten().min() }
}

/// The pieces in which it is open around and after a moment, in order; whole days that touch are one.
fn pieces<'a>(
    window: &'a WindowDecl,
    zone: &'a TimeZone,
    from_ms: i64,
    whole_days: bool,
) -> impl Iterator<Item = (i64, i64)> + 'a {
    let today = Timestamp::from_millisecond(from_ms).ok().map(|at| zone.to_datetime(at).date());
    let mut single = (-2..=DAYS_AHEAD).filter_map(move |offset| {
        let day = today?.checked_add(offset.days()).ok()?;
        window.days.iter().any(|d| weekday(*d) == day.weekday()).then(|| piece(window, zone, day))?
    });
    let mut held: Option<(i64, i64)> = None;
    std::iter::from_fn(move || {
        loop {
            match (single.next(), held.take()) {
                (None, last) => return last,
                (Some(next), None) => held = Some(next),
                (Some((open, close)), Some((first, last))) if whole_days && open <= last => {
                    held = Some((first, close));
                }
                (Some(next), Some(last)) => {
                    held = Some(next);
                    return Some(last);
                }
            }
        }
    })
}

/// The piece that opens on a day; `None`: the clock jumps over all of it.
fn piece(window: &WindowDecl, zone: &TimeZone, day: Date) -> Option<(i64, i64)> {
    let open = moment(zone, day, window.from_min)?;
    let closes_on = if window.to_min > window.from_min { day } else { day.tomorrow().ok()? };
    let close = moment(zone, closes_on, window.to_min)?;
    (open < close).then_some((open, close))
}

fn moment(zone: &TimeZone, day: Date, minute: u16) -> Option<i64> {
    let (day, minute) = if minute == DAY_MIN { (day.tomorrow().ok()?, 0) } else { (day, minute) };
    let (hour, minute) = (i8::try_from(minute / 60).ok()?, i8::try_from(minute % 60).ok()?);
    let civil = DateTime::from_parts(day, Time::new(hour, minute, 0, 0).ok()?);
    let ambiguous = zone.to_ambiguous_timestamp(civil);
    let at = match ambiguous.offset() {
        AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => ambiguous.earlier().ok()?,
        // Before the jump by the offset after it, and so before the jump.
        AmbiguousOffset::Gap { .. } => zone.following(ambiguous.earlier().ok()?).next()?.timestamp(),
    };
    Some(at.as_millisecond())
}

fn weekday(day: Day) -> Weekday {
    match day {
        Day::Mon => Weekday::Monday,
        Day::Tue => Weekday::Tuesday,
        Day::Wed => Weekday::Wednesday,
        Day::Thu => Weekday::Thursday,
        Day::Fri => Weekday::Friday,
        Day::Sat => Weekday::Saturday,
        Day::Sun => Weekday::Sunday,
    }
}

/// A moment as people of a zone say it: `Tue 2026-12-01 22:00 CET (UTC+01:00)`.
pub fn local_time(zone: &str, at_ms: i64) -> String {
    let zoned = Timestamp::from_millisecond(at_ms).ok().zip(TimeZone::get(zone).ok());
    match zoned.map(|(at, zone)| at.to_zoned(zone)) {
        Some(at) => at.strftime("%a %Y-%m-%d %H:%M %Z (UTC%:z)").to_string(),
        None => format!("{at_ms} ms since 1970"),
    }
}

/// A window in words: `mon-fri 22:00-04:00 Europe/Berlin`.
pub fn window_text(window: &WindowDecl) -> String {
    let WindowDecl { days, from_min, to_min, zone, not_before_ms, not_after_ms } = window;
    let mut words: Vec<String> = Vec::new();
    if days.len() < Day::ALL.len() {
        words.push(days_text(days));
    }
    if *from_min != 0 || *to_min != DAY_MIN {
        let clock = |m: u16| format!("{:02}:{:02}", m / 60, m % 60);
        words.push(format!("{}-{}", clock(*from_min), clock(*to_min)));
    }
    words.push(if words.is_empty() { "any time".to_owned() } else { zone.clone() });
    words.extend(not_before_ms.map(|at| format!("from {}", local_time(zone, at))));
    words.extend(not_after_ms.map(|at| format!("until {}", local_time(zone, at))));
    words.join(" ")
}

/// Neighbouring days as ranges: `mon-fri sun`.
fn days_text(days: &[Day]) -> String {
    let at = |day: Day| Day::ALL.iter().position(|d| *d == day).unwrap_or(0);
    let mut runs: Vec<(Day, Day)> = Vec::new();
    for day in days {
        match runs.last_mut() {
            Some((_, last)) if at(*last) + 1 == at(*day) => *last = *day,
            _ => runs.push((*day, *day)),
        }
    }
    let word = |(first, last): &(Day, Day)| match first == last {
        true => first.as_str().to_owned(),
        false => format!("{}-{}", first.as_str(), last.as_str()),
    };
    runs.iter().map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use segue_language::{Day, WindowDecl};

    use super::{WindowState, local_time, window_at, window_text};

    const BERLIN: &str = "Europe/Berlin";

    fn window(days: &[Day], from: (u16, u16), to: (u16, u16), zone: &str) -> WindowDecl {
        WindowDecl {
            days: days.to_vec(),
            from_min: from.0 * 60 + from.1,
            to_min: to.0 * 60 + to.1,
            zone: zone.to_owned(),
            not_before_ms: None,
            not_after_ms: None,
        }
    }

    fn ms(text: &str) -> i64 {
        text.parse::<jiff::Timestamp>().expect("a time").as_millisecond()
    }

    /// `open until TIME`, `opens TIME`, in UTC.
    fn at(window: &WindowDecl, now: &str) -> String {
        let utc = |at_ms: i64| jiff::Timestamp::from_millisecond(at_ms).expect("in range").to_string();
        match window_at(window, ms(now)) {
            WindowState::Open { until_ms: Some(until) } => format!("open until {}", utc(until)),
            WindowState::Open { until_ms: None } => "open".to_owned(),
            WindowState::Closed { opens_ms: Some(opens) } => format!("opens {}", utc(opens)),
            WindowState::Closed { opens_ms: None } => "never".to_owned(),
        }
    }

    #[track_caller]
    fn check(window: &WindowDecl, table: &[(&str, &str)]) {
        for (now, wanted) in table {
            assert_eq!(at(window, now), *wanted, "at {now}");
        }
    }

    #[test]
    fn a_window_of_working_days_opens_again_after_the_weekend() {
        let mon_fri = &Day::ALL[..5];
        // 2026-07-03 is a Friday; Berlin is two hours ahead of UTC in July.
        check(
            &window(mon_fri, (9, 0), (17, 0), BERLIN),
            &[
                ("2026-07-03T06:59:59Z", "opens 2026-07-03T07:00:00Z"),
                ("2026-07-03T07:00:00Z", "open until 2026-07-03T15:00:00Z"),
                ("2026-07-03T14:59:59.999Z", "open until 2026-07-03T15:00:00Z"),
                ("2026-07-03T15:00:00Z", "opens 2026-07-06T07:00:00Z"),
                ("2026-07-05T12:00:00Z", "opens 2026-07-06T07:00:00Z"),
            ],
        );
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_on_which_it_opens() {
        check(
            &window(&[Day::Sat], (22, 0), (4, 0), "UTC"),
            &[
                ("2026-07-04T21:59:00Z", "opens 2026-07-04T22:00:00Z"),
                ("2026-07-04T23:00:00Z", "open until 2026-07-05T04:00:00Z"),
                ("2026-07-05T03:59:00Z", "open until 2026-07-05T04:00:00Z"),
                ("2026-07-05T04:00:00Z", "opens 2026-07-11T22:00:00Z"),
                ("2026-07-05T22:30:00Z", "opens 2026-07-11T22:00:00Z"),
            ],
        );
    }

    #[test]
    fn a_night_in_which_the_clock_goes_forward_is_an_hour_shorter() {
        // 2026-03-29 02:00 CET becomes 03:00 CEST.
        check(
            &window(&Day::ALL, (22, 0), (4, 0), BERLIN),
            &[("2026-03-28T23:00:00Z", "open until 2026-03-29T02:00:00Z")],
        );
        // 02:30 does not come: it opens when the clock jumps.
        check(
            &window(&[Day::Sun], (2, 30), (5, 0), BERLIN),
            &[
                ("2026-03-29T00:59:59Z", "opens 2026-03-29T01:00:00Z"),
                ("2026-03-29T01:00:00Z", "open until 2026-03-29T03:00:00Z"),
            ],
        );
        // And closes then.
        check(
            &window(&[Day::Sun], (1, 0), (2, 30), BERLIN),
            &[
                ("2026-03-29T00:30:00Z", "open until 2026-03-29T01:00:00Z"),
                ("2026-03-29T01:00:00Z", "opens 2026-04-04T23:00:00Z"),
            ],
        );
        // The clock jumps over all of it: it opens a week later.
        check(
            &window(&[Day::Sun], (2, 10), (2, 50), BERLIN),
            &[
                ("2026-03-29T00:30:00Z", "opens 2026-04-05T00:10:00Z"),
                ("2026-03-29T01:00:00Z", "opens 2026-04-05T00:10:00Z"),
            ],
        );
    }

    #[test]
    fn of_an_hour_that_comes_twice_the_first_counts() {
        // 2026-10-25 03:00 CEST becomes 02:00 CET.
        check(
            &window(&[Day::Sun], (2, 10), (2, 50), BERLIN),
            &[
                ("2026-10-25T00:09:00Z", "opens 2026-10-25T00:10:00Z"),
                ("2026-10-25T00:10:00Z", "open until 2026-10-25T00:50:00Z"),
                // 02:20 for the second time.
                ("2026-10-25T01:20:00Z", "opens 2026-11-01T01:10:00Z"),
            ],
        );
        // A night is an hour longer.
        check(
            &window(&Day::ALL, (22, 0), (4, 0), BERLIN),
            &[("2026-10-24T21:00:00Z", "open until 2026-10-25T03:00:00Z")],
        );
        check(
            &window(&[Day::Sat], (22, 0), (2, 30), BERLIN),
            &[
                ("2026-10-24T21:00:00Z", "open until 2026-10-25T00:30:00Z"),
                ("2026-10-25T00:45:00Z", "opens 2026-10-31T21:00:00Z"),
            ],
        );
    }

    #[test]
    fn midnight_that_the_clock_jumps_over_is_the_moment_of_the_jump() {
        // Beirut, 2026-03-29: 00:00 becomes 01:00.
        check(
            &window(&[Day::Sun], (0, 0), (4, 0), "Asia/Beirut"),
            &[("2026-03-28T21:59:00Z", "opens 2026-03-28T22:00:00Z")],
        );
    }

    #[test]
    fn whole_days_that_touch_are_one_window() {
        let whole = |days: &[Day]| window(days, (0, 0), (24, 0), "UTC");
        check(&whole(&Day::ALL), &[("2026-07-03T12:00:00Z", "open")]);
        check(
            &whole(&[Day::Sat, Day::Sun]),
            &[
                ("2026-07-04T12:00:00Z", "open until 2026-07-06T00:00:00Z"),
                ("2026-07-05T12:00:00Z", "open until 2026-07-06T00:00:00Z"),
                ("2026-07-06T00:00:00Z", "opens 2026-07-11T00:00:00Z"),
            ],
        );
    }

    #[test]
    fn not_before_and_not_after_cut_the_calendar() {
        let mut nights = window(&Day::ALL, (22, 0), (4, 0), "UTC");
        nights.not_before_ms = Some(ms("2026-12-02T01:00:00+01:00"));
        nights.not_after_ms = Some(ms("2026-12-03T23:00:00Z"));
        check(
            &nights,
            &[
                ("2026-11-30T23:00:00Z", "opens 2026-12-02T00:00:00Z"),
                ("2026-12-02T00:00:00Z", "open until 2026-12-02T04:00:00Z"),
                ("2026-12-02T12:00:00Z", "opens 2026-12-02T22:00:00Z"),
                ("2026-12-03T22:30:00Z", "open until 2026-12-03T23:00:00Z"),
                ("2026-12-03T23:00:00Z", "never"),
            ],
        );
        nights.not_after_ms = Some(ms("2026-12-02T00:00:00Z"));
        check(&nights, &[("2026-11-30T23:00:00Z", "never")]);
    }

    #[test]
    fn a_window_and_a_moment_are_said_in_the_words_of_the_zone() {
        let work = window(&[Day::Mon, Day::Tue, Day::Wed, Day::Sun], (22, 0), (4, 0), BERLIN);
        assert_eq!(window_text(&work), "mon-wed sun 22:00-04:00 Europe/Berlin");
        assert_eq!(window_text(&window(&Day::ALL, (0, 0), (24, 0), "UTC")), "any time");
        let at = ms("2026-12-01T21:00:00Z");
        assert_eq!(local_time(BERLIN, at), "Tue 2026-12-01 22:00 CET (UTC+01:00)");
    }
}
