//! How large a statement may be.
//!
//! Bounds the depth of trees before there is one: nothing later, neither a planner nor an engine nor the release of a tree,
//! has to fear for its stack.

use crate::error::Error;
use crate::syntax::{place, whole};
use datafusion_sql::sqlparser::keywords::Keyword;
use datafusion_sql::sqlparser::tokenizer::{Token, TokenWithSpan};

/// Tokens of one statement: bounds the time to plan it.
const MAX_STATEMENT_TOKENS: usize = 100_000;

/// Operators in one expression. `1 + 1 + 1 + ...` nests to the left without parentheses, and what evaluates an expression
/// later, on the stack of some thread, recurses over it.
const MAX_CHAIN: usize = 500;

/// Joins and set operations of one statement, which nest in the same way.
const MAX_RELATIONS: usize = 500;

/// Refuses statements whose tree would be too deep, before there is a tree.
pub(crate) fn bounded(tokens: &[TokenWithSpan]) -> Result<(), Error> {
    if tokens.len() > MAX_STATEMENT_TOKENS {
        return Err(Error::new(format!(
            "the statement has more than {MAX_STATEMENT_TOKENS} words and signs"
        ))
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
            return Err(Error::new(format!(
                "more than {MAX_RELATIONS} joins and set operations in one statement"
            ))
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
