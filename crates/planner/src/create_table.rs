//! The grammar of `CREATE TABLE`.
//!
//! Arroyo's `WATERMARK FOR`, `METADATA FROM` and unquoted option values are not in sqlparser's grammar, so that the statement
//! is read here, from sqlparser's tokens; types and expressions inside of it are sqlparser's.

use crate::error::{Error, Span};
use crate::syntax::{Statement, expect, join, keyword, place, simple_name, syntax, unexpected};
use datafusion_sql::sqlparser::ast::{self, DataType, Expr, Ident, Value};
use datafusion_sql::sqlparser::keywords::Keyword;
use datafusion_sql::sqlparser::parser::Parser;
use datafusion_sql::sqlparser::tokenizer::Token;

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
    pub written: Written,
    pub key_span: Span,
    pub value_span: Span,
}

/// How the value of an option is written. The embedded engine takes all of them; see [`crate::arroyo`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// In single quotes.
    Text,
    Number,
    Boolean,
    /// A name without quotes.
    Word,
    Other,
}

/// Reads `CREATE [TEMPORARY] TABLE`; `None` if another `CREATE` stands there (nothing is consumed then).
pub(crate) fn create_table(parser: &mut Parser) -> Result<Option<Statement>, Error> {
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
        return Ok(Some(Statement::CreateView {
            name,
            columns: Vec::new(),
            query,
        }));
    }
    if parser.parse_keyword(Keyword::PARTITIONED) {
        return Err(Error::new("PARTITIONED BY is not supported").at(place(next.span)));
    }
    Ok(Some(Statement::CreateTable(Box::new(CreateTable {
        name,
        columns,
        watermarks,
        options,
    }))))
}

/// One element of the parentheses: a column or a watermark.
fn element(parser: &mut Parser, columns: &mut Vec<ColumnDef>, watermarks: &mut Vec<Watermark>) -> Result<(), Error> {
    let first = parser.peek_token();
    if let Token::Word(word) = &first.token
        && word.quote_style.is_none()
    {
        let next = parser.peek_nth_token(1).token;
        let is =
            |token: &Token, keyword| matches!(token, Token::Word(w) if w.quote_style.is_none() && w.keyword == keyword);
        if word.value.eq_ignore_ascii_case("watermark") && is(&next, Keyword::FOR) {
            parser.next_token();
            parser.next_token();
            let column = parser.parse_identifier().map_err(syntax)?;
            let expr = if parser.parse_keyword(Keyword::AS) {
                Some(parser.parse_expr().map_err(syntax)?)
            } else {
                None
            };
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
    let mut column = ColumnDef {
        name,
        data_type,
        type_span,
        not_null: false,
        metadata: None,
        generated: None,
    };
    loop {
        let next = parser.peek_token();
        let Token::Word(word) = &next.token else {
            return Ok(column);
        };
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
                    return Err(unexpected(
                        "a metadata key in quotes, as in METADATA FROM 'offset_id'",
                        &value,
                    ));
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
        return Err(unexpected("'='", &parser.peek_token())
            .hint("quote the names of options with dots: 'source.offset' = '...'"));
    }
    expect(parser, &Token::Eq, "'=' after the name of an option")?;
    let start = parser.peek_token().span;
    let expr = parser.parse_expr().map_err(syntax)?;
    let value_span = join(start, parser.get_current_token().span);
    let Some(value) = option_value(&expr) else {
        return Err(Error::new(format!(
            "the value of option '{key}' must be a text, a number, a boolean or an interval"
        ))
        .at(value_span));
    };
    Ok(TableOption {
        key,
        value,
        written: written(&expr),
        key_span: place(key_token.span),
        value_span,
    })
}

fn written(expr: &Expr) -> Written {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(_) => Written::Text,
            Value::Number(..) => Written::Number,
            Value::Boolean(_) => Written::Boolean,
            _ => Written::Other,
        },
        Expr::Identifier(_) => Written::Word,
        _ => Written::Other,
    }
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
        Expr::UnaryOp {
            op: ast::UnaryOperator::Minus,
            expr,
        } => option_value(expr).map(|text| format!("-{text}")),
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
