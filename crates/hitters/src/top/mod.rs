//! `hitters top`: the ranking of a pipeline as it changes, over the API that everybody has.
//!
//! * `state` is what is chosen and what was answered; keys change it, and it says what to ask next. It knows no terminal and no
//!   clock, so that tests play it through.
//! * `draw` puts it on a screen of any size, `bars` draws counts with what is proven about them.
//! * `asking` asks on a thread of its own: a service that hangs or is gone holds up no key.

mod asking;
mod bars;
mod draw;
mod keys;
mod model;
mod state;

use crate::client::{About, Client, Service};
use crate::failure::Failure;
use crate::query;
use asking::Asking;
use clap::Args;
use draw::Look;
use keys::Move;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use state::State;
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// How often keys are looked for.
const LOOK: Duration = Duration::from_millis(50);

/// `hitters top`.
#[derive(Debug, Args)]
pub struct Top {
    /// Name of the pipeline. [default: the first]
    #[arg(value_name = "PIPELINE")]
    pub pipeline: Option<String>,
    /// How many items.
    #[arg(long, short, value_name = "ITEMS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub k: u64,
    #[command(flatten)]
    pub about: About,
    /// How often to ask.
    #[arg(long, value_name = "TIME", value_parser = crate::cli::time, default_value = "1s")]
    pub every: Duration,
    /// Which service to ask.
    #[command(flatten)]
    pub service: Service,
}

/// Runs the command. Where nobody looks, it prints one table and ends.
pub fn run(arguments: &Top) -> Result<(), Failure> {
    let client = Client::new(&arguments.service);
    let mut state = State::new(arguments);
    let list = client.ask(&State::pipelines())?;
    state.take_pipelines(&list)?;
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        let answer = client.ask(&state.question().ok_or_else(State::nothing)?)?;
        return query::print(&answer);
    }
    let ended = Arc::new(AtomicBool::new(false));
    let flag = ended.clone();
    let stop = move || {
        flag.store(true, Relaxed);
        // Where the terminal has gone away, crossterm looks for events for ever: nothing is left to show or to restore.
        std::thread::sleep(2 * LOOK + Duration::from_secs(1));
        std::process::exit(i32::from(Failure::Stopped.exit_code()));
    };
    ctrlc::set_handler(stop).map_err(|error| Failure::Run(format!("cannot watch for signals: {error}")))?;
    let every = arguments.every.max(Duration::from_millis(100));
    // From here on a panic restores the terminal, too: a hook of ratatui does it before the message is printed.
    let mut terminal =
        ratatui::try_init().map_err(|error| Failure::Run(format!("the terminal cannot be used: {error}")))?;
    let done = show(&mut terminal, &mut state, client, every, &ended);
    ratatui::restore();
    done
}

fn show(
    terminal: &mut ratatui::DefaultTerminal,
    state: &mut State,
    client: Client,
    every: Duration,
    ended: &AtomicBool,
) -> Result<(), Failure> {
    let look = Look::of_environment();
    let asking = Asking::start(client)?;
    let mut next = Instant::now();
    let mut draw = true;
    while !ended.load(Relaxed) {
        while let Some(answered) = asking.answered() {
            state.take(answered);
            draw = true;
        }
        if Instant::now() >= next && asking.is_idle() {
            state.wanted().into_iter().for_each(|wanted| asking.ask(wanted));
            next = Instant::now() + every;
            // What is said about time changes by itself.
            draw = true;
        }
        if std::mem::take(&mut draw) {
            terminal.draw(|frame| draw::draw(frame, state, &look))?;
        }
        if !event::poll(LOOK)? {
            continue;
        }
        match event::read()? {
            Event::Key(key) if key.kind != KeyEventKind::Release => match state.press(key) {
                Move::Quit => return Ok(()),
                Move::Ask => next = Instant::now(),
                Move::Nothing => {}
            },
            _ => {}
        }
        draw = true;
    }
    Err(Failure::Stopped)
}
