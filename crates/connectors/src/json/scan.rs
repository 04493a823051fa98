//! A strict JSON scanner over one message: finds where values are and proves that the text is JSON (RFC 8259), in one pass.
//!
//! Strings and digits are looked at eight bytes at a time in an ordinary `u64` (no intrinsics: every platform gives the
//! same answers). The lowest marked byte of such a word is exact; higher ones may be marked wrongly by a borrow or carry,
//! so that only the lowest is ever used. Cost: about a third of a nanosecond a byte. Nesting is bound to
//! [`MAX_DEPTH`] levels, so that the stack is too.

/// Objects and arrays inside each other, the outermost included; what serde_json allows.
pub(crate) const MAX_DEPTH: usize = 127;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Why a text is not JSON, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Byte of the message, counted from 0.
    pub at: usize,
    /// What is wrong there.
    pub what: &'static str,
}

/// What kind of value stands at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// No value: the key does not occur.
    Missing,
    Null,
    True,
    False,
    /// A number without fraction and exponent that fits into `i64`.
    Integer(i64),
    /// Any other number.
    Number,
    /// A string without escapes: its span is the text itself.
    Text,
    /// A string with escapes.
    Escaped,
    Object,
    Array,
}

/// A value: its kind and its bytes (strings without their quotes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub kind: Kind,
    pub start: usize,
    pub end: usize,
}

impl Token {
    pub(crate) const MISSING: Token = Token {
        kind: Kind::Missing,
        start: 0,
        end: 0,
    };
}

/// Reads a message from left to right.
pub(crate) struct Scanner<'a> {
    text: &'a [u8],
    pub at: usize,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    /// The byte at the cursor; 0 at the end, which is no legal byte outside of strings.
    #[inline(always)]
    pub(crate) fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    #[inline(always)]
    pub(crate) fn skip_space(&mut self) {
        while matches!(self.peek(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
    }

    #[cold]
    pub(crate) fn fault<T>(&self, what: &'static str) -> Result<T, Fault> {
        let what = if self.at >= self.text.len() {
            "the text ends too early"
        } else {
            what
        };
        Err(Fault { at: self.at, what })
    }

    /// Whether nothing but white space is left.
    pub(crate) fn end(&mut self) -> Result<(), Fault> {
        self.skip_space();
        if self.at < self.text.len() {
            self.fault("something follows the end of the value")
        } else {
            Ok(())
        }
    }

    /// The value at the cursor; `depth` objects and arrays are open around it.
    #[inline]
    pub(crate) fn value(&mut self, depth: usize) -> Result<Token, Fault> {
        let start = self.at;
        let kind = match self.peek() {
            b'"' => return self.string(),
            b'-' | b'0'..=b'9' => self.number()?,
            b'{' => {
                self.object(depth)?;
                Kind::Object
            }
            b'[' => {
                self.array(depth)?;
                Kind::Array
            }
            b't' => self.word(b"true", Kind::True)?,
            b'f' => self.word(b"false", Kind::False)?,
            b'n' => self.word(b"null", Kind::Null)?,
            _ => return self.fault("a value is expected here"),
        };
        Ok(Token {
            kind,
            start,
            end: self.at,
        })
    }

    fn word(&mut self, word: &'static [u8], kind: Kind) -> Result<Kind, Fault> {
        if self.text[self.at..].starts_with(word) {
            self.at += word.len();
            Ok(kind)
        } else {
            self.fault("a value is expected here")
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), Fault> {
        if depth >= MAX_DEPTH {
            return self.fault("objects and arrays are nested too deeply");
        }
        self.at += 1;
        self.skip_space();
        if self.peek() == b'}' {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.key()?;
            self.value(depth + 1)?;
            self.skip_space();
            match self.peek() {
                b',' => self.at += 1,
                b'}' => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return self.fault("a comma or a closing brace is expected here"),
            }
            self.skip_space();
        }
    }

    /// A key with its colon, up to the value.
    #[inline]
    pub(crate) fn key(&mut self) -> Result<Token, Fault> {
        if self.peek() != b'"' {
            return self.fault("a key in quotes is expected here");
        }
        let key = self.string()?;
        self.skip_space();
        if self.peek() != b':' {
            return self.fault("a colon is expected here");
        }
        self.at += 1;
        self.skip_space();
        Ok(key)
    }

    fn array(&mut self, depth: usize) -> Result<(), Fault> {
        if depth >= MAX_DEPTH {
            return self.fault("objects and arrays are nested too deeply");
        }
        self.at += 1;
        self.skip_space();
        if self.peek() == b']' {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.value(depth + 1)?;
            self.skip_space();
            match self.peek() {
                b',' => self.at += 1,
                b']' => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return self.fault("a comma or a closing bracket is expected here"),
            }
            self.skip_space();
        }
    }

    /// The string at the cursor, which stands on its opening quote.
    #[inline]
    fn string(&mut self) -> Result<Token, Fault> {
        self.at += 1;
        let start = self.at;
        let mut escaped = false;
        let mut high = 0;
        loop {
            high |= self.plain();
            match self.peek() {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    self.escape()?;
                }
                _ if self.at >= self.text.len() => return self.fault(""),
                _ => return self.fault("a control character stands unescaped in a string"),
            }
        }
        let end = self.at;
        self.at += 1;
        if high != 0
            && let Err(wrong) = std::str::from_utf8(&self.text[start..end])
        {
            return Err(Fault {
                at: start + wrong.valid_up_to(),
                what: "a string is not UTF-8",
            });
        }
        Ok(Token {
            kind: if escaped { Kind::Escaped } else { Kind::Text },
            start,
            end,
        })
    }

    /// Moves over bytes that stand for themselves in a string. Not zero if one of them is not ASCII.
    #[inline(always)]
    fn plain(&mut self) -> u64 {
        let mut high = 0;
        while let Some(chunk) = self.text[self.at..].first_chunk::<8>() {
            let word = u64::from_le_bytes(*chunk);
            let stop = (equal(word, b'"') | equal(word, b'\\') | below_space(word)) & HIGHS;
            if stop != 0 {
                let bytes = stop.trailing_zeros() / 8;
                self.at += bytes as usize;
                return high | (word & HIGHS & ((1 << (8 * bytes)) - 1));
            }
            high |= word & HIGHS;
            self.at += 8;
        }
        while let Some(&byte) = self.text.get(self.at) {
            if byte == b'"' || byte == b'\\' || byte < 0x20 {
                break;
            }
            high |= u64::from(byte & 0x80);
            self.at += 1;
        }
        high
    }

    #[cold]
    fn escape(&mut self) -> Result<(), Fault> {
        self.at += 1;
        match self.peek() {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {
                self.at += 1;
                Ok(())
            }
            b'u' => {
                let begin = self.at - 1;
                let first = self.hex()?;
                let whole = match first {
                    0xD800..=0xDBFF if self.text[self.at..].starts_with(b"\\u") => {
                        self.at += 1;
                        matches!(self.hex()?, 0xDC00..=0xDFFF)
                    }
                    0xD800..=0xDFFF => false,
                    _ => true,
                };
                if whole {
                    Ok(())
                } else {
                    Err(Fault {
                        at: begin,
                        what: "half of a surrogate pair is no character",
                    })
                }
            }
            _ => self.fault("no such escape in JSON"),
        }
    }

    /// Four hexadecimal digits after the `u` at the cursor.
    fn hex(&mut self) -> Result<u32, Fault> {
        self.at += 1;
        let mut value = 0;
        for _ in 0..4 {
            match char::from(self.peek()).to_digit(16) {
                Some(digit) => value = value * 16 + digit,
                None => return self.fault("four hexadecimal digits are expected after \\u"),
            }
            self.at += 1;
        }
        Ok(value)
    }

    #[inline]
    fn number(&mut self) -> Result<Kind, Fault> {
        let negative = self.peek() == b'-';
        self.at += usize::from(negative);
        let first = self.at;
        let mut value: u64 = 0;
        let count = self.digits(&mut value);
        if count == 0 {
            return self.fault("a digit is expected here");
        }
        if count > 1 && self.text[first] == b'0' {
            self.at = first;
            return self.fault("a number cannot begin with 0");
        }
        let mut whole = true;
        if self.peek() == b'.' {
            whole = false;
            self.at += 1;
            if self.digits(&mut 0) == 0 {
                return self.fault("a digit is expected here");
            }
        }
        if matches!(self.peek(), b'e' | b'E') {
            whole = false;
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), b'+' | b'-'));
            if self.digits(&mut 0) == 0 {
                return self.fault("a digit is expected here");
            }
        }
        // Up to 19 digits fit into u64 without overflow; longer numbers wrapped and are not looked at.
        if whole && count <= 19 {
            if negative && value <= i64::MIN.unsigned_abs() {
                return Ok(Kind::Integer((value as i64).wrapping_neg()));
            }
            if let (false, Ok(value)) = (negative, i64::try_from(value)) {
                return Ok(Kind::Integer(value));
            }
        }
        Ok(Kind::Number)
    }

    /// Moves over digits, appends them to `value` (wrapping), and counts them.
    #[inline(always)]
    fn digits(&mut self, value: &mut u64) -> usize {
        const POWERS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];
        let start = self.at;
        while let Some(chunk) = self.text[self.at..].first_chunk::<8>() {
            let word = u64::from_le_bytes(*chunk) ^ (ONES * u64::from(b'0'));
            // A digit is now 0 to 9. Adding 0x76 sets the high bit of everything above.
            let stop = (word.wrapping_add(ONES * 0x76) | word) & HIGHS;
            let bytes = stop.trailing_zeros() / 8;
            if bytes > 0 {
                *value = value
                    .wrapping_mul(POWERS[bytes as usize])
                    .wrapping_add(eight_digits(word << (8 * (8 - bytes))));
                self.at += bytes as usize;
            }
            if bytes < 8 {
                return self.at - start;
            }
        }
        while let byte @ b'0'..=b'9' = self.peek() {
            *value = value.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'));
            self.at += 1;
        }
        self.at - start
    }
}

/// Marks the bytes that equal `byte` by their high bit (the lowest mark is exact).
#[inline(always)]
fn equal(word: u64, byte: u8) -> u64 {
    let zero = word ^ (ONES * u64::from(byte));
    zero.wrapping_sub(ONES) & !zero
}

/// Marks the bytes below 0x20 (the lowest mark is exact).
#[inline(always)]
fn below_space(word: u64) -> u64 {
    word.wrapping_sub(ONES * 0x20) & !word
}

/// The number that eight bytes of 0 to 9 spell, the first byte the most significant digit (Lemire's multiplication trick).
#[inline(always)]
fn eight_digits(word: u64) -> u64 {
    let word = word.wrapping_mul(2561) >> 8;
    let word = (word & 0x00FF_00FF_00FF_00FF).wrapping_mul(6_553_601) >> 16;
    (word & 0x0000_FFFF_0000_FFFF).wrapping_mul(42_949_672_960_001) >> 32
}

/// The characters of an escaped string that the scanner has accepted.
pub(crate) fn unescape(text: &[u8]) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(slash) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..slash]);
        let code = rest.get(slash + 1).copied().unwrap_or(b'\\');
        rest = rest.get(slash + 2..).unwrap_or_default();
        let plain = match code {
            b'b' => 0x08,
            b'f' => 0x0C,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let mut unit = hex4(rest);
                rest = rest.get(4..).unwrap_or_default();
                if (0xD800..0xDC00).contains(&unit) {
                    let low = hex4(rest.get(2..).unwrap_or_default());
                    unit = 0x10000 + ((unit - 0xD800) << 10) + (low.wrapping_sub(0xDC00) & 0x3FF);
                    rest = rest.get(6..).unwrap_or_default();
                }
                let character = char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER);
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            other => other,
        };
        out.push(plain);
    }
    out.extend_from_slice(rest);
    String::from_utf8(out).unwrap_or_else(|wrong| String::from_utf8_lossy(wrong.as_bytes()).into_owned())
}

fn hex4(text: &[u8]) -> u32 {
    text.iter().take(4).fold(0, |value, &digit| {
        value * 16 + char::from(digit).to_digit(16).unwrap_or(0)
    })
}
