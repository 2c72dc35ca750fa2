//! Draws one frame from the model. Pure: the same model gives the same frame. Words carry the meaning, colour adds to
//! it; without Unicode everything is ASCII.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::border;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Wrap};

use super::graph::{bar, columns};
use super::keys::{Mode, Ui};
use super::model::{ConditionView, CutoverView, Model, UnitView};
use crate::printer::Look;
use crate::render::quantity::millis;

/// The smallest screen on which everything that matters has room.
const SMALLEST: (u16, u16) = (60, 18);
/// Rows of the lag's graph.
const GRAPH_ROWS: u16 = 3;
/// Characters of a unit's bar.
const BAR_WIDTH: usize = 16;

const ASCII: border::Set<'_> = border::Set {
    top_left: "+",
    top_right: "+",
    bottom_left: "+",
    bottom_right: "+",
    vertical_left: "|",
    vertical_right: "|",
    horizontal_top: "-",
    horizontal_bottom: "-",
};

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, model: &Model, ui: &Ui, look: &Look) {
    let area = frame.area();
    let paint = Paint { look };
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        let (width, height) = SMALLEST;
        let said = format!(
            "This terminal has {} x {}; segue watch needs {width} x {height}. q leaves.",
            area.width, area.height
        );
        frame.render_widget(Paragraph::new(said).wrap(Wrap { trim: true }), area);
        return;
    }
    let sizes = sizes(model, area.height);
    let rows = Layout::vertical(sizes.map(Constraint::Length)).split(area);
    let mut rows = rows.iter().copied();
    let mut next = || rows.next().unwrap_or_default();
    frame.render_widget(Paragraph::new(paint.head(model)), next());
    paint.panel(frame, next(), "Cutovers", paint.cutovers(model));
    paint.panel(frame, next(), "Units", paint.units(model));
    paint.panel(frame, next(), "Gates and watches", paint.conditions(model));
    let graph = next();
    paint.panel(frame, graph, &lag_title(model), paint.lag(model, graph));
    let messages = next();
    paint.panel(frame, messages, "Messages", paint.messages(model, messages));
    frame.render_widget(Paragraph::new(paint.foot(ui)), next());
    if ui.mode == Mode::Help {
        paint.help(frame, area);
    }
}

/// How high each part is; what is left over is the messages'.
fn sizes(model: &Model, height: u16) -> [u16; 7] {
    let lines = |n: usize, most: u16| u16::try_from(n).unwrap_or(u16::MAX).min(most);
    let head = 2 + lines(model.warnings.len(), 3);
    let foot = 1;
    let graph = GRAPH_ROWS + 2;
    let mut left = height.saturating_sub(head + foot);
    let mut part = |wanted: u16| {
        let got = wanted.min(left);
        left -= got;
        got
    };
    // The most urgent first: on a small screen the last ones get nothing.
    let cutovers = part(lines(model.cutovers.iter().map(cutover_lines).sum::<usize>().max(1), 15) + 2);
    let conditions = if model.conditions.is_empty() { 0 } else { part(lines(model.conditions.len(), 6) + 2) };
    let units = part(lines(model.units.len().max(1), 8) + 2);
    let graph = if height >= 30 { part(graph) } else { 0 };
    let messages = part(height);
    [head, cutovers, units, conditions, graph, messages, foot]
}

fn cutover_lines(view: &CutoverView) -> usize {
    5 + usize::from(view.held.is_some())
}

fn lag_title(model: &Model) -> String {
    let most = model.lag.iter().flatten().copied().fold(0.0, f64::max) as u64;
    match model.lag_ms {
        Some(ms) => {
            format!("Lag: {} now, {} at most", millis(ms / 100 * 100), millis(most.max(ms) / 100 * 100))
        }
        None => "Lag: not known yet".to_owned(),
    }
}

/// What text is; the colour follows from that, where colours are wanted.
struct Paint<'a> {
    look: &'a Look,
}

impl Paint<'_> {
    fn style(&self, colour: Color) -> Style {
        if self.look.colour { Style::new().fg(colour) } else { Style::new() }
    }

    fn bold(&self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    fn good(&self, good: bool) -> Style {
        if good { self.style(Color::Green) } else { self.style(Color::Red).add_modifier(Modifier::BOLD) }
    }

    fn key(&self, text: &str, width: usize) -> Span<'static> {
        Span::styled(format!("{text:<width$}"), self.style(Color::Cyan))
    }

    fn panel(&self, frame: &mut Frame<'_>, area: Rect, title: &str, lines: Vec<Line<'static>>) {
        if area.height < 3 {
            return;
        }
        let set = if self.look.unicode { border::ROUNDED } else { ASCII };
        let title = format!(" {title} ");
        let block = Block::bordered().border_set(set).title(title).border_style(self.style(Color::DarkGray));
        frame.render_widget(Paragraph::new(lines).block(block), area);
    }

    fn head(&self, model: &Model) -> Vec<Line<'static>> {
        let word = if model.runs { self.good(true) } else { self.style(Color::Yellow) };
        let mut lines = vec![Line::from(vec![
            Span::styled(" segue watch  ", self.bold()),
            Span::styled(model.title.clone(), word),
            Span::raw(format!("  {}Z", model.clock)),
        ])];
        for warning in &model.warnings {
            let style = self.style(Color::Yellow).add_modifier(Modifier::BOLD);
            lines.push(Line::styled(format!(" ! {warning}"), style));
        }
        let arrow = if self.look.unicode { " \u{203a} " } else { " > " };
        let mut stages = vec![Span::raw(" ")];
        for (i, stage) in model.stages.iter().enumerate() {
            let done = stage.done == stage.of;
            let begun = i == 0 || model.stages.get(i - 1).is_some_and(|s| s.done == s.of);
            let style = match (done, begun) {
                (true, _) => self.style(Color::Green),
                (false, true) => self.bold(),
                (false, false) => self.style(Color::DarkGray),
            };
            if i > 0 {
                stages.push(Span::raw(arrow));
            }
            stages.push(Span::styled(format!("{} {}/{}", stage.name, stage.done, stage.of), style));
        }
        lines.push(Line::from(stages));
        lines
    }

    fn cutovers(&self, model: &Model) -> Vec<Line<'static>> {
        if model.cutovers.is_empty() {
            return vec![Line::raw("none yet")];
        }
        model.cutovers.iter().flat_map(|view| self.cutover(view)).collect()
    }

    fn cutover(&self, view: &CutoverView) -> Vec<Line<'static>> {
        let CutoverView { cutover, serves, writes, writes_paused, phase, pause, back, loses, held } = view;
        let line = |key: &str, value: &str, style: Style| {
            Line::from(vec![self.key(key, 9), Span::styled(value.to_owned(), style)])
        };
        let mut lines = vec![
            Line::styled(format!("{cutover}: {serves}"), self.bold()),
            line("writes", writes, self.good(!writes_paused)),
            line("phase", phase, Style::new()),
            line("pause", pause, Style::new()),
            line("back", back, if *loses { self.good(false) } else { Style::new() }),
        ];
        if let Some(held) = held {
            lines.insert(1, line("HELD", held, self.style(Color::Yellow)));
        }
        lines
    }

    fn units(&self, model: &Model) -> Vec<Line<'static>> {
        if model.units.is_empty() {
            return vec![Line::raw("none yet")];
        }
        let width = model.units.iter().map(|u| u.name.chars().count()).max().unwrap_or(0).min(32);
        let mut lines: Vec<Line<'static>> = model.units.iter().map(|unit| self.unit(unit, width)).collect();
        if lines.len() > 8 {
            let more = lines.len() - 7;
            lines.truncate(7);
            lines.push(Line::raw(format!("and {more} more")));
        }
        lines
    }

    fn unit(&self, unit: &UnitView, width: usize) -> Line<'static> {
        let UnitView { name, doing, part, pace, lag, verified, trouble } = unit;
        let mut spans = vec![self.key(name, width), Span::raw("  ")];
        if let Some(part) = part {
            let percent = (part * 100.0).floor().clamp(0.0, 100.0);
            spans.push(Span::raw(format!(
                "{doing} [{}] {percent:.0} %  {pace}",
                bar(*part, BAR_WIDTH, self.look.unicode)
            )));
        } else if pace.is_empty() {
            spans.push(Span::raw(doing.clone()));
        } else {
            spans.push(Span::raw(format!("{doing}  {pace}")));
        }
        spans.push(Span::raw(format!("  lag {lag}  {verified}")));
        if let Some(trouble) = trouble {
            spans.insert(2, Span::styled(format!("{trouble}  "), self.good(false)));
        }
        Line::from(spans)
    }

    fn conditions(&self, model: &Model) -> Vec<Line<'static>> {
        // What is not good comes first, and is never cut off.
        let mut views: Vec<&ConditionView> = model.conditions.iter().collect();
        views.sort_by_key(|v| v.good);
        views.into_iter().map(|view| self.condition(view)).collect()
    }

    fn condition(&self, view: &ConditionView) -> Line<'static> {
        let ConditionView { word, good, name, said, left } = view;
        let left = if left.is_empty() { String::new() } else { format!("{left}: ") };
        Line::from(vec![
            Span::styled(format!("{word:<8} "), self.good(*good)),
            self.key(name, 0),
            Span::raw(format!("  {left}{said}")),
        ])
    }

    fn lag(&self, model: &Model, area: Rect) -> Vec<Line<'static>> {
        let width = usize::from(area.width.saturating_sub(2));
        let newest = model.lag.len().saturating_sub(width);
        let shown = model.lag.get(newest..).unwrap_or_default();
        let rows = usize::from(area.height.saturating_sub(2));
        columns(shown, rows, self.look.unicode)
            .into_iter()
            .map(|row| Line::styled(row, self.style(Color::Blue)))
            .collect()
    }

    fn messages(&self, model: &Model, area: Rect) -> Vec<Line<'static>> {
        let rows = usize::from(area.height.saturating_sub(2));
        let newest = model.messages.len().saturating_sub(rows);
        model.messages.iter().skip(newest).map(|m| Line::raw(m.clone())).collect()
    }

    fn foot(&self, ui: &Ui) -> Line<'static> {
        match (&ui.mode, &ui.note) {
            (Mode::Prompt(prompt), _) => Line::from(vec![
                Span::styled(format!(" {} ", prompt.question), self.style(Color::Yellow)),
                Span::styled(format!("{}_", prompt.typed), self.bold()),
            ]),
            (_, Some(note)) => Line::styled(format!(" {note}"), self.style(Color::Yellow)),
            (Mode::Looking | Mode::Help, None) => {
                Line::raw(" p pause/resume  t throttle  a approve  x abort  ? help  q quit")
            }
        }
    }

    fn help(&self, frame: &mut Frame<'_>, area: Rect) {
        let text = [
            "p  pause the run: steps rest at a safe point, gates wait; p again goes on",
            "t  throttle what is carried, such as 5MiB/s; off takes it back",
            "a  approve the plan that a gate waits for (type approve)",
            "x  abort the cutover in its pause, the side that served opens",
            "   first; outside of one stop the run (type abort)",
            "q  leave; the run goes on",
            "",
            "Lag: an upper bound of the age of the oldest change that is not",
            "carried yet. Nothing asked for here outlives the run.",
        ];
        let (width, height) = (area.width.saturating_sub(4).min(78), 11);
        let over = Rect {
            x: (area.width - width) / 2,
            y: area.height.saturating_sub(height) / 2,
            width,
            height: height.min(area.height),
        };
        frame.render_widget(Clear, over);
        self.panel(frame, over, "Keys (any key closes this)", text.iter().map(|t| Line::raw(*t)).collect());
    }
}

#[cfg(test)]
mod tests;
