//! What each key does.

use super::model::{Group, History};
use super::state::State;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// Ranges that `w` goes through; the first is the newest window.
const RANGES: [&str; 6] = ["", "15m", "1h", "6h", "1d", "7d"];

/// What a key asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Move {
    /// The end.
    Quit,
    /// A new answer, at once.
    Ask,
    /// Only to be drawn.
    Nothing,
}

impl State {
    /// Takes a key.
    pub fn press(&mut self, key: KeyEvent) -> Move {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let lines = self.ranking.as_ref().map_or(0, |ranking| ranking.lines.len());
        match key.code {
            KeyCode::Char('c') if control => return Move::Quit,
            KeyCode::Char('q') => return Move::Quit,
            KeyCode::Esc if self.shows_help => self.shows_help = false,
            KeyCode::Esc => return Move::Quit,
            KeyCode::Char('?' | 'h') => self.shows_help = !self.shows_help,
            KeyCode::Down | KeyCode::Char('j') => return self.select(self.selected + 1, lines),
            KeyCode::Up | KeyCode::Char('k') => return self.select(self.selected.saturating_sub(1), lines),
            KeyCode::Home => return self.select(0, lines),
            KeyCode::End => return self.select(lines, lines),
            KeyCode::PageDown => return self.select(self.selected + 10, lines),
            KeyCode::PageUp => return self.select(self.selected.saturating_sub(10), lines),
            KeyCode::Enter | KeyCode::Char('i') => {
                self.shows_history = !self.shows_history;
                return Move::Ask;
            }
            KeyCode::Char('p') => return self.next_pipeline(1),
            KeyCode::Char('P') => return self.next_pipeline(-1),
            KeyCode::Char('s') => return self.next_set(1),
            KeyCode::Char('S') => return self.next_set(-1),
            KeyCode::Char('g') => return self.next_group(1),
            KeyCode::Char('G') => return self.next_group(-1),
            KeyCode::Char('w') => return self.next_range(1),
            KeyCode::Char('W') => return self.next_range(-1),
            KeyCode::Char('+' | '=') => return self.more(5),
            KeyCode::Char('-') => return self.more(-5),
            KeyCode::Char('r') => return Move::Ask,
            _ => {}
        }
        Move::Nothing
    }

    fn select(&mut self, place: usize, lines: usize) -> Move {
        self.selected = place.min(lines.saturating_sub(1));
        Move::Ask
    }

    /// Another choice: ranks of before say nothing about it.
    fn chosen(&mut self) -> Move {
        self.choice = self.choice.wrapping_add(1);
        self.asked = 0;
        self.selected = 0;
        (self.ranks, self.before) = (None, None);
        self.history = History::default();
        Move::Ask
    }

    fn next_pipeline(&mut self, by: i64) -> Move {
        let names: Vec<&String> = self.pipelines.iter().map(|pipeline| &pipeline.name).collect();
        let Some(next) = turned(&names, self.pipeline.as_ref(), by).cloned() else {
            return Move::Nothing;
        };
        self.pipeline = Some(next);
        (self.set, self.group) = (None, Group::All);
        self.groups.clear();
        self.ranking = None;
        self.chosen()
    }

    fn next_set(&mut self, by: i64) -> Move {
        let sets = self.current().map(|pipeline| pipeline.sets.clone()).unwrap_or_default();
        let sets: Vec<&String> = sets.iter().collect();
        let Some(next) = turned(&sets, self.set_shown().as_ref(), by).cloned() else {
            return Move::Nothing;
        };
        self.set = Some(next);
        self.group = Group::All;
        self.groups.clear();
        self.chosen()
    }

    /// All of them rolled up, then one after the other.
    fn next_group(&mut self, by: i64) -> Move {
        let groups: Vec<Option<&String>> = [None].into_iter().chain(self.groups.iter().map(Some)).collect();
        if groups.len() == 1 {
            return Move::Nothing;
        }
        let groups: Vec<&Option<&String>> = groups.iter().collect();
        let now = match &self.group {
            Group::One(key) => Some(Some(key)),
            _ => Some(None),
        };
        let next = turned(&groups, now.as_ref(), by);
        self.group = next.copied().flatten().cloned().map_or(Group::All, Group::One);
        // A key names groups of this set alone.
        self.set = self.set_shown();
        let again = std::mem::take(&mut self.groups);
        let asked = self.chosen();
        self.groups = again;
        self.asked = 1;
        asked
    }

    fn next_range(&mut self, by: i64) -> Move {
        if self.current().is_some_and(|pipeline| !pipeline.ranges) {
            self.fault = Some("the pipeline writes no sketches: only its newest window can be shown".into());
            return Move::Nothing;
        }
        let ranges = RANGES.map(str::to_owned);
        let ranges: Vec<&String> = ranges.iter().collect();
        self.last = turned(&ranges, Some(&self.last), by).cloned().unwrap_or_default();
        let (groups, asked) = (std::mem::take(&mut self.groups), self.chosen());
        self.groups = groups;
        asked
    }

    fn more(&mut self, by: i64) -> Move {
        self.k = self.k.saturating_add_signed(by).clamp(1, 1000);
        Move::Ask
    }
}

/// The element after, or before, the current one, around the end.
fn turned<'a, T: PartialEq>(all: &[&'a T], now: Option<&T>, by: i64) -> Option<&'a T> {
    let length = i64::try_from(all.len()).ok().filter(|length| *length > 0)?;
    let place = now.and_then(|now| all.iter().position(|one| *one == now));
    let next = match place {
        Some(place) => (i64::try_from(place).ok()? + by).rem_euclid(length),
        None => 0,
    };
    all.get(usize::try_from(next).ok()?).copied()
}
