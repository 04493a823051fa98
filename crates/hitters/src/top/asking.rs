//! Asks the service on a thread of its own.

use super::state::{Answered, Wanted};
use crate::client::Client;
use crate::failure::Failure;
use std::cell::Cell;
use std::sync::mpsc::{Receiver, Sender, channel};

/// The thread, as the screen sees it. It ends when this is dropped and its last question was answered.
pub struct Asking {
    questions: Sender<Wanted>,
    answers: Receiver<Answered>,
    /// Questions without an answer yet.
    open: Cell<usize>,
}

impl Asking {
    /// Starts it.
    pub fn start(client: Client) -> Result<Self, Failure> {
        let (questions, wanted) = channel::<Wanted>();
        let (sender, answers) = channel();
        let work = move || {
            for wanted in wanted {
                let answer = client.ask(&wanted.question).map_err(|failure| match failure {
                    Failure::Run(said) | Failure::Usage(said) => said,
                    _ => "it does not say why".into(),
                });
                if sender.send(Answered { wanted, answer }).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new()
            .name("asking".into())
            .spawn(work)
            .map_err(|error| Failure::Run(format!("cannot start a thread: {error}")))?;
        Ok(Self {
            questions,
            answers,
            open: Cell::new(0),
        })
    }

    /// Asks.
    pub fn ask(&self, wanted: Wanted) {
        if self.questions.send(wanted).is_ok() {
            self.open.set(self.open.get() + 1);
        }
    }

    /// An answer that has come.
    pub fn answered(&self) -> Option<Answered> {
        let answered = self.answers.try_recv().ok()?;
        self.open.set(self.open.get().saturating_sub(1));
        Some(answered)
    }

    /// Whether every question has its answer.
    pub fn is_idle(&self) -> bool {
        self.open.get() == 0
    }
}
