//! Draws the state on a screen of any size.

use super::bars::bar;
use super::model::{Change, Group, Line as Ranked};
use super::state::State;
use crate::client::number;
use crate::show::thousands;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Clear, Paragraph, Sparkline};
use serde_json::Value;

/// Colours; none of them with `NO_COLOR` (no-color.org).
pub struct Look {
    colours: bool,
}

impl Look {
    /// As the environment says.
    pub fn of_environment() -> Self {
        let none = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { colours: !none }
    }

    fn style(&self, colour: Color) -> Style {
        if self.colours {
            Style::new().fg(colour)
        } else {
            Style::new()
        }
    }
}

const DIM: Style = Style::new().add_modifier(Modifier::DIM);
const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
/// Below this width the shares are left out.
const WITH_SHARE: u16 = 64;
/// Below this width the bounds are left out; the whiskers show them.
const WITH_BOUNDS: u16 = 84;

/// Draws all of it.
pub fn draw(frame: &mut Frame<'_>, state: &State, look: &Look) {
    let area = frame.area();
    let history = if state.shows_history && area.height >= 16 { 5 } else { 0 };
    let fault = u16::from(state.fault.is_some());
    let [head, about, told, list, lower, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(fault),
        Constraint::Min(1),
        Constraint::Length(history),
        Constraint::Length(1),
    ])
    .areas(area);
    frame.render_widget(title(state), head);
    frame.render_widget(freshness(state, look), about);
    if let Some(fault) = &state.fault {
        let line = Line::from(format!("! {}; trying again", one_line(fault))).style(look.style(Color::Red));
        frame.render_widget(line, told);
    }
    ranking(frame, list, state, look);
    if history > 0 {
        draw_history(frame, lower, state, look);
    }
    let text = "q quit  p pipeline  s set  g group  w window  + - items  ↑↓ item  i history  ? help";
    frame.render_widget(Line::from(text).style(DIM), keys);
    if state.shows_help {
        help(frame, area);
    }
}

/// What is shown.
fn title(state: &State) -> Line<'_> {
    let group = match &state.group {
        Group::One(key) => key.clone(),
        Group::Given(filters) if !filters.is_empty() => filters.join(", "),
        _ => "all groups".into(),
    };
    let range = match state.last.as_str() {
        "" => "newest window".to_owned(),
        last => format!("last {last}"),
    };
    Line::from(vec![
        Span::styled(state.pipeline.clone().unwrap_or_default(), BOLD),
        Span::raw(format!(
            "  set {}  {group}  {range}  top {}",
            state.set_shown().unwrap_or_else(|| "*".into()),
            state.k
        )),
    ])
}

/// How fresh and how sure it is.
fn freshness<'a>(state: &State, look: &Look) -> Line<'a> {
    let Some(ranking) = &state.ranking else {
        return Line::from("asking ...").style(DIM);
    };
    let answer = &ranking.answer;
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let fresh = &answer["freshness"];
    let lag = fresh["lag_seconds"].as_f64().unwrap_or(0.0);
    let mut spans = vec![Span::raw(format!(
        "complete up to {}, ",
        text(&fresh["complete_up_to"])
    ))];
    let colour = if lag < 120.0 { Color::Green } else { Color::Yellow };
    spans.push(Span::styled(format!("{} behind", span(lag)), look.style(colour)));
    spans.push(Span::raw(format!(
        "  total {}",
        number(&answer["total"]).map_or("unknown".into(), thousands)
    )));
    match number(&answer["max_missed"]) {
        _ if answer["exact"] == true => spans.push(Span::raw("  exact")),
        Some(missed) => spans.push(Span::raw(format!("  nothing else above {}", thousands(missed)))),
        None => {}
    }
    let warn = |said: &'static str| Span::styled(said, look.style(Color::Yellow));
    if answer["range"]["complete"] == false {
        spans.push(warn("  a part is unknown"));
    }
    if fresh["stale"] == true {
        spans.push(warn("  stale"));
    }
    if answer["source"]["missing_stores"]
        .as_array()
        .is_some_and(|missing| !missing.is_empty())
    {
        spans.push(warn("  a store is away"));
    }
    Line::from(spans)
}

/// A time that people grasp.
fn span(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    match whole {
        0..60 => format!("{:.1} s", seconds.max(0.0)),
        60..3600 => format!("{} min", whole / 60),
        3600..172_800 => format!("{} h", whole / 3600),
        _ => format!("{} days", thousands((whole / 86_400).into())),
    }
}

fn ranking(frame: &mut Frame<'_>, area: Rect, state: &State, look: &Look) {
    let Some(ranking) = &state.ranking else { return };
    if ranking.lines.is_empty() {
        frame.render_widget(Line::from("nothing was counted there").style(DIM), area);
        return;
    }
    let (height, width) = (usize::from(area.height), usize::from(area.width));
    // The last line is for all others.
    let lines = height.saturating_sub(1).max(1);
    let first = state.selected.saturating_sub(lines.saturating_sub(1));
    let shown: Vec<&Ranked> = ranking.lines.iter().skip(first).take(lines).collect();
    let longest = |of: fn(&Ranked) -> usize| shown.iter().map(|line| of(line)).max().unwrap_or(0);
    let columns = Columns {
        width,
        item: longest(|line| line.item.chars().count()).clamp(6, (width / 4).max(6)),
        count: longest(|line| thousands(line.estimate).len()),
        bounds: match area.width >= WITH_BOUNDS {
            true => longest(|line| bounds(line).chars().count()),
            false => 0,
        },
        share: area.width >= WITH_SHARE,
        most: ranking.lines.iter().map(|line| line.upper).max().unwrap_or(1),
    };
    let stale = state.fault.is_some();
    let mut text: Vec<Line<'_>> = Vec::with_capacity(height);
    for (place, line) in shown.into_iter().enumerate() {
        let mut drawn = columns.line(line, look);
        if first + place == state.selected {
            drawn = drawn.style(Modifier::REVERSED);
        } else if stale {
            drawn = drawn.style(DIM);
        }
        text.push(drawn);
    }
    let other = &ranking.answer["other"];
    if let (true, Some(rest)) = (text.len() < height, number(&other["estimate"])) {
        let share = other["share"]
            .as_f64()
            .map_or(String::new(), |share| format!(", {:.2} %", share * 100.0));
        text.push(Line::from(format!("     all others {}{share}", thousands(rest))).style(DIM));
    }
    frame.render_widget(Paragraph::new(text), area);
}

/// Where what stands in a line.
struct Columns {
    width: usize,
    item: usize,
    count: usize,
    bounds: usize,
    share: bool,
    most: u128,
}

impl Columns {
    fn line<'a>(&self, line: &Ranked, look: &Look) -> Line<'a> {
        let (mark, colour) = match line.change {
            Change::Unknown | Change::By(0) => ("   ".into(), Color::Reset),
            Change::New => ("new".into(), Color::Cyan),
            Change::By(up) if up > 0 => (format!("▲{:<2}", up.min(99)), Color::Green),
            Change::By(down) => (format!("▼{:<2}", down.unsigned_abs().min(99)), Color::Red),
        };
        let sure = if line.certain { ' ' } else { '?' };
        let mut spans = vec![
            Span::raw(format!("{:>4}{sure}", line.rank)),
            Span::styled(mark, look.style(colour)),
            Span::raw(format!(" {} ", padded(&one_line(&line.item), self.item))),
            Span::styled(format!("{:>1$}", thousands(line.estimate), self.count), BOLD),
        ];
        if self.bounds > 0 {
            spans.push(Span::styled(format!(" {:<1$}", bounds(line), self.bounds), DIM));
        }
        if self.share {
            let share = line
                .share
                .map_or(String::new(), |share| format!("{:.2} %", share * 100.0));
            spans.push(Span::raw(format!(" {share:>8}")));
        }
        spans.push(Span::raw(" "));
        let used: usize = spans.iter().map(Span::width).sum();
        let room = self.width.saturating_sub(used);
        let (full, whisker) = bar(line.lower, line.upper, self.most, room);
        spans.push(Span::styled(full, look.style(Color::Blue)));
        spans.push(Span::styled(whisker, look.style(Color::Yellow)));
        Line::from(spans)
    }
}

/// What is proven, where it is not the count itself.
fn bounds(line: &Ranked) -> String {
    if line.lower == line.upper {
        String::new()
    } else {
        format!("{}..{}", thousands(line.lower), thousands(line.upper))
    }
}

fn draw_history(frame: &mut Frame<'_>, area: Rect, state: &State, look: &Look) {
    let ranges = state.current().is_some_and(|pipeline| pipeline.ranges);
    let item = state.selected_item().unwrap_or_default();
    let history = &state.history;
    let title = match (ranges, history.item == item && !history.counts.is_empty()) {
        (false, _) => " no history: the pipeline writes no sketches ".to_owned(),
        (true, false) => format!(" {item} "),
        (true, true) => {
            let known = history.counts.iter().flatten();
            let most = known.max().copied().unwrap_or(0);
            let step = span(history.step as f64);
            format!(
                " {item}: {} steps of {step}, at most {} in one ",
                history.counts.len(),
                thousands(most.into())
            )
        }
    };
    let block = Block::new().borders(Borders::TOP).title(one_line(&title));
    let mut data: Vec<Option<u64>> = Vec::new();
    if ranges && history.item == item {
        let width = usize::from(area.width);
        // The newest steps, each as wide as there is room.
        let counts = &history.counts[history.counts.len().saturating_sub(width)..];
        let wide = (width / counts.len().max(1)).clamp(1, 4);
        data = counts
            .iter()
            .flat_map(|count| std::iter::repeat_n(*count, wide))
            .collect();
    }
    let line = Sparkline::default()
        .block(block)
        .style(look.style(Color::Blue))
        .absent_value_symbol("·")
        .data(data);
    frame.render_widget(line, area);
}

fn help(frame: &mut Frame<'_>, area: Rect) {
    let lines = [
        "q Esc      quit",
        "p P        next, previous pipeline",
        "s S        next, previous dimension set",
        "g G        next, previous group; all rolled up",
        "w W        longer, shorter range",
        "+ -        more, fewer items",
        "↑ ↓ j k    select an item",
        "i Enter    its history, or more lines",
        "r          ask now",
        "",
        "███──┤     at least, at most",
        "?          not proven to be in the top",
        "▲2 ▼1 new  since the window before",
    ];
    let (width, height) = (46.min(area.width), 15.min(area.height));
    let place = Rect::new((area.width - width) / 2, (area.height - height) / 2, width, height);
    let text: Vec<Line<'_>> = lines.into_iter().map(Line::from).collect();
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(text).block(Block::bordered().title(" keys ")), place);
}

/// Items come from anybody: no control character reaches the terminal.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// Cut or filled up to a width.
fn padded(text: &str, width: usize) -> String {
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let wide = Span::raw(c.to_string()).width();
        if used + wide > width {
            out.pop();
            out.push('…');
            break;
        }
        out.push(c);
        used += wide;
    }
    let missing = width.saturating_sub(Span::raw(out.as_str()).width());
    out + &" ".repeat(missing)
}

#[cfg(test)]
mod tests {
    use super::super::state::tests::{rank, state};
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn screen(state: &State, width: u16, height: u16, look: &Look) -> (String, Vec<Color>) {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, state, look)).unwrap();
        let buffer = terminal.backend().buffer().clone();
        let colours = buffer.content().iter().map(|cell| cell.fg).collect();
        let rows = buffer.content().chunks(usize::from(width));
        let rows: Vec<String> = rows
            .map(|row| {
                row.iter()
                    .map(|cell| cell.symbol())
                    .collect::<String>()
                    .trim_end()
                    .to_owned()
            })
            .collect();
        (rows.join("\n"), colours)
    }

    fn ranked() -> State {
        let mut state = state();
        rank(
            &mut state,
            0,
            &[("/cart", 900, 900, 900), ("/index.html", 500, 500, 500)],
        );
        rank(
            &mut state,
            1,
            &[
                ("/index.html", 1200, 1200, 1200),
                ("/cart", 600, 600, 600),
                ("/new", 480, 300, 480),
            ],
        );
        state
    }

    const PLAIN: Look = Look { colours: false };

    #[test]
    fn the_ranking_has_bars_whiskers_and_changes() {
        let (text, _) = screen(&ranked(), 100, 14, &PLAIN);
        let expected = [
            "shop  set *  all groups  newest window  top 5",
            "complete up to 2026-01-31T12:02:00Z, 2.4 s behind  total 1,234,567  nothing else above 17",
            "   1 ▲1  /index.html 1,200           25.00 % ███████████████████████████████████████████████████████",
            "   2 ▼1  /cart         600           25.00 % ███████████████████████████▌",
            "   3?new /new          480 300..480  25.00 % █████████████▊───────┤",
            "     all others 40, 10.00 %",
        ];
        for line in expected {
            assert!(text.contains(line), "no '{line}' in\n{text}");
        }
        assert!(text.ends_with("? help"), "{text}");
    }

    #[test]
    fn it_fits_any_screen() {
        let mut state = ranked();
        state.fault = Some("no service answers at http://127.0.0.1:1".into());
        state.shows_help = true;
        for (width, height) in [(1, 1), (3, 40), (20, 5), (40, 12), (80, 24), (200, 60)] {
            screen(&state, width, height, &PLAIN);
        }
        state.shows_help = false;
        let (text, _) = screen(&state, 60, 12, &PLAIN);
        assert!(
            text.contains("! no service answers at http://127.0.0.1:1; trying again"),
            "{text}"
        );
        assert!(
            text.contains("/cart") && !text.contains("25.00 %"),
            "the shares make room: {text}"
        );
    }

    #[test]
    fn no_color_means_none() {
        let state = ranked();
        let (_, colours) = screen(&state, 100, 24, &PLAIN);
        assert!(colours.iter().all(|colour| *colour == Color::Reset));
        let (_, colours) = screen(&state, 100, 24, &Look { colours: true });
        assert!(colours.contains(&Color::Blue) && colours.contains(&Color::Green));
    }

    #[test]
    fn a_history_tells_nothing_from_unknown() {
        let mut state = ranked();
        state.selected = 0;
        state.history.item = "/index.html".into();
        state.history.counts = vec![None, Some(0), Some(8), Some(4)];
        state.history.step = 60;
        let (text, _) = screen(&state, 100, 24, &PLAIN);
        assert!(
            text.contains("/index.html: 4 steps of 1 min, at most 8 in one"),
            "{text}"
        );
        assert!(text.contains("····    ████"), "{text}");
    }

    #[test]
    fn no_item_writes_to_the_terminal() {
        let mut state = state();
        rank(
            &mut state,
            0,
            &[
                ("a\u{1b}[2Jb\nc", 9, 9, 9),
                ("日本語のとても長い名前がここにあります", 5, 5, 5),
            ],
        );
        let (text, _) = screen(&state, 80, 14, &PLAIN);
        assert!(text.contains("a\u{fffd}[2Jb\u{fffd}c"), "{text}");
        assert!(text.contains('…'), "{text}");
    }
}
