//! The shape of a stream: most messages have the keys of the one before, in its order and spacing.
//!
//! A [`Step`] holds the bytes between two values (`,"item":`) as they stood in an earlier message. The scanner has proved
//! them well-formed once; a message with the same bytes in the same place needs neither a scan nor a search for the key,
//! only a comparison of one or two words. A message of another shape is decoded the slow way and teaches the new one.

/// No column wants the value.
pub(crate) const UNWANTED: u32 = u32::MAX;
const WIDTH: usize = 32;
/// Steps remembered, from the start of a message.
const STEPS: usize = 64;

/// The bytes from the end of one value to the start of the next.
struct Step {
    words: [u128; 2],
    masks: [u128; 2],
    raw: [u8; WIDTH],
    /// 0: never matches.
    len: usize,
    column: u32,
}

/// The steps of the last messages.
#[derive(Default)]
pub(crate) struct Shape(Vec<Step>);

impl Shape {
    /// If the bytes at `at` are those of step `number`: their count and the column that wants the value after them.
    #[inline(always)]
    pub(crate) fn matches(&self, number: usize, text: &[u8], at: usize) -> Option<(usize, u32)> {
        let step = self.0.get(number).filter(|step| step.len > 0)?;
        let rest = text.get(at..)?;
        let equal = if let Some(chunk) = rest.first_chunk::<WIDTH>() {
            let [low, high] = words(chunk);
            ((low ^ step.words[0]) & step.masks[0]) | ((high ^ step.words[1]) & step.masks[1]) == 0
        } else if let (Some(chunk), true) = (rest.first_chunk::<16>(), step.len <= 16) {
            (u128::from_le_bytes(*chunk) ^ step.words[0]) & step.masks[0] == 0
        } else {
            rest.starts_with(&step.raw[..step.len])
        };
        equal.then_some((step.len, step.column))
    }

    /// Remembers the bytes of a step, which the scanner has accepted.
    pub(crate) fn learn(&mut self, number: usize, bytes: &[u8], column: u32) {
        if number > self.0.len() || number >= STEPS {
            return;
        }
        // Bytes that do not fit into a step make one that never matches, so that those after it can be learned.
        let bytes = if bytes.len() > WIDTH { &[] } else { bytes };
        let mut raw = [0; WIDTH];
        let mut mask = [0; WIDTH];
        raw[..bytes.len()].copy_from_slice(bytes);
        mask[..bytes.len()].fill(0xFF);
        let step = Step {
            words: words(&raw),
            masks: words(&mask),
            raw,
            len: bytes.len(),
            column,
        };
        match self.0.get_mut(number) {
            Some(old) => *old = step,
            None => self.0.push(step),
        }
    }
}

fn words(bytes: &[u8; WIDTH]) -> [u128; 2] {
    let mut low = [0; 16];
    let mut high = [0; 16];
    low.copy_from_slice(&bytes[..16]);
    high.copy_from_slice(&bytes[16..]);
    [u128::from_le_bytes(low), u128::from_le_bytes(high)]
}
