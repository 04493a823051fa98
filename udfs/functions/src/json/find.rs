//! Where a path leads in a JSON text.
//!
//! The text is read by `jiter` up to the value and no further, so that what stands behind it is not even checked. Of two members with one
//! name the first counts. A text that breaks before its value is reached, or nests deeper than the parser allows, leads nowhere.

use std::borrow::Cow;

use jiter::{Jiter, Peek};

/// One step of a path.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step<'a> {
    /// A member of an object; of an array, the element that the text numbers, as in PostgreSQL.
    Key(Cow<'a, str>),
    /// An element of an array; a negative number counts from its end.
    Index(isize),
    /// NULL, or a number that no array has: leads nowhere.
    Nowhere,
}

impl Step<'_> {
    pub fn into_owned(self) -> Step<'static> {
        match self {
            Step::Key(key) => Step::Key(Cow::Owned(key.into_owned())),
            Step::Index(index) => Step::Index(index),
            Step::Nowhere => Step::Nowhere,
        }
    }
}

impl<'a> From<&'a str> for Step<'a> {
    fn from(key: &'a str) -> Self {
        Step::Key(Cow::Borrowed(key))
    }
}

impl From<i64> for Step<'_> {
    fn from(index: i64) -> Self {
        isize::try_from(index).map_or(Step::Nowhere, Step::Index)
    }
}

impl From<u64> for Step<'_> {
    fn from(index: u64) -> Self {
        isize::try_from(index).map_or(Step::Nowhere, Step::Index)
    }
}

/// The parser before the value that the path leads to, and what kind of value that begins to be.
pub(super) fn find<'j>(json: &'j str, path: &[Step<'_>]) -> Option<(Jiter<'j>, Peek)> {
    let mut jiter = Jiter::new(json.as_bytes());
    let mut peek = jiter.peek().ok()?;
    for step in path {
        peek = match (step, peek) {
            (Step::Key(key), Peek::Object) => {
                let mut found = jiter.known_object().ok()?? == key;
                while !found {
                    jiter.next_skip().ok()?;
                    found = jiter.next_key().ok()?? == key;
                }
                jiter.peek().ok()?
            }
            (Step::Key(key), Peek::Array) => element(&mut jiter, key.parse().ok()?)?,
            (Step::Index(index), Peek::Array) => element(&mut jiter, *index)?,
            _ => return None,
        };
    }
    Some((jiter, peek))
}

/// Steps to an element of the array that begins here. Counting from the end reads the array twice.
fn element(jiter: &mut Jiter<'_>, index: isize) -> Option<Peek> {
    let index = match usize::try_from(index) {
        Ok(index) => index,
        Err(_) => elements(&mut jiter.clone())?.checked_add_signed(index)?,
    };
    let mut peek = jiter.known_array().ok()??;
    for _ in 0..index {
        jiter.known_skip(peek).ok()?;
        peek = jiter.array_step().ok()??;
    }
    Some(peek)
}

/// How many elements the array that begins here has.
pub(super) fn elements(jiter: &mut Jiter<'_>) -> Option<usize> {
    let (mut count, mut next) = (0, jiter.known_array().ok()?);
    while let Some(peek) = next {
        jiter.known_skip(peek).ok()?;
        next = jiter.array_step().ok()?;
        count += 1;
    }
    Some(count)
}

/// The text of the value that begins here.
pub(super) fn raw<'j>(json: &'j str, jiter: &mut Jiter<'j>, peek: Peek) -> Option<&'j str> {
    let start = jiter.current_index();
    jiter.known_skip(peek).ok()?;
    // The parser stops at ASCII characters only.
    json.get(start..jiter.current_index())
}
