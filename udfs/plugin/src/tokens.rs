//! Rust text as tokens, just as finely as bundling needs: comments, white space, words, and everything else.
//!
//! A full parser would print what it parsed in its own layout; tokens leave the text as it was written. Invariant: the tokens
//! of a text, put together, are that text.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A comment of any kind, doc comments too, without the end of its line.
    Comment,
    /// White space.
    Space,
    /// An identifier, a keyword or a number.
    Word,
    /// A string, a character, a lifetime.
    Literal,
    /// One character of anything else.
    Mark,
}

/// A token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    /// What it is.
    pub kind: Kind,
    /// Its text.
    pub text: &'a str,
}

impl Token<'_> {
    /// Whether it is this word or this mark.
    pub fn is(&self, text: &str) -> bool {
        matches!(self.kind, Kind::Word | Kind::Mark) && self.text == text
    }
}

/// The tokens of a text.
pub(crate) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (kind, length) = next(rest, first);
        let (token, behind) = rest.split_at(length);
        tokens.push(Token { kind, text: token });
        rest = behind;
    }
    tokens
}

/// The kind and the length in bytes of the token that a text begins with.
fn next(text: &str, first: char) -> (Kind, usize) {
    if text.starts_with("//") {
        return (Kind::Comment, text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        return (Kind::Comment, block_comment(text));
    }
    if first.is_whitespace() {
        return (Kind::Space, span(text, char::is_whitespace));
    }
    if first == '"' {
        return (Kind::Literal, string(text));
    }
    if first == '\'' {
        return (Kind::Literal, quote(text));
    }
    if first == '_' || first.is_alphanumeric() {
        let word = span(text, |c| c == '_' || c.is_alphanumeric());
        let behind = &text[word..];
        return match &text[..word] {
            "r" | "br" | "cr" => match raw_string(behind) {
                Some(length) => (Kind::Literal, word + length),
                None => (Kind::Word, word),
            },
            "b" | "c" if behind.starts_with('"') => (Kind::Literal, word + string(behind)),
            "b" if behind.starts_with('\'') => (Kind::Literal, word + quote(behind)),
            _ => (Kind::Word, word),
        };
    }
    (Kind::Mark, first.len_utf8())
}

fn span(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|c| !belongs(c)).unwrap_or(text.len())
}

/// Block comments nest.
fn block_comment(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest.starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// A string with escapes, which begins with a quotation mark.
fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// What follows the `r` of a raw string; `None` if it is none.
fn raw_string(text: &str) -> Option<usize> {
    let hashes = span(text, |c| c == '#');
    if !text[hashes..].starts_with('"') {
        return None;
    }
    let end = format!("\"{}", &text[..hashes]);
    let body = hashes + 1;
    Some(text[body..].find(&end).map_or(text.len(), |at| body + at + end.len()))
}

/// A character or a lifetime, which begins with an apostrophe.
fn quote(text: &str) -> usize {
    let mut characters = text.char_indices().skip(1);
    match characters.next() {
        Some((_, '\\')) => {
            // The escaped character itself may be an apostrophe.
            characters.next();
            characters
                .find(|(_, c)| *c == '\'')
                .map_or(text.len(), |(at, _)| at + 1)
        }
        Some((at, c)) => match characters.next() {
            Some((end, '\'')) => end + 1,
            _ if c == '_' || c.is_alphanumeric() => at + span(&text[at..], |c| c == '_' || c.is_alphanumeric()),
            _ => 1,
        },
        None => text.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_put_together_are_the_text() {
        let text = r##"fn a<'x>(c: char) { /* a /* b */ c */ let s = r#"// no "comment"#; b'\''; '"'; "\"//"; r#type } // end"##;
        let found = tokens(text);
        assert_eq!(found.iter().map(|token| token.text).collect::<String>(), text);
        let of = |kind: Kind| -> Vec<&str> { found.iter().filter(|t| t.kind == kind).map(|t| t.text).collect() };
        assert_eq!(of(Kind::Comment), ["/* a /* b */ c */", "// end"]);
        assert_eq!(
            of(Kind::Literal),
            ["'x", "r#\"// no \"comment\"#", "b'\\''", "'\"'", "\"\\\"//\""]
        );
    }
}
