//! A tree of modules as one: `mod x;` becomes `mod x { ... }`, without comments and tests.
//!
//! What becomes of a file:
//!
//! * comments and doc comments go, and empty lines with them;
//! * what `#[cfg(test)]` stands before goes; `#![cfg_attr(test, ...)]` goes;
//! * `crate::` becomes `crate::NAME::`, where the tree was a crate and becomes the module NAME, unless a macro says `$crate`;
//! * everything else stays as it is written.

use crate::Error;
use crate::sources::File;
use crate::tokens::{Kind, Token, tokens};

/// The tree of modules below `root` (`lib.rs` or `mod.rs`), as the body of a module. `was_crate`: the tree is a crate by itself
/// and becomes a module of this name.
///
/// # Errors
///
/// If a module that is declared is not among the files.
pub(crate) fn inline(files: &[File], root: &str, was_crate: Option<&str>) -> Result<String, Error> {
    let tree = Tree { files, was_crate };
    let mut out = String::new();
    tree.file(root, &mut out)?;
    Ok(out)
}

struct Tree<'a> {
    files: &'a [File],
    was_crate: Option<&'a str>,
}

impl Tree<'_> {
    fn file(&self, path: &str, out: &mut String) -> Result<(), Error> {
        let (_, text) = self
            .files
            .iter()
            .find(|(known, _)| *known == path)
            .ok_or_else(|| Error::Missing(path.to_owned()))?;
        let tokens = without_tests(&without_comments(&tokens(text)));
        let mut at = 0;
        while at < tokens.len() {
            let token = tokens[at];
            if let Some((module, length)) = declaration(&tokens[at..]) {
                out.push_str(&format!("mod {module} {{\n"));
                self.file(&self.path_of(path, module)?, out)?;
                out.push_str("}\n");
                at += length;
                continue;
            }
            out.push_str(token.text);
            let is_root = token.is("crate") && starts_path(&tokens[at + 1..]);
            if let Some(name) = self.was_crate
                && is_root
                && !(at > 0 && tokens[at - 1].is("$"))
            {
                out.push_str("::");
                out.push_str(name);
            }
            at += 1;
        }
        if !out.ends_with('\n') {
            out.push('\n');
        }
        Ok(())
    }

    /// Where the module that a file declares stands.
    fn path_of(&self, declared_in: &str, module: &str) -> Result<String, Error> {
        let folder = match declared_in.rsplit_once('/') {
            Some((folder, "mod.rs")) => format!("{folder}/"),
            None if matches!(declared_in, "lib.rs" | "mod.rs") => String::new(),
            _ => format!("{}/", declared_in.trim_end_matches(".rs")),
        };
        [format!("{folder}{module}.rs"), format!("{folder}{module}/mod.rs")]
            .into_iter()
            .find(|path| self.files.iter().any(|(known, _)| known == path))
            .ok_or_else(|| Error::Missing(format!("{folder}{module}.rs")))
    }
}

/// `mod x;`: the module's name, and how many tokens that is.
fn declaration<'a>(tokens: &[Token<'a>]) -> Option<(&'a str, usize)> {
    match tokens {
        [word, space, name, end, ..]
            if word.is("mod") && space.kind == Kind::Space && name.kind == Kind::Word && end.is(";") =>
        {
            Some((name.text, 4))
        }
        _ => None,
    }
}

fn starts_path(tokens: &[Token<'_>]) -> bool {
    matches!(tokens, [a, b, ..] if a.is(":") && b.is(":"))
}

/// Drops comments; of the white space around them, and of empty lines, one piece is left.
fn without_comments<'a>(tokens: &[Token<'a>]) -> Vec<Token<'a>> {
    let mut kept: Vec<Token<'a>> = Vec::with_capacity(tokens.len());
    for token in tokens.iter().filter(|token| token.kind != Kind::Comment) {
        let mut token = *token;
        if token.kind == Kind::Space {
            if let Some(line) = token.text.rfind('\n') {
                token.text = &token.text[line..];
            }
            if let Some(last) = kept.last_mut()
                && last.kind == Kind::Space
            {
                // The end of a line wins over blanks before it.
                if token.text.starts_with('\n') || !last.text.starts_with('\n') {
                    *last = token;
                }
                continue;
            }
            if kept.is_empty() {
                continue;
            }
        }
        kept.push(token);
    }
    kept
}

/// Drops what is compiled for tests only.
fn without_tests<'a>(tokens: &[Token<'a>]) -> Vec<Token<'a>> {
    let mut kept = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        let rest = &tokens[at..];
        if begins(rest, &["#", "[", "cfg", "(", "test", ")", "]"]) {
            at += 7 + item(&rest[7..]);
        } else if begins(rest, &["#", "!", "[", "cfg_attr", "(", "test", ","]) {
            at += 2 + group(&rest[2..]);
        } else {
            kept.push(tokens[at]);
            at += 1;
            continue;
        }
        if tokens.get(at).is_some_and(|token| token.kind == Kind::Space) {
            at += 1;
        }
    }
    kept
}

fn begins(tokens: &[Token<'_>], texts: &[&str]) -> bool {
    tokens.len() >= texts.len() && tokens.iter().zip(texts).all(|(token, text)| token.is(text))
}

/// How many tokens a group takes that begins with a bracket.
fn group(tokens: &[Token<'_>]) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        if ["(", "[", "{"].iter().any(|open| token.is(open)) {
            depth += 1;
        } else if [")", "]", "}"].iter().any(|close| token.is(close)) {
            depth = depth.saturating_sub(1);
            if depth == 0 {
                return at + 1;
            }
        }
    }
    tokens.len()
}

/// How many tokens an item, a statement, a field or a match arm takes: up to its `;` or the end of its braces, a field and an
/// arm up to their `,`, which within an item stands between generics.
fn item(tokens: &[Token<'_>]) -> usize {
    const ITEMS: [&str; 13] = [
        "const", "enum", "extern", "fn", "impl", "let", "mod", "static", "struct", "trait", "type", "unsafe", "use",
    ];
    let mut at = 0;
    let mut is_item = false;
    while at < tokens.len() {
        let token = tokens[at];
        is_item |= ITEMS.iter().any(|keyword| token.is(keyword));
        if token.is("{") {
            return at + group(&tokens[at..]);
        } else if token.is("(") || token.is("[") {
            at += group(&tokens[at..]);
        } else if token.is(";") || (token.is(",") && !is_item) {
            return at + 1;
        } else if token.is("}") {
            return at;
        } else {
            at += 1;
        }
    }
    tokens.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_becomes_one_module() -> Result<(), Error> {
        let files: &[File] = &[
            (
                "lib.rs",
                "//! Doc.\n#![cfg_attr(test, allow(x))]\n\nmod a;\npub use a::A; // end\n#[cfg(test)]\n#[path = \"t.rs\"]\nmod t;\n",
            ),
            (
                "a/mod.rs",
                "mod b;\n/// Doc.\npub struct A {\n    #[cfg(test)]\n    pub t: [u8; 2],\n    pub x: u8,\n}\npub(crate) use crate::a::b::B;\n",
            ),
            (
                "a/b.rs",
                "macro_rules! m { () => { $crate::a::b::B }; }\n\npub struct B;\n#[cfg(test)]\nfn t<A, B>(a: &[u8]) {\n    ();\n}\nconst S: &str = \"// crate::\";\n",
            ),
        ];
        let expected = "\
mod a {
mod b {
macro_rules! m { () => { $crate::a::b::B }; }
pub struct B;
const S: &str = \"// crate::\";
}

pub struct A {
    pub x: u8,
}
pub(crate) use crate::name::a::b::B;
}

pub use a::A;
";
        assert_eq!(inline(files, "lib.rs", Some("name"))?, expected);
        assert_eq!(
            inline(&files[..1], "lib.rs", Some("name")),
            Err(Error::Missing("a.rs".to_owned()))
        );
        Ok(())
    }
}
