//! From text to statements: tokens and grammar.
//!
//! The text is tokenised once and parsed once by sqlparser, but for `CREATE TABLE` (see [`crate::create_table`]). A statement
//! with a mistake is left at its semicolon and the next one is read, so that one run reports all.

use crate::create_table::{CreateTable, create_table};
use crate::error::{Error, Span};
use crate::size;
use datafusion_sql::sqlparser::ast::{self, Ident, Insert, ObjectName, Query};
use datafusion_sql::sqlparser::dialect::GenericDialect;
use datafusion_sql::sqlparser::keywords::Keyword;
use datafusion_sql::sqlparser::parser::{Parser, ParserError};
use datafusion_sql::sqlparser::tokenizer::{self, Token, TokenWithSpan, Tokenizer};

/// Nesting of queries and expressions that the parser follows.
const MAX_NESTING: usize = 100;

/// A statement with its place.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub kind: Statement,
    pub span: Span,
}

/// The statements of the dialect.
#[derive(Debug)]
pub(crate) enum Statement {
    CreateTable(Box<CreateTable>),
    /// `CREATE VIEW name AS query` and `CREATE TABLE name AS query`.
    CreateView {
        name: Ident,
        columns: Vec<Ident>,
        query: Box<Query>,
    },
    Insert(Box<Insert>),
    Query(Box<Query>),
}

/// The statements that could be read, and the mistakes of the others.
pub(crate) fn parse(sql: &str) -> (Vec<Parsed>, Vec<Error>) {
    let dialect = GenericDialect;
    let tokens = match Tokenizer::new(&dialect, sql).tokenize_with_location() {
        Ok(tokens) => named_behind_commas(tokens),
        Err(e) => {
            let at = e.location;
            let span = Span {
                line: at.line,
                column: at.column,
                end_line: at.line,
                end_column: at.column + 1,
            };
            return (Vec::new(), vec![Error::new(e.message).at(span)]);
        }
    };
    let mut statements = Vec::new();
    let mut errors = Vec::new();
    for tokens in split(tokens) {
        let span = whole(&tokens);
        if let Err(e) = size::bounded(&tokens) {
            errors.push(e);
            continue;
        }
        let mut parser = Parser::new(&dialect)
            .with_recursion_limit(MAX_NESTING)
            .with_tokens_with_locations(tokens);
        match statement(&mut parser).and_then(|kind| {
            let next = parser.peek_token();
            if next.token == Token::EOF {
                Ok(kind)
            } else {
                Err(unexpected("the end of the statement", &next))
            }
        }) {
            Ok(kind) => statements.push(Parsed { kind, span }),
            // Without a place of its own it is the end that came too early.
            Err(e) => errors.push(e.at(Span {
                line: span.end_line,
                column: span.end_column,
                ..span
            })),
        }
    }
    (statements, errors)
}

/// Words that can name a column, though the generic dialect takes them behind a comma for the end of a list (it allows a
/// trailing comma, Arroyo does not).
const NAMES: [Keyword; 11] = [
    Keyword::TOP,
    Keyword::OFFSET,
    Keyword::VIEW,
    Keyword::MINUS,
    Keyword::CLUSTER,
    Keyword::DISTRIBUTE,
    Keyword::SORT,
    Keyword::END,
    Keyword::VALUES,
    Keyword::FETCH,
    Keyword::RETURNING,
];

/// Makes such words behind a comma plain names.
fn named_behind_commas(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut comma = false;
    for token in &mut tokens {
        match &mut token.token {
            Token::Whitespace(_) => continue,
            Token::Word(word) if comma && NAMES.contains(&word.keyword) => word.keyword = Keyword::NoKeyword,
            _ => {}
        }
        comma = token.token == Token::Comma;
    }
    tokens
}

/// Cuts at semicolons; statements without any token fall away.
fn split(tokens: Vec<TokenWithSpan>) -> Vec<Vec<TokenWithSpan>> {
    let mut statements = Vec::new();
    let mut current = Vec::new();
    for token in tokens {
        match token.token {
            Token::SemiColon => statements.push(std::mem::take(&mut current)),
            Token::EOF => {}
            _ => current.push(token),
        }
    }
    statements.push(current);
    statements.retain(|tokens| tokens.iter().any(|t| !matches!(t.token, Token::Whitespace(_))));
    statements
}

/// From the first to the last token that is not white space.
pub(crate) fn whole(tokens: &[TokenWithSpan]) -> Span {
    let mut solid = tokens.iter().filter(|t| !matches!(t.token, Token::Whitespace(_)));
    let first = solid.next().map(|t| t.span).unwrap_or_else(tokenizer::Span::empty);
    let last = solid.next_back().map(|t| t.span).unwrap_or(first);
    Span {
        line: first.start.line,
        column: first.start.column,
        end_line: last.end.line,
        end_column: last.end.column,
    }
}

fn statement(parser: &mut Parser) -> Result<Statement, Error> {
    let first = parser.peek_token();
    if let Token::Word(word) = &first.token
        && word.keyword == Keyword::CREATE
        && let Some(table) = create_table(parser)?
    {
        return Ok(table);
    }
    let supported = "supported: CREATE TABLE, CREATE VIEW, INSERT INTO ... SELECT, SELECT";
    let refuse = |what: &str| {
        Err(Error::new(format!("{what} is not supported"))
            .at(place(first.span))
            .hint(supported))
    };
    match parser.parse_statement().map_err(syntax)? {
        ast::Statement::Query(query) => Ok(Statement::Query(query)),
        ast::Statement::Insert(insert) => Ok(Statement::Insert(Box::new(insert))),
        ast::Statement::CreateView(view) => {
            if view.materialized {
                return refuse("CREATE MATERIALIZED VIEW");
            }
            let columns = view.columns.into_iter().map(|c| c.name).collect();
            Ok(Statement::CreateView {
                name: simple_name(&view.name)?,
                columns,
                query: view.query,
            })
        }
        ast::Statement::Set(_) => Err(Error::new("SET is not supported").at(place(first.span)).hint(
            "updating_ttl belongs to updating tables, which are outside of the portable subset; group by a window",
        )),
        _ => refuse(&first.token.to_string().to_uppercase()),
    }
}

/// A name without schema or catalogue.
pub(crate) fn simple_name(name: &ObjectName) -> Result<Ident, Error> {
    match name.0.as_slice() {
        [part] => part
            .as_ident()
            .cloned()
            .ok_or_else(|| Error::new(format!("{name} is not a name"))),
        _ => {
            Err(Error::new(format!("{name}: tables have no schema or catalogue"))
                .at(place_known(ast::Spanned::span(name))))
        }
    }
}

pub(crate) fn expect(parser: &mut Parser, token: &Token, what: &str) -> Result<(), Error> {
    if parser.consume_token(token) {
        Ok(())
    } else {
        Err(unexpected(what, &parser.peek_token()))
    }
}

pub(crate) fn keyword(parser: &mut Parser, word: Keyword, what: &str) -> Result<(), Error> {
    if parser.parse_keyword(word) {
        Ok(())
    } else {
        Err(unexpected(what, &parser.peek_token()))
    }
}

pub(crate) fn unexpected(expected: &str, found: &TokenWithSpan) -> Error {
    let found_text = match &found.token {
        Token::EOF => "the end".to_string(),
        token => format!("{token}"),
    };
    Error::new(format!("expected {expected}, found {found_text}")).at(place_known(found.span))
}

/// sqlparser puts the place at the end of its message; that is the only form in which it gives it.
pub(crate) fn syntax(error: ParserError) -> Error {
    let message = match error {
        ParserError::RecursionLimitExceeded => {
            return Error::new(format!("queries and expressions nest deeper than {MAX_NESTING} levels"))
                .hint("split the query into views");
        }
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
    };
    let Some((text, at)) = message.rsplit_once(" at Line: ") else {
        return Error::new(worded(&message));
    };
    let numbers = at
        .split_once(", Column: ")
        .map(|(line, column)| (line.trim().parse(), column.trim().parse()));
    let text = worded(text);
    match numbers {
        Some((Ok(line), Ok(column))) if line > 0 => Error::new(text).at(Span {
            line,
            column,
            end_line: line,
            end_column: column + 1,
        }),
        _ => Error::new(text),
    }
}

fn worded(text: &str) -> String {
    text.replace("Expected: ", "expected ")
        .replace(", found: ", ", found ")
        .replace("found EOF", "found the end")
}

/// sqlparser's ends are exclusive in fact, as ours are.
pub(crate) fn place(span: tokenizer::Span) -> Span {
    Span {
        line: span.start.line,
        column: span.start.column,
        end_line: span.end.line,
        end_column: span.end.column,
    }
}

/// `None` for the empty span that sqlparser uses where it knows no place.
pub(crate) fn place_known(span: tokenizer::Span) -> Option<Span> {
    (span.start.line > 0).then(|| place(span))
}

pub(crate) fn join(from: tokenizer::Span, to: tokenizer::Span) -> Span {
    Span {
        line: from.start.line,
        column: from.start.column,
        end_line: to.end.line,
        end_column: to.end.column,
    }
}
