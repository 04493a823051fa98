//! Event-time windows and the panes that they are made of.

use crate::sql_text::interval;
use std::fmt;

/// A window function of the portable subset. Times are nanoseconds since the epoch, UTC; windows are aligned to the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Window {
    /// `tumble(width)`: each row is in one window.
    Tumble {
        /// Width in nanoseconds.
        width: i64,
    },
    /// `hop(slide, width)`: each row is in `width / slide` windows; the width is a multiple of the slide.
    Hop {
        /// Distance of window starts in nanoseconds.
        slide: i64,
        /// Width in nanoseconds.
        width: i64,
    },
    /// `session(gap)`: rows of one group with less than `gap` between neighbours. Ends at the last row plus the gap.
    Session {
        /// Gap in nanoseconds.
        gap: i64,
    },
}

impl Window {
    /// Width of the panes that this window is put together from: no row is looked at again when a window slides.
    ///
    /// A session's panes are as wide as its gap, so that rows of one group and pane are always in one session.
    pub fn pane(&self) -> i64 {
        match *self {
            Window::Tumble { width } => width,
            Window::Hop { slide, .. } => slide,
            Window::Session { gap } => gap,
        }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let interval = |nanos: i64| interval(0, 0, nanos);
        match *self {
            Window::Tumble { width } => write!(f, "tumble({})", interval(width)),
            Window::Hop { slide, width } => write!(f, "hop({}, {})", interval(slide), interval(width)),
            Window::Session { gap } => write!(f, "session({})", interval(gap)),
        }
    }
}
