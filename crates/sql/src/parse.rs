//! Text to tree: one query, within bounds.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{
    Expr, ObjectName, Query, Spanned, Statement, TableFactor, Visit, Visitor,
};
use datafusion_sql::sqlparser::keywords::Keyword;
use datafusion_sql::sqlparser::parser::{Parser, ParserError};
use datafusion_sql::sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer};
use millstream_core::Error;

use crate::asof;
use crate::complain::{Complaint, Place};
use crate::dialect::StreamDialect;
use crate::rewrite::set_right;
use crate::windowed;

/// A view's SQL is no longer than this.
pub(crate) const SQL_BYTES_MAX: usize = 64 * 1024;
/// Expressions nest no deeper than this, so that computing them needs no more stack than a thread has.
pub(crate) const DEPTH_MAX: usize = 100;
/// Depth at which the parser itself gives up; parentheses count here and not in [`DEPTH_MAX`].
const PARSER_DEPTH_MAX: usize = 1000;
/// Brackets nest no deeper than this.
const BRACKETS_MAX: usize = 200;

/// A view's query and the tokens it was made of.
pub(crate) struct Parsed {
    pub query: Box<Query>,
    pub tokens: Tokens,
}

/// Reads a view's SQL as one query.
pub(crate) fn parse(sql: &str) -> Result<Parsed, Complaint> {
    if sql.len() > SQL_BYTES_MAX {
        return Err(Complaint::new(
            None,
            Error::stop(format!("the query has {} bytes, {SQL_BYTES_MAX} are the most", sql.len()))
                .fix("split it into several views"),
        ));
    }
    let dialect = StreamDialect;
    let tokens = Tokenizer::new(&dialect, sql)
        .tokenize_with_location()
        .map_err(|e| syntax(&e.message, Some(e.location)))?;
    let tokens: Vec<TokenWithSpan> = tokens
        .into_iter()
        // The dialect reads `?` as a parameter, which a view cannot have; here it asks for a JSON key.
        .map(|mut t| {
            if matches!(&t.token, Token::Placeholder(p) if p == "?") {
                t.token = Token::Question;
            }
            t
        })
        .collect();
    nests_too_deep(&tokens)?;
    let tokens = asof::plain(windowed::short(tokens)?)?;
    let statements = Parser::new(&dialect)
        .with_recursion_limit(PARSER_DEPTH_MAX)
        .with_tokens_with_locations(tokens.clone())
        .parse_statements()
        .map_err(|e| parser_error(&e))?;
    let tokens = Tokens(tokens);
    let mut query = only_query(statements, &tokens)?;
    too_deep(&query)?;
    set_right(&mut query);
    Ok(Parsed { query, tokens })
}

impl Parsed {
    /// Names of tables and views that are read; names of CTEs are not among them.
    pub(crate) fn reads(&self) -> Vec<(String, Option<Place>)> {
        let mut look = Relations::default();
        let _all = self.query.visit(&mut look);
        look.found
    }
}

/// The relations of a query, in order, each once.
#[derive(Default)]
struct Relations {
    ctes: Vec<Vec<String>>,
    seen: BTreeSet<String>,
    /// The next name is a function's.
    call: bool,
    found: Vec<(String, Option<Place>)>,
}

impl Visitor for Relations {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let names = query.with.iter().flat_map(|w| &w.cte_tables);
        self.ctes.push(names.map(|c| c.alias.name.value.clone()).collect());
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.ctes.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, table: &TableFactor) -> ControlFlow<()> {
        if let Some(call) = windowed::read(table) {
            self.found(call.table.value.clone(), place(call.table.span));
        }
        self.call = matches!(table, TableFactor::Table { args: Some(_), .. });
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        if std::mem::take(&mut self.call) {
            return ControlFlow::Continue(());
        }
        let name = relation
            .0
            .iter()
            .map(|p| p.as_ident().map_or_else(|| p.to_string(), |i| i.value.clone()))
            .collect::<Vec<_>>()
            .join(".");
        self.found(name, place(relation.span()));
        ControlFlow::Continue(())
    }
}

impl Relations {
    fn found(&mut self, name: String, place: Option<Place>) {
        let is_cte = self.ctes.iter().flatten().any(|c| *c == name);
        if !is_cte && self.seen.insert(name.clone()) {
            self.found.push((name, place));
        }
    }
}

/// Where a span starts, if it is known.
pub(crate) fn place(span: Span) -> Option<Place> {
    at(span.start)
}

fn at(start: Location) -> Option<Place> {
    let (line, column) = (usize::try_from(start.line).ok()?, usize::try_from(start.column).ok()?);
    (line > 0 && column > 0).then_some((line, column))
}

fn only_query(statements: Vec<Statement>, tokens: &Tokens) -> Result<Box<Query>, Complaint> {
    let fix = "a view is one `SELECT … FROM …`";
    let mut statements = statements.into_iter();
    let Some(first) = statements.next() else {
        return Err(Complaint::new(None, Error::stop("the query is empty").fix(fix)));
    };
    if statements.next().is_some() {
        let second = tokens.after_first(&Token::SemiColon);
        let what = "a view is one query, and here are several";
        return Err(Complaint::new(
            second,
            Error::stop(what).fix("make each query a view of its own"),
        ));
    }
    match first {
        Statement::Query(query) => Ok(query),
        _ => {
            let word = tokens.first_word().unwrap_or_default().to_uppercase();
            let what = format!("`{word}` is no query: a view can only read");
            Err(Complaint::new(tokens.first(), Error::stop(what).fix(fix)))
        }
    }
}

fn parser_error(e: &ParserError) -> Complaint {
    match e {
        ParserError::RecursionLimitExceeded => too_deep_error(None),
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => {
            // The place stands at the end of the text: ` at Line: 1, Column: 8`.
            let (what, place) = match text.rsplit_once(" at Line: ") {
                Some((what, rest)) => {
                    let mut numbers = rest.split(", Column: ").map(|n| n.trim().parse::<u64>());
                    match (numbers.next(), numbers.next()) {
                        (Some(Ok(line)), Some(Ok(column))) => {
                            (what, Some(Location { line, column }))
                        }
                        _ => (text.as_str(), None),
                    }
                }
                None => (text.as_str(), None),
            };
            syntax(what, place)
        }
    }
}

/// A syntax error in our words: `Expected: x, found: y` of the parser becomes `y` where `x` is expected.
fn syntax(text: &str, location: Option<Location>) -> Complaint {
    let place = location.and_then(at);
    let parts = text.strip_prefix("Expected: ").and_then(|t| t.split_once(", found: "));
    let error = match parts {
        Some((wanted, "EOF")) => {
            Error::stop(format!("the query ends where {} is expected", wanted.trim()))
        }
        Some((wanted, found)) => {
            Error::stop(format!("`{}` stands where {} is expected", found.trim(), wanted.trim()))
        }
        None => {
            let mut text = text.trim().trim_start_matches("sql parser error: ").to_owned();
            if let Some(first) = text.get(..1).map(str::to_lowercase) {
                text.replace_range(..1, &first);
            }
            Error::stop(format!("the query cannot be read: {text}"))
        }
    };
    let error = if location.is_none() || parts.is_none() {
        error.fix("a view is one `SELECT … FROM …`")
    } else {
        error
    };
    Complaint::new(place, error)
}

fn too_deep_error(place: Option<Place>) -> Complaint {
    let what = format!("an expression is nested deeper than {DEPTH_MAX} levels");
    Complaint::new(
        place,
        Error::stop(what)
            .fix("write `x IN (…)` for many `x = … OR …`, or compute parts in a view of their own"),
    )
}

/// Refuses what nests deeper than the parser goes: it does not always say so itself.
fn nests_too_deep(tokens: &[TokenWithSpan]) -> Result<(), Complaint> {
    let (mut brackets, mut cases, mut signs) = (0_usize, 0_usize, 0_usize);
    for t in tokens.iter().filter(|t| !matches!(t.token, Token::Whitespace(_))) {
        let mut sign = false;
        match &t.token {
            Token::LParen | Token::LBracket | Token::LBrace => brackets += 1,
            Token::RParen | Token::RBracket | Token::RBrace => {
                brackets = brackets.saturating_sub(1);
            }
            Token::Minus | Token::Plus | Token::Tilde => sign = true,
            Token::Word(w) if w.quote_style.is_none() => match w.keyword {
                Keyword::CASE => cases += 1,
                Keyword::END => cases = cases.saturating_sub(1),
                Keyword::NOT => sign = true,
                _ => {}
            },
            _ => {}
        }
        signs = if sign { signs + 1 } else { 0 };
        if brackets > BRACKETS_MAX || cases > DEPTH_MAX || signs > DEPTH_MAX {
            return Err(too_deep_error(place(t.span)));
        }
    }
    Ok(())
}

fn too_deep(query: &Query) -> Result<(), Complaint> {
    let mut look = Depth(0);
    match query.visit(&mut look) {
        ControlFlow::Break(place) => Err(too_deep_error(place)),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Depth(usize);

impl Visitor for Depth {
    type Break = Option<Place>;

    fn pre_visit_expr(&mut self, e: &Expr) -> ControlFlow<Option<Place>> {
        if matches!(e, Expr::Nested(_)) {
            return ControlFlow::Continue(());
        }
        self.0 += 1;
        if self.0 > DEPTH_MAX { ControlFlow::Break(None) } else { ControlFlow::Continue(()) }
    }

    fn post_visit_expr(&mut self, e: &Expr) -> ControlFlow<Option<Place>> {
        if !matches!(e, Expr::Nested(_)) {
            self.0 -= 1;
        }
        ControlFlow::Continue(())
    }
}

/// The tokens of a query, to find keywords that the tree has no place for.
pub(crate) struct Tokens(Vec<TokenWithSpan>);

impl Tokens {
    fn words(&self) -> impl DoubleEndedIterator<Item = &TokenWithSpan> {
        self.0.iter().filter(|t| !matches!(t.token, Token::Whitespace(_) | Token::EOF))
    }

    fn first(&self) -> Option<Place> {
        self.words().next().and_then(|t| place(t.span))
    }

    fn first_word(&self) -> Option<String> {
        self.words().next().map(|t| t.token.to_string())
    }

    fn after_first(&self, token: &Token) -> Option<Place> {
        let mut words = self.words().skip_while(|t| t.token != *token);
        words.find(|t| t.token != *token).and_then(|t| place(t.span))
    }

    /// Where a name stands first.
    pub(crate) fn name(&self, name: &str) -> Option<Place> {
        let mut words = self.words();
        words
            .find(|t| matches!(&t.token, Token::Word(w) if w.value == name))
            .and_then(|t| place(t.span))
    }

    fn places(&self, keyword: Keyword) -> impl DoubleEndedIterator<Item = Place> {
        self.words()
            .filter(move |t| matches!(&t.token, Token::Word(w) if w.keyword == keyword && w.quote_style.is_none()))
            .filter_map(|t| place(t.span))
    }

    /// The last such keyword before a place.
    pub(crate) fn before(&self, keyword: Keyword, end: Option<Place>) -> Option<Place> {
        let end = end.unwrap_or((usize::MAX, usize::MAX));
        self.places(keyword).rfind(|p| *p < end)
    }

    /// The first such keyword at or after a place.
    pub(crate) fn from(&self, keyword: Keyword, start: Option<Place>) -> Option<Place> {
        let start = start.unwrap_or((0, 0));
        self.places(keyword).find(|p| *p >= start)
    }
}
