//! What is chosen, what was answered, and what to ask next.

use super::Top;
use super::model::{Change, Group, History, Line, Pipeline, Ranking};
use crate::client::{Question, number, segment};
use crate::failure::Failure;
use serde_json::Value;
use std::collections::HashMap;

/// Groups that can be gone through.
const MOST_GROUPS: u64 = 1000;
/// Answers after which the pipelines and groups are looked at again.
const SELDOM: u32 = 15;
/// Windows of a history, where the newest window alone is shown.
const HISTORY: f64 = 60.0;

/// What a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// The pipelines.
    Pipelines,
    /// The groups of the set.
    Groups,
    /// The ranking.
    Ranking,
    /// The history of the item.
    History,
}

/// A question to the service.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// What it is about.
    pub about: About,
    /// What was chosen when it was asked: an answer to another choice is dropped.
    pub choice: u32,
    /// The item, of a history.
    pub item: String,
    /// The question itself.
    pub question: Question,
}

/// An answer, or why there is none.
pub struct Answered {
    /// The question.
    pub wanted: Wanted,
    /// What came.
    pub answer: Result<Value, String>,
}

/// Everything that is shown.
pub struct State {
    /// All pipelines.
    pub pipelines: Vec<Pipeline>,
    /// The chosen one.
    pub pipeline: Option<String>,
    /// The chosen set; `None`: what the service takes.
    pub set: Option<String>,
    /// The chosen group.
    pub group: Group,
    /// Keys of the groups of the set.
    pub groups: Vec<String>,
    /// The chosen range.
    pub last: String,
    /// How many items.
    pub k: u64,
    /// The ranking, if there is one.
    pub ranking: Option<Ranking>,
    /// The history of the selected item.
    pub history: History,
    /// The selected line.
    pub selected: usize,
    /// Whether the history is shown.
    pub shows_history: bool,
    /// Whether the keys are explained.
    pub shows_help: bool,
    /// Why the last question has no answer.
    pub fault: Option<String>,
    pub(super) choice: u32,
    pub(super) asked: u32,
    /// The ranks of the window that is shown, and of the one before it.
    pub(super) ranks: Option<(String, HashMap<String, u64>)>,
    pub(super) before: Option<HashMap<String, u64>>,
}

impl State {
    /// As the command line says.
    pub fn new(arguments: &Top) -> Self {
        Self {
            pipelines: Vec::new(),
            pipeline: arguments.pipeline.clone(),
            set: arguments.about.set.clone(),
            group: Group::Given(arguments.about.filters.clone()),
            groups: Vec::new(),
            last: arguments.about.last.clone().unwrap_or_default(),
            k: arguments.k,
            ranking: None,
            history: History::default(),
            selected: 0,
            shows_history: true,
            shows_help: false,
            fault: None,
            choice: 0,
            asked: 0,
            ranks: None,
            before: None,
        }
    }

    /// The question for all pipelines.
    pub fn pipelines() -> Question {
        ("/v1/pipelines".into(), vec![("limit", "1000".into())])
    }

    /// There is nothing to look at.
    pub fn nothing() -> Failure {
        Failure::Run("the service knows no pipeline yet".into())
    }

    /// Takes the list of pipelines, and chooses the first if none is chosen.
    ///
    /// # Errors
    /// If the chosen one is not there.
    pub fn take_pipelines(&mut self, list: &Value) -> Result<(), Failure> {
        let texts = |value: &Value, name: &str| -> Vec<String> {
            let all = value.as_array().into_iter().flatten();
            all.filter_map(|value| value[name].as_str().map(str::to_owned))
                .collect()
        };
        let pipeline = |value: &Value| Pipeline {
            name: value["pipeline"].as_str().unwrap_or_default().to_owned(),
            sets: texts(&value["sets"], "set"),
            window: value["window_seconds"].as_f64().unwrap_or(0.0),
            ranges: value["ranges"] == true,
        };
        self.pipelines = list["pipelines"]
            .as_array()
            .into_iter()
            .flatten()
            .map(pipeline)
            .collect();
        match &self.pipeline {
            None => {
                let first = self.pipelines.first().ok_or_else(Self::nothing)?;
                self.pipeline = Some(first.name.clone());
            }
            Some(name) if self.current().is_none() => {
                let names: Vec<&str> = self.pipelines.iter().map(|pipeline| pipeline.name.as_str()).collect();
                let said = format!("there is no pipeline '{name}'; the service knows {}", names.join(", "));
                return Err(Failure::Usage(said));
            }
            Some(_) => {}
        }
        Ok(())
    }

    /// The chosen pipeline.
    pub fn current(&self) -> Option<&Pipeline> {
        let name = self.pipeline.as_ref()?;
        self.pipelines.iter().find(|pipeline| pipeline.name == *name)
    }

    /// The question for the ranking.
    pub fn question(&self) -> Option<Question> {
        let mut pairs = self.shared();
        pairs.push(("k", self.k.to_string()));
        if !self.last.is_empty() {
            pairs.push(("last", self.last.clone()));
        }
        Some((self.path("top")?, pairs))
    }

    fn path(&self, what: &str) -> Option<String> {
        Some(format!("/v1/pipelines/{}/{what}", segment(self.pipeline.as_ref()?)))
    }

    fn shared(&self) -> Vec<(&'static str, String)> {
        let mut pairs: Vec<(&'static str, String)> = Vec::new();
        pairs.extend(self.set.iter().map(|set| ("set", set.clone())));
        match &self.group {
            Group::Given(filters) => pairs.extend(filters.iter().map(|filter| ("where", filter.clone()))),
            Group::All => {}
            Group::One(key) => {
                let one = |(name, value): (String, Option<String>)| match value {
                    Some(value) => ("where", format!("{name}={value}")),
                    None => ("where", name),
                };
                pairs.extend(hitters_results::group::values(key).into_iter().map(one));
            }
        }
        pairs
    }

    /// What to ask now, the ranking first.
    pub fn wanted(&mut self) -> Vec<Wanted> {
        let (choice, seldom) = (self.choice, self.asked.is_multiple_of(SELDOM));
        self.asked = self.asked.wrapping_add(1);
        let wanted = |about, item: &str, question| Wanted {
            about,
            choice,
            item: item.to_owned(),
            question,
        };
        let mut all = Vec::new();
        all.extend(self.question().map(|question| wanted(About::Ranking, "", question)));
        let item = self.selected_item().map(str::to_owned);
        if let (true, Some(item)) = (self.shows_history, item) {
            let question = self.history_question(&item);
            all.extend(question.map(|question| wanted(About::History, &item, question)));
        }
        if seldom {
            all.push(wanted(About::Pipelines, "", Self::pipelines()));
            let set = self.set_shown().filter(|set| set != "*");
            if let (Some(set), Some(path)) = (set, self.path("groups")) {
                let mut pairs = vec![("set", set), ("limit", MOST_GROUPS.to_string())];
                // A key may be for some values only: then its groups are asked for by them.
                if let Group::Given(filters) = &self.group {
                    pairs.extend(filters.iter().map(|filter| ("where", filter.clone())));
                }
                all.push(wanted(About::Groups, "", (path, pairs)));
            }
        }
        all
    }

    fn history_question(&self, item: &str) -> Option<Question> {
        let pipeline = self.current().filter(|pipeline| pipeline.ranges)?;
        let mut pairs = self.shared();
        pairs.push(("item", item.to_owned()));
        let last = match self.last.is_empty() {
            true => format!("{}s", (pipeline.window.max(1.0) * HISTORY) as u64),
            false => self.last.clone(),
        };
        pairs.push(("last", last));
        Some((self.path("series")?, pairs))
    }

    /// The set of what is shown.
    pub fn set_shown(&self) -> Option<String> {
        let answered = self.ranking.as_ref().and_then(|ranking| ranking.answer["set"].as_str());
        self.set.clone().or_else(|| answered.map(str::to_owned))
    }

    /// The item of the selected line.
    pub fn selected_item(&self) -> Option<&str> {
        let line = self.ranking.as_ref()?.lines.get(self.selected)?;
        Some(&line.item)
    }

    /// Takes an answer.
    pub fn take(&mut self, answered: Answered) {
        let Answered { wanted, answer } = answered;
        if wanted.choice != self.choice {
            return;
        }
        match (wanted.about, answer) {
            (About::Ranking, Ok(answer)) => {
                self.fault = None;
                self.take_ranking(answer);
            }
            (About::Ranking, Err(said)) => self.fault = Some(said),
            (About::History, Ok(answer)) => self.take_history(wanted.item, &answer),
            (About::Groups, Ok(answer)) => {
                let groups = answer["groups"].as_array().into_iter().flatten();
                self.groups = groups
                    .filter_map(|group| group["group_key"].as_str().map(str::to_owned))
                    .collect();
            }
            (About::Pipelines, Ok(answer)) => {
                // The chosen one may be away for a moment: the ranking says so.
                let _ = self.take_pipelines(&answer);
            }
            // The ranking says what is wrong.
            (_, Err(_)) => {}
        }
    }

    fn take_ranking(&mut self, answer: Value) {
        let selected = self.selected_item().map(str::to_owned);
        let window = answer["range"].to_string();
        let lines = answer["items"].as_array().into_iter().flatten();
        let mut lines: Vec<Line> = lines.map(line).collect();
        let ranks: HashMap<String, u64> = lines.iter().map(|line| (line.item.clone(), line.rank)).collect();
        match &mut self.ranks {
            Some((shown, old)) if *shown == window => *old = ranks,
            shown => self.before = shown.replace((window, ranks)).map(|(_, old)| old),
        }
        for line in &mut lines {
            line.change = match &self.before {
                None => Change::Unknown,
                Some(before) => match before.get(&line.item) {
                    None => Change::New,
                    Some(rank) => Change::By(rank.cast_signed() - line.rank.cast_signed()),
                },
            };
        }
        // The selection stays on its item, wherever that went.
        let place = selected.and_then(|item| lines.iter().position(|line| line.item == item));
        self.selected = place.unwrap_or(self.selected).min(lines.len().saturating_sub(1));
        self.ranking = Some(Ranking { lines, answer });
    }

    fn take_history(&mut self, item: String, answer: &Value) {
        let counts = answer["series"][0]["estimate"].as_array().into_iter().flatten();
        let count = |value: &Value| number(value).map(|count| u64::try_from(count).unwrap_or(u64::MAX));
        self.history = History {
            item,
            counts: counts.map(count).collect(),
            step: answer["step_seconds"].as_u64().unwrap_or(0),
        };
    }
}

fn line(value: &Value) -> Line {
    let item = value["item"].as_str().or(value["item_base64"].as_str());
    Line {
        rank: value["rank"].as_u64().unwrap_or(0),
        item: item.unwrap_or_default().to_owned(),
        estimate: number(&value["estimate"]).unwrap_or(0),
        lower: number(&value["lower"]).unwrap_or(0),
        upper: number(&value["upper"]).unwrap_or(0),
        share: value["share"].as_f64(),
        certain: value["certain"] == true,
        change: Change::Unknown,
    }
}

#[cfg(test)]
pub mod tests {
    use super::super::keys::Move;
    use super::*;
    use ratatui::crossterm::event::{KeyCode, KeyEvent};
    use serde_json::json;

    /// A state over two pipelines.
    pub fn state() -> State {
        let mut state = State::new(&Top {
            pipeline: None,
            k: 5,
            about: crate::client::About::default(),
            every: std::time::Duration::from_secs(1),
            service: crate::client::Service::default(),
        });
        let list = json!({"pipelines": [
            {"pipeline": "shop", "sets": [{"set": "*"}, {"set": "region"}], "window_seconds": 60.0, "ranges": true},
            {"pipeline": "cdn", "sets": [{"set": "*"}], "window_seconds": 10.0, "ranges": false},
        ]});
        state.take_pipelines(&list).unwrap();
        state
    }

    /// Answers the next question for the ranking.
    pub fn rank(state: &mut State, minute: u32, items: &[(&str, u64, u64, u64)]) {
        let lines: Vec<Value> = items
            .iter()
            .zip(1..)
            .map(|((item, estimate, lower, upper), rank)| {
                json!({"rank": rank, "item": item, "estimate": estimate, "lower": lower, "upper": upper, "share": 0.25, "certain": lower == upper})
            })
            .collect();
        let at = |minute: u32| format!("2026-01-31T12:{minute:02}:00Z");
        let answer = json!({"pipeline": "shop", "set": "*", "total": 1234567, "exact": false, "max_missed": 17, "items": lines,
            "other": {"estimate": 40, "lower": 38, "upper": 42, "share": 0.1},
            "range": {"from": at(minute), "to": at(minute + 1), "complete": true},
            "source": {"panes": 1, "missing_stores": []},
            "freshness": {"complete_up_to": at(minute + 1), "lag_seconds": 2.41, "stale": false}});
        let wanted = state.wanted().remove(0);
        assert_eq!(wanted.about, About::Ranking);
        state.take(Answered {
            wanted,
            answer: Ok(answer),
        });
    }

    fn press(state: &mut State, key: char) -> Move {
        state.press(KeyEvent::from(KeyCode::Char(key)))
    }

    fn pairs(state: &State) -> String {
        let (path, pairs) = state.question().unwrap();
        let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        format!("{path}?{}", pairs.join("&"))
    }

    #[test]
    fn ranks_change_between_windows_and_not_within_one() {
        let mut state = state();
        let changes = |state: &State| -> Vec<Change> {
            state
                .ranking
                .iter()
                .flat_map(|ranking| &ranking.lines)
                .map(|line| line.change)
                .collect()
        };
        rank(&mut state, 0, &[("a", 9, 9, 9), ("b", 5, 5, 5)]);
        assert_eq!(changes(&state), [Change::Unknown, Change::Unknown]);
        rank(&mut state, 1, &[("b", 9, 9, 9), ("c", 6, 6, 6), ("a", 5, 5, 5)]);
        let moved = [Change::By(1), Change::New, Change::By(-2)];
        assert_eq!(changes(&state), moved);
        rank(&mut state, 1, &[("b", 9, 9, 9), ("c", 6, 6, 6), ("a", 5, 5, 5)]);
        assert_eq!(changes(&state), moved);
    }

    #[test]
    fn the_selection_follows_its_item() {
        let mut state = state();
        rank(&mut state, 0, &[("a", 9, 9, 9), ("b", 5, 5, 5)]);
        assert_eq!(press(&mut state, 'j'), Move::Ask);
        assert_eq!(state.selected_item(), Some("b"));
        rank(&mut state, 1, &[("b", 9, 9, 9), ("a", 5, 5, 5)]);
        assert_eq!((state.selected, state.selected_item()), (0, Some("b")));
        rank(&mut state, 2, &[("a", 9, 9, 9)]);
        assert_eq!(state.selected_item(), Some("a"));
        let wanted = state.wanted();
        assert_eq!(
            (wanted[1].about, wanted[1].question.0.as_str()),
            (About::History, "/v1/pipelines/shop/series")
        );
        assert!(wanted[1].question.1.contains(&("last", "3600s".into())));
    }

    #[test]
    fn keys_choose_what_is_asked() {
        let mut state = state();
        rank(&mut state, 0, &[("a", 9, 9, 9)]);
        assert_eq!(pairs(&state), "/v1/pipelines/shop/top?k=5");
        press(&mut state, 'w');
        press(&mut state, 's');
        press(&mut state, '+');
        assert_eq!(pairs(&state), "/v1/pipelines/shop/top?set=region&k=10&last=15m");
        state.groups = vec!["region=eu".into(), "region=%00".into()];
        press(&mut state, 'g');
        assert_eq!(
            pairs(&state),
            "/v1/pipelines/shop/top?set=region&where=region=eu&k=10&last=15m"
        );
        press(&mut state, 'g');
        assert!(pairs(&state).contains("where=region&"), "{}", pairs(&state));
        press(&mut state, 'g');
        assert_eq!(state.group, Group::All);
        assert_eq!(press(&mut state, 'G'), Move::Ask);
        press(&mut state, 'p');
        assert_eq!(pairs(&state), "/v1/pipelines/cdn/top?k=10&last=15m");
        assert_eq!(
            (press(&mut state, 'q'), press(&mut state, 'x')),
            (Move::Quit, Move::Nothing)
        );
    }

    #[test]
    fn an_answer_to_what_was_chosen_before_is_dropped() {
        let mut state = state();
        rank(&mut state, 0, &[("a", 9, 9, 9)]);
        let wanted = state.wanted().remove(0);
        press(&mut state, 'w');
        state.take(Answered {
            wanted,
            answer: Err("late".into()),
        });
        assert_eq!(state.fault, None);
        let wanted = state.wanted().remove(0);
        state.take(Answered {
            wanted,
            answer: Err("no service answers".into()),
        });
        assert_eq!(state.fault.as_deref(), Some("no service answers"));
        assert!(state.ranking.is_some(), "what was known stays on the screen");
        rank(&mut state, 1, &[("a", 9, 9, 9)]);
        assert_eq!(state.fault, None);
    }
}
