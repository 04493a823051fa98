//! From text to statements: tokens and grammar.
//!
//! The text is tokenised once and parsed once by sqlparser. `CREATE TABLE` is read here from sqlparser's tokens, since
//! Arroyo's `WATERMARK FOR`, `METADATA FROM` and free option values are not in its grammar; types and expressions inside of it
//! are sqlparser's. A statement with a mistake is left at its semicolon and the next one is read, so that one run reports all.

use crate::error::{Error, Span};
use datafusion::sql::sqlparser::ast::{self, DataType, Expr, Ident, Insert, ObjectName, Query, Value};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{self, Token, TokenWithSpan, Tokenizer};

/// Nesting of queries and expressions that the parser follows.
const MAX_NESTING: usize = 100;

/// Tokens of one statement: bounds the time to plan it.
const MAX_STATEMENT_TOKENS: usize = 100_000;

/// Operators in one expression. `1 + 1 + 1 + ...` nests to the left without parentheses, and what evaluates an expression
/// later, on the stack of some thread, recurses over it.
const MAX_CHAIN: usize = 500;

/// Joins and set operations of one statement, which nest in the same way.
const MAX_RELATIONS: usize = 500;

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

/// `CREATE TABLE` as written.
#[derive(Debug)]
pub(crate) struct CreateTable {
    pub name: Ident,
    pub columns: Vec<ColumnDef>,
    pub watermarks: Vec<Watermark>,
    pub options: Vec<TableOption>,
}

/// One column as written.
#[derive(Debug)]
pub(crate) struct ColumnDef {
    pub name: Ident,
    pub data_type: DataType,
    pub type_span: Span,
    pub not_null: bool,
    pub metadata: Option<(String, Span)>,
    pub generated: Option<(Expr, Span)>,
}

/// `WATERMARK FOR column [AS expr]`.
#[derive(Debug)]
pub(crate) struct Watermark {
    pub column: Ident,
    pub expr: Option<Expr>,
    pub span: Span,
}

/// `key = value` of `WITH`.
#[derive(Debug)]
pub(crate) struct TableOption {
    pub key: String,
    pub value: String,
    pub key_span: Span,
    pub value_span: Span,
}

/// The statements that could be read, and the mistakes of the others.
pub(crate) fn parse(sql: &str) -> (Vec<Parsed>, Vec<Error>) {
    let dialect = GenericDialect;
    let tokens = match Tokenizer::new(&dialect, sql).tokenize_with_location() {
        Ok(tokens) => tokens,
        Err(e) => {
            let at = e.location;
            let span = Span { line: at.line, column: at.column, end_line: at.line, end_column: at.column + 1 };
            return (Vec::new(), vec![Error::new(e.message).at(span)]);
        }
    };
    let mut statements = Vec::new();
    let mut errors = Vec::new();
    for tokens in split(tokens) {
        let span = whole(&tokens);
        if let Err(e) = bounded(&tokens) {
            errors.push(e);
            continue;
        }
        let mut parser = Parser::new(&dialect).with_recursion_limit(MAX_NESTING).with_tokens_with_locations(tokens);
        match statement(&mut parser).and_then(|kind| {
            let next = parser.peek_token();
            if next.token == Token::EOF { Ok(kind) } else { Err(unexpected("the end of the statement", &next)) }
        }) {
            Ok(kind) => statements.push(Parsed { kind, span }),
            Err(e) => errors.push(e.at(span)),
        }
    }
    (statements, errors)
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
fn whole(tokens: &[TokenWithSpan]) -> Span {
    let mut solid = tokens.iter().filter(|t| !matches!(t.token, Token::Whitespace(_)));
    let first = solid.next().map(|t| t.span).unwrap_or_else(tokenizer::Span::empty);
    let last = solid.next_back().map(|t| t.span).unwrap_or(first);
    Span { line: first.start.line, column: first.start.column, end_line: last.end.line, end_column: last.end.column }
}

/// Refuses statements whose tree would be too deep, before there is a tree.
fn bounded(tokens: &[TokenWithSpan]) -> Result<(), Error> {
    if tokens.len() > MAX_STATEMENT_TOKENS {
        return Err(Error::new(format!("the statement has more than {MAX_STATEMENT_TOKENS} words and signs"))
            .at(whole(tokens))
            .hint("split it into views"));
    }
    let mut chains = vec![0_usize];
    let mut relations = 0_usize;
    for token in tokens {
        let operator = match &token.token {
            Token::LParen | Token::LBrace => {
                chains.push(0);
                false
            }
            Token::RParen | Token::RBrace => {
                if chains.len() > 1 {
                    chains.pop();
                }
                false
            }
            Token::Word(word) if word.quote_style.is_none() => match word.keyword {
                Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT | Keyword::JOIN => {
                    relations += 1;
                    false
                }
                Keyword::SELECT | Keyword::WHERE | Keyword::GROUP | Keyword::HAVING | Keyword::ON => {
                    restart(&mut chains);
                    false
                }
                keyword => operator_word(keyword),
            },
            Token::Comma => {
                restart(&mut chains);
                false
            }
            // A subscript or an array type nests with each bracket, so that the brackets count themselves.
            Token::RBracket | Token::Period | Token::Word(_) | Token::Whitespace(_) | Token::Number(..) => false,
            Token::SingleQuotedString(_) => false,
            _ => true,
        };
        if let (true, Some(chain)) = (operator, chains.last_mut()) {
            *chain += 1;
        }
        if chains.last().is_some_and(|chain| *chain > MAX_CHAIN) {
            return Err(Error::new(format!("more than {MAX_CHAIN} operators in one expression"))
                .at(place(token.span))
                .hint("use IN (...) for long lists, or compute parts of it in a query below"));
        }
        if relations > MAX_RELATIONS {
            return Err(Error::new(format!("more than {MAX_RELATIONS} joins and set operations in one statement"))
                .at(place(token.span))
                .hint("split it into several INSERTs"));
        }
    }
    Ok(())
}

fn restart(chains: &mut [usize]) {
    if let Some(chain) = chains.last_mut() {
        *chain = 0;
    }
}

/// Operators that are words.
fn operator_word(keyword: Keyword) -> bool {
    matches!(
        keyword,
        Keyword::AND
            | Keyword::OR
            | Keyword::XOR
            | Keyword::NOT
            | Keyword::IS
            | Keyword::IN
            | Keyword::LIKE
            | Keyword::ILIKE
            | Keyword::RLIKE
            | Keyword::REGEXP
            | Keyword::SIMILAR
            | Keyword::BETWEEN
            | Keyword::DIV
            | Keyword::AT
            | Keyword::COLLATE
            | Keyword::OVERLAPS
            | Keyword::OPERATOR
            | Keyword::NOTNULL
    )
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
    let refuse = |what: &str| Err(Error::new(format!("{what} is not supported")).at(place(first.span)).hint(supported));
    match parser.parse_statement().map_err(syntax)? {
        ast::Statement::Query(query) => Ok(Statement::Query(query)),
        ast::Statement::Insert(insert) => Ok(Statement::Insert(Box::new(insert))),
        ast::Statement::CreateView(view) => {
            if view.materialized {
                return refuse("CREATE MATERIALIZED VIEW");
            }
            let columns = view.columns.into_iter().map(|c| c.name).collect();
            Ok(Statement::CreateView { name: simple_name(&view.name)?, columns, query: view.query })
        }
        ast::Statement::Set(_) => Err(Error::new("SET is not supported")
            .at(place(first.span))
            .hint("updating_ttl belongs to updating tables, which are outside of the portable subset; group by a window")),
        _ => refuse(&first.token.to_string().to_uppercase()),
    }
}

/// Reads `CREATE [TEMPORARY] TABLE`; `None` if another `CREATE` stands there (nothing is consumed then).
fn create_table(parser: &mut Parser) -> Result<Option<Statement>, Error> {
    let start = parser.peek_token();
    let mut ahead = 1;
    let mut temporary = false;
    loop {
        match &parser.peek_nth_token(ahead).token {
            Token::Word(w) if matches!(w.keyword, Keyword::TEMPORARY | Keyword::TEMP) => temporary = true,
            Token::Word(w) if w.keyword == Keyword::TABLE => break,
            _ => return Ok(None),
        }
        ahead += 1;
    }
    for _ in 0..=ahead {
        parser.next_token();
    }
    if temporary {
        return Err(Error::new("temporary (lookup) tables are not supported")
            .at(place(start.span))
            .hint("declare a source table and join it by window"));
    }
    if parser.parse_keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS]) {
        return Err(Error::new("IF NOT EXISTS is not supported").at(place(parser.get_current_token().span)));
    }
    let name = simple_name(&parser.parse_object_name(false).map_err(syntax)?)?;
    let mut columns = Vec::new();
    let mut watermarks = Vec::new();
    if parser.consume_token(&Token::LParen) {
        loop {
            element(parser, &mut columns, &mut watermarks)?;
            if parser.consume_token(&Token::Comma) {
                continue;
            }
            expect(parser, &Token::RParen, "',' or ')' after a column")?;
            break;
        }
    }
    let mut options = Vec::new();
    if parser.parse_keyword(Keyword::WITH) {
        expect(parser, &Token::LParen, "'(' after WITH")?;
        while parser.peek_token().token != Token::RParen {
            options.push(option(parser)?);
            if !parser.consume_token(&Token::Comma) {
                break;
            }
        }
        expect(parser, &Token::RParen, "',' or ')' after an option")?;
    }
    let next = parser.peek_token();
    if parser.parse_keyword(Keyword::AS) {
        if !columns.is_empty() || !watermarks.is_empty() || !options.is_empty() {
            return Err(Error::new("CREATE TABLE ... AS takes neither columns nor WITH")
                .at(place(next.span))
                .hint("declare the table and write it with INSERT INTO"));
        }
        let query = parser.parse_query().map_err(syntax)?;
        return Ok(Some(Statement::CreateView { name, columns: Vec::new(), query }));
    }
    if parser.parse_keyword(Keyword::PARTITIONED) {
        return Err(Error::new("PARTITIONED BY is not supported").at(place(next.span)));
    }
    Ok(Some(Statement::CreateTable(Box::new(CreateTable { name, columns, watermarks, options }))))
}

/// One element of the parentheses: a column or a watermark.
fn element(parser: &mut Parser, columns: &mut Vec<ColumnDef>, watermarks: &mut Vec<Watermark>) -> Result<(), Error> {
    let first = parser.peek_token();
    if let Token::Word(word) = &first.token
        && word.quote_style.is_none()
    {
        let next = parser.peek_nth_token(1).token;
        let is = |token: &Token, keyword| matches!(token, Token::Word(w) if w.quote_style.is_none() && w.keyword == keyword);
        if word.value.eq_ignore_ascii_case("watermark") && is(&next, Keyword::FOR) {
            parser.next_token();
            parser.next_token();
            let column = parser.parse_identifier().map_err(syntax)?;
            let expr = if parser.parse_keyword(Keyword::AS) { Some(parser.parse_expr().map_err(syntax)?) } else { None };
            let span = join(first.span, parser.get_current_token().span);
            watermarks.push(Watermark { column, expr, span });
            return Ok(());
        }
        let constraint = matches!(word.keyword, Keyword::CONSTRAINT | Keyword::FOREIGN | Keyword::CHECK)
            || (matches!(word.keyword, Keyword::PRIMARY) && is(&next, Keyword::KEY))
            || (word.keyword == Keyword::UNIQUE && next == Token::LParen);
        if constraint {
            return Err(Error::new("table constraints are not supported")
                .at(place(first.span))
                .hint("allowed: WATERMARK FOR column [AS expression]; PRIMARY KEY stands behind its column"));
        }
    }
    columns.push(column(parser)?);
    Ok(())
}

fn column(parser: &mut Parser) -> Result<ColumnDef, Error> {
    let name = parser.parse_identifier().map_err(syntax)?;
    let type_start = parser.peek_token().span;
    let data_type = parser.parse_data_type().map_err(syntax)?;
    let type_span = join(type_start, parser.get_current_token().span);
    let mut column = ColumnDef { name, data_type, type_span, not_null: false, metadata: None, generated: None };
    loop {
        let next = parser.peek_token();
        let Token::Word(word) = &next.token else { return Ok(column) };
        match word.keyword {
            Keyword::NOT => {
                parser.next_token();
                keyword(parser, Keyword::NULL, "NULL after NOT")?;
                column.not_null = true;
            }
            // A primary key says nothing to an engine without updates; Arroyo does not take it for NOT NULL either.
            Keyword::PRIMARY => {
                parser.next_token();
                keyword(parser, Keyword::KEY, "KEY after PRIMARY")?;
            }
            Keyword::NULL | Keyword::UNIQUE => {
                parser.next_token();
            }
            Keyword::METADATA => {
                parser.next_token();
                keyword(parser, Keyword::FROM, "FROM after METADATA")?;
                let value = parser.next_token();
                let Token::SingleQuotedString(key) = &value.token else {
                    return Err(unexpected("a metadata key in quotes, as in METADATA FROM 'offset_id'", &value));
                };
                column.metadata = Some((key.clone(), place(value.span)));
            }
            Keyword::GENERATED => {
                parser.next_token();
                keyword(parser, Keyword::ALWAYS, "ALWAYS after GENERATED")?;
                keyword(parser, Keyword::AS, "AS after GENERATED ALWAYS")?;
                let open = parser.peek_token().span;
                expect(parser, &Token::LParen, "'(' after GENERATED ALWAYS AS")?;
                let expr = parser.parse_expr().map_err(syntax)?;
                expect(parser, &Token::RParen, "')' after the generating expression")?;
                column.generated = Some((expr, join(open, parser.get_current_token().span)));
                let _ = parser.parse_keyword(Keyword::STORED) || parser.parse_keyword(Keyword::VIRTUAL);
            }
            _ => {
                return Err(unexpected("',' or ')' after a column", &next)
                    .hint("allowed behind a type: NOT NULL, PRIMARY KEY, METADATA FROM 'key', GENERATED ALWAYS AS (expression)"));
            }
        }
    }
}

fn option(parser: &mut Parser) -> Result<TableOption, Error> {
    let key_token = parser.peek_token();
    let key = parser.parse_identifier().map_err(syntax)?.value;
    if parser.peek_token().token == Token::Period {
        return Err(unexpected("'='", &parser.peek_token()).hint("quote the names of options with dots: 'source.offset' = '...'"));
    }
    expect(parser, &Token::Eq, "'=' after the name of an option")?;
    let start = parser.peek_token().span;
    let expr = parser.parse_expr().map_err(syntax)?;
    let value_span = join(start, parser.get_current_token().span);
    let Some(value) = option_value(&expr) else {
        return Err(Error::new(format!("the value of option '{key}' must be a text, a number, a boolean or an interval")).at(value_span));
    };
    Ok(TableOption { key, value, key_span: place(key_token.span), value_span })
}

/// Options are text for connectors; numbers, booleans, names and intervals may stand without quotes as in Arroyo.
fn option_value(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) => Some(text.clone()),
            Value::Number(digits, _) => Some(digits.clone()),
            Value::Boolean(truth) => Some(truth.to_string()),
            _ => None,
        },
        Expr::Identifier(ident) => Some(ident.value.clone()),
        Expr::UnaryOp { op: ast::UnaryOperator::Minus, expr } => option_value(expr).map(|text| format!("-{text}")),
        Expr::Interval(interval) => {
            let value = option_value(&interval.value)?;
            Some(match &interval.leading_field {
                Some(unit) => format!("{value} {}", unit.to_string().to_lowercase()),
                None => value,
            })
        }
        _ => None,
    }
}

/// A name without schema or catalogue.
pub(crate) fn simple_name(name: &ObjectName) -> Result<Ident, Error> {
    match name.0.as_slice() {
        [part] => part.as_ident().cloned().ok_or_else(|| Error::new(format!("{name} is not a name"))),
        _ => Err(Error::new(format!("{name}: tables have no schema or catalogue")).at(place_known(ast::Spanned::span(name)))),
    }
}

fn expect(parser: &mut Parser, token: &Token, what: &str) -> Result<(), Error> {
    if parser.consume_token(token) { Ok(()) } else { Err(unexpected(what, &parser.peek_token())) }
}

fn keyword(parser: &mut Parser, word: Keyword, what: &str) -> Result<(), Error> {
    if parser.parse_keyword(word) { Ok(()) } else { Err(unexpected(what, &parser.peek_token())) }
}

fn unexpected(expected: &str, found: &TokenWithSpan) -> Error {
    let found_text = match &found.token {
        Token::EOF => "the end".to_string(),
        token => format!("{token}"),
    };
    Error::new(format!("expected {expected}, found {found_text}")).at(place_known(found.span))
}

/// sqlparser puts the place at the end of its message; that is the only form in which it gives it.
fn syntax(error: ParserError) -> Error {
    let message = match error {
        ParserError::RecursionLimitExceeded => {
            return Error::new(format!("queries and expressions nest deeper than {MAX_NESTING} levels")).hint("split the query into views");
        }
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
    };
    let Some((text, at)) = message.rsplit_once(" at Line: ") else {
        return Error::new(message.replace("found: EOF", "found the end"));
    };
    let numbers = at.split_once(", Column: ").map(|(line, column)| (line.trim().parse(), column.trim().parse()));
    let text = text.replace("Expected: ", "expected ").replace(", found: ", ", found ");
    match numbers {
        Some((Ok(line), Ok(column))) if line > 0 => {
            Error::new(text).at(Span { line, column, end_line: line, end_column: column + 1 })
        }
        _ => Error::new(text.replace("found EOF", "found the end")),
    }
}

/// sqlparser's ends are exclusive in fact, as ours are.
pub(crate) fn place(span: tokenizer::Span) -> Span {
    Span { line: span.start.line, column: span.start.column, end_line: span.end.line, end_column: span.end.column }
}

/// `None` for the empty span that sqlparser uses where it knows no place.
pub(crate) fn place_known(span: tokenizer::Span) -> Option<Span> {
    (span.start.line > 0).then(|| place(span))
}

fn join(from: tokenizer::Span, to: tokenizer::Span) -> Span {
    Span { line: from.start.line, column: from.start.column, end_line: to.end.line, end_column: to.end.column }
}
