//! Syntax: from a text to its tree, and to the one text that all trees of this shape are written as.
//!
//! White space, comments, the case of keywords and of function names, needless quotes and needless parentheses
//! do not count. What counts is kept: `a + b` and `b + a` are two expressions.

use std::fmt;
use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, Ident, ObjectNamePart, UnaryOperator, Visit, VisitMut, Visitor, VisitorMut,
};
use sqlparser::dialect::Dialect;
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::ExpressionError;
use super::planning::first_line;

/// The longest text of an expression.
///
/// Unit: bytes. Source: guess; the longest in published queries is about 600.
pub const TEXT_BYTES_MAX: usize = 4096;

/// How deep an expression may be: an operator in a chain adds 1, everything else that encloses adds
/// [`ENCLOSURE_DEPTH`].
///
/// That is a chain of 50 operators, or 10 calls in one another. Unit: levels. Source: tried on a thread of
/// 2 MiB without optimization: chains overflow its stack between 100 and 150 operators, calls between 20
/// and 23. The tests' deep texts pass with two thirds of that stack.
pub const DEPTH_MAX: usize = 50;

/// What parentheses, a call, a case or any other form adds to the depth of what stands in it.
///
/// Unit: levels. Source: see [`DEPTH_MAX`]; planning a call takes about five times the stack of an operator.
pub const ENCLOSURE_DEPTH: usize = 5;

/// How deep the parser may call itself, and how deep brackets may stand in one another.
///
/// Unit: calls. Source: tried like [`DEPTH_MAX`]: a call of the parser takes up to 85 KiB of stack.
const PARSER_DEPTH_MAX: usize = 14;

/// A valid text: its tree, and itself in its one form.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Syntax {
    tree: Expr,
    text: String,
}

impl Syntax {
    pub(crate) const fn tree(&self) -> &Expr {
        &self.tree
    }

    pub(crate) fn into_text(self) -> String {
        self.text
    }
}

impl fmt::Display for Syntax {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Parses `text`, normalizes it, and makes sure that the normal form is one: that it is read as what it says.
pub(crate) fn parse(text: &str) -> Result<Syntax, ExpressionError> {
    let tree = read(text)?;
    for form in [Form::Bare, Form::Quoted] {
        let mut tree = tree.clone();
        form.apply(&mut tree);
        let text = tree.to_string();
        match read(&text) {
            Ok(again) if again == tree => return Ok(Syntax { tree, text }),
            Err(error @ (ExpressionError::TooDeep | ExpressionError::TooLong(_))) => {
                return Err(error);
            }
            Ok(_) | Err(_) => {}
        }
    }
    Err(ExpressionError::Refused {
        what: format!("{text:?}"),
        reason: "its meaning changes when it is written in normal form",
    })
}

/// The tree of a text that may be hostile.
fn read(text: &str) -> Result<Expr, ExpressionError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(ExpressionError::TooLong(text.len()));
    }
    let tokens = Tokenizer::new(&Sql, text)
        .tokenize_with_location()
        .map_err(|error| ExpressionError::Syntax(first_line(&error.to_string())))?;
    check_tokens(&tokens)?;
    let mut parser = Parser::new(&Sql)
        .with_recursion_limit(PARSER_DEPTH_MAX)
        .with_tokens_with_locations(tokens);
    let tree = parser.parse_expr().map_err(syntax_error)?;
    let behind = parser.peek_token();
    if behind.token != Token::EOF {
        let message = format!(
            "{} stands behind the expression{}",
            behind.token, behind.span.start
        );
        return Err(ExpressionError::Syntax(message));
    }
    let deep = Visit::visit(&tree, &mut Depth(0));
    if deep.is_break() {
        return Err(ExpressionError::TooDeep);
    }
    Ok(tree)
}

fn syntax_error(error: ParserError) -> ExpressionError {
    match error {
        ParserError::RecursionLimitExceeded => ExpressionError::TooDeep,
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => {
            ExpressionError::Syntax(first_line(&message))
        }
    }
}

/// Refuses what the parser would follow without looking at its own limit: brackets in types, and intervals of
/// intervals.
fn check_tokens(tokens: &[TokenWithSpan]) -> Result<(), ExpressionError> {
    let mut depth = 0_usize;
    let mut is_empty = true;
    let mut is_behind_interval = false;
    for token in tokens {
        match &token.token {
            Token::Whitespace(_) => continue,
            Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
            Token::RParen | Token::RBracket | Token::RBrace => depth = depth.saturating_sub(1),
            _ => {}
        }
        let is_interval =
            matches!(&token.token, Token::Word(word) if word.keyword == Keyword::INTERVAL);
        if depth > PARSER_DEPTH_MAX || (is_interval && is_behind_interval) {
            return Err(ExpressionError::TooDeep);
        }
        is_behind_interval = is_interval;
        is_empty &= token.token == Token::EOF;
    }
    if is_empty {
        return Err(ExpressionError::Empty);
    }
    Ok(())
}

/// The SQL of expressions: what all dialects share, and conditions on aggregates.
///
/// A dialect of our own has no forms that read the same text differently, and none that nest without a limit.
#[derive(Debug)]
struct Sql;

impl Dialect for Sql {
    fn is_identifier_start(&self, character: char) -> bool {
        character.is_alphabetic() || character == '_'
    }

    fn is_identifier_part(&self, character: char) -> bool {
        character.is_alphanumeric() || character == '_'
    }

    fn is_delimited_identifier_start(&self, character: char) -> bool {
        character == '"'
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }

    /// An array type without an element type is not known to the planner: so none is.
    fn supports_array_typedef_without_element_type(&self) -> bool {
        true
    }
}

/// Looks how deep a tree is, and no deeper than allowed.
struct Depth(usize);

impl Visitor for Depth {
    type Break = ();

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<()> {
        self.0 += depth_of(expression);
        if self.0 > DEPTH_MAX {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expression: &Expr) -> ControlFlow<()> {
        self.0 -= depth_of(expression);
        ControlFlow::Continue(())
    }
}

const fn depth_of(expression: &Expr) -> usize {
    match expression {
        Expr::Identifier(_) | Expr::Value(_) => 0,
        Expr::BinaryOp { .. } => 1,
        _ => ENCLOSURE_DEPTH,
    }
}

/// How names are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Without quotes where a name is read as one without them.
    Bare,
    /// Always in quotes: for the rare places where a bare name would be read as a keyword.
    Quoted,
}

impl Form {
    fn apply(mut self, tree: &mut Expr) {
        let complete = VisitMut::visit(tree, &mut self);
        debug_assert!(complete.is_continue(), "nothing breaks off a normalization");
        while let Expr::Nested(inner) = tree {
            *tree = take(inner);
        }
    }

    fn write(self, name: &mut Ident) {
        let is_bare = self == Self::Bare && is_name(&name.value);
        name.quote_style = (!is_bare).then_some('"');
    }
}

impl VisitorMut for Form {
    type Break = ();

    fn pre_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expression {
            for part in &mut function.name.0 {
                if let ObjectNamePart::Identifier(name) = part
                    && name.quote_style.is_none()
                {
                    name.value = name.value.to_lowercase();
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<()> {
        match expression {
            Expr::Identifier(name) => self.write(name),
            Expr::Nested(inner) if is_closed(inner) => *expression = take(inner),
            Expr::UnaryOp {
                op: UnaryOperator::Minus,
                expr,
            } if matches!(**expr, Expr::UnaryOp { .. }) => {
                // Two signs in a row would be written, and read, as the beginning of a comment.
                **expr = Expr::Nested(Box::new(take(expr)));
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn take(expression: &mut Expr) -> Expr {
    std::mem::replace(expression, Expr::Identifier(Ident::new("")))
}

/// Whether parentheses around it change nothing, wherever it stands.
const fn is_closed(expression: &Expr) -> bool {
    matches!(
        expression,
        Expr::Identifier(_) | Expr::Value(_) | Expr::Nested(_) | Expr::Function(_)
    )
}

/// Whether a word alone, without quotes, is read as a name.
fn is_name(word: &str) -> bool {
    let tokens = Tokenizer::new(&Sql, word).tokenize();
    let Ok(tokens) = tokens else {
        return false;
    };
    let mut parser = Parser::new(&Sql).with_tokens(tokens);
    let read = parser.parse_expr();
    let is_all = parser.peek_token().token == Token::EOF;
    is_all
        && matches!(read, Ok(Expr::Identifier(name)) if name.value == word && name.quote_style.is_none())
}
