//! The spellings of a join as of event time into one that the parser takes, token by token, so that each keeps its place in
//! the text.
//!
//! ```text
//! t ASOF JOIN q ON t.k = q.k AND t.ts >= q.ts                    t JOIN q ON "as of"() AND t.k = q.k AND t.ts >= q.ts
//! t ASOF LEFT JOIN q MATCH_CONDITION (t.ts >= q.ts) ON t.k = q.k t LEFT JOIN q ON "as of"(t.ts >= q.ts) AND t.k = q.k
//! t JOIN q FOR SYSTEM_TIME AS OF t.ts ON t.k = q.k               t JOIN q ON "as of"(t.ts) AND t.k = q.k
//! ```

use datafusion_sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan};
use millstream_core::Error;

use super::MARK;
use crate::complain::Complaint;
use crate::parse::place;

/// How it is written.
pub(super) const FORM: &str =
    "write `… ASOF LEFT JOIN quotes q ON t.symbol = q.symbol AND t.ts >= q.ts`";

/// The tokens with every join as of event time as a marked one.
pub(crate) fn plain(tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>, Complaint> {
    if !tokens.iter().any(|t| is(t, "ASOF") || is(t, "SYSTEM_TIME")) {
        return Ok(tokens);
    }
    let solid = |t: &&TokenWithSpan| !matches!(t.token, Token::Whitespace(_));
    let solid = tokens.iter().filter(solid).cloned().collect::<Vec<_>>();
    let mut spell =
        Spell { tokens: &solid, at: 0, out: vec![], depth: 0, open: vec![], marked: false };
    while spell.at < solid.len() {
        spell.next()?;
    }
    if !spell.open.is_empty() {
        spell.unclosed()?;
    }
    let Spell { out, marked, .. } = spell;
    // Words that only look like it change nothing.
    Ok(if marked { out } else { tokens })
}

fn is(token: &TokenWithSpan, word: &str) -> bool {
    matches!(&token.token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word))
}

fn is_one(token: &TokenWithSpan, words: &[&str]) -> bool {
    words.iter().any(|word| is(token, word))
}

/// A join whose `ON` is yet to come.
struct Open {
    depth: usize,
    /// What says that it is one as of event time.
    span: Span,
    /// The event time as of which it is, where that was told.
    time: Vec<TokenWithSpan>,
}

struct Spell<'a> {
    tokens: &'a [TokenWithSpan],
    at: usize,
    out: Vec<TokenWithSpan>,
    depth: usize,
    open: Vec<Open>,
    marked: bool,
}

/// What ends the way from a join to its `ON`.
const ENDS: &[&str] = &[
    "JOIN",
    "WHERE",
    "GROUP",
    "HAVING",
    "UNION",
    "ORDER",
    "LIMIT",
    "WINDOW",
    "QUALIFY",
    "EXCEPT",
    "INTERSECT",
];

impl Spell<'_> {
    fn next(&mut self) -> Result<(), Complaint> {
        let Some(token) = self.tokens.get(self.at) else { return Ok(()) };
        match &token.token {
            Token::LParen => self.depth += 1,
            Token::RParen => {
                self.depth = self.depth.saturating_sub(1);
                if self.open.last().is_some_and(|open| open.depth > self.depth) {
                    return self.unclosed();
                }
            }
            Token::EOF | Token::SemiColon if !self.open.is_empty() => return self.unclosed(),
            _ => {}
        }
        if is(token, "ASOF") && self.as_of(token.span)? {
            return Ok(());
        }
        if is(token, "FOR") && self.follow(1, &["SYSTEM_TIME", "AS", "OF"]) {
            return self.system_time(token.span);
        }
        if self.open.last().is_some_and(|open| open.depth == self.depth) {
            if is(token, "MATCH_CONDITION") {
                return self.match_condition();
            }
            if is(token, "ON") {
                self.out.push(token.clone());
                self.at += 1;
                return self.close(vec![], true);
            }
            if is(token, "USING") {
                return self.using();
            }
            if is_one(token, ENDS) {
                return self.unclosed();
            }
        }
        self.out.push(token.clone());
        self.at += 1;
        Ok(())
    }

    fn follow(&self, by: usize, words: &[&str]) -> bool {
        words
            .iter()
            .enumerate()
            .all(|(i, word)| self.tokens.get(self.at + by + i).is_some_and(|token| is(token, word)))
    }

    /// `[LEFT] ASOF JOIN` and `ASOF [LEFT] JOIN`; whether it is one of them.
    fn as_of(&mut self, span: Span) -> Result<bool, Complaint> {
        let kinds = ["LEFT", "INNER", "RIGHT", "FULL", "OUTER"];
        let rest = self.tokens.get(self.at + 1..).unwrap_or_default();
        let behind = rest.iter().take_while(|t| is_one(t, &kinds)).count();
        if !rest.get(behind).is_some_and(|t| is(t, "JOIN")) {
            return Ok(false);
        }
        let before = self.out.iter().rev().take_while(|t| is_one(t, &kinds)).count();
        let from = self.out.len() - before;
        let mut all = self.out.iter().skip(from).chain(rest.iter().take(behind));
        if all.any(|t| is_one(t, &["RIGHT", "FULL"])) {
            return Err(one_sided(span));
        }
        self.out.extend(rest.iter().take(behind + 1).cloned());
        self.open.push(Open { depth: self.depth, span, time: vec![] });
        self.at += behind + 2;
        Ok(true)
    }

    /// `FOR SYSTEM_TIME AS OF t.ts` behind the table that is joined.
    fn system_time(&mut self, span: Span) -> Result<(), Complaint> {
        let name = self.out.iter().rev();
        let name = name.take_while(|t| t.token == Token::Period || is_name(t)).count();
        let mut before = self.out.iter().rev().skip(name);
        if name == 0 || !before.next().is_some_and(|t| is(t, "JOIN")) {
            let what = "`FOR SYSTEM_TIME AS OF` stands behind no table that is joined";
            return Err(Complaint::new(place(span), Error::stop(what).fix(FORM)));
        }
        let kinds = ["RIGHT", "FULL", "OUTER", "CROSS"];
        let mut kinds = before.take_while(|t| is_one(t, &kinds));
        if kinds.any(|t| !is(t, "OUTER")) {
            return Err(one_sided(span));
        }
        self.at += 4;
        let rest = self.tokens.get(self.at..).unwrap_or_default();
        let mut time = vec![];
        for (i, token) in rest.iter().enumerate() {
            let fits = if i % 2 == 0 { is_name(token) } else { token.token == Token::Period };
            if !fits {
                break;
            }
            time.push(token.clone());
        }
        let called = rest.get(time.len()).is_some_and(|t| t.token == Token::LParen);
        if time.len() % 2 == 0 || called {
            let what = "`FOR SYSTEM_TIME AS OF` needs the event time of the rows on the left";
            let fix = "write the column: `FOR SYSTEM_TIME AS OF t.ts`";
            return Err(Complaint::new(place(span), Error::stop(what).fix(fix)));
        }
        self.at += time.len();
        self.open.push(Open { depth: self.depth, span, time });
        Ok(())
    }

    /// `MATCH_CONDITION (t.ts >= q.ts)`, before `ON` or alone.
    fn match_condition(&mut self) -> Result<(), Complaint> {
        let Some(word) = self.tokens.get(self.at) else { return Ok(()) };
        let rest = self.tokens.get(self.at + 1..).unwrap_or_default();
        let Some(end) = bracketed(rest) else {
            let what = "`MATCH_CONDITION` needs its condition in brackets";
            let fix = "write `MATCH_CONDITION (t.ts >= q.ts)`";
            return Err(Complaint::new(place(word.span), Error::stop(what).fix(fix)));
        };
        let condition = rest.get(1..end).unwrap_or_default().to_vec();
        self.at += end + 2;
        let more = match self.tokens.get(self.at) {
            Some(next) if is(next, "USING") => return self.using(),
            Some(next) if is(next, "ON") => {
                self.out.push(next.clone());
                self.at += 1;
                true
            }
            _ => {
                self.out.push(TokenWithSpan::new(Token::make_keyword("ON"), word.span));
                false
            }
        };
        self.close(condition, more)
    }

    /// Puts the mark behind an `ON`.
    fn close(&mut self, condition: Vec<TokenWithSpan>, more: bool) -> Result<(), Complaint> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        self.marked = true;
        if !open.time.is_empty() && !condition.is_empty() {
            let what = "`FOR SYSTEM_TIME AS OF` and `MATCH_CONDITION` say the same twice";
            return Err(Complaint::new(place(open.span), Error::stop(what).fix(FORM)));
        }
        let word = |token| TokenWithSpan::new(token, open.span);
        self.out.push(word(Token::make_word(MARK, Some('"'))));
        self.out.push(word(Token::LParen));
        self.out.extend(open.time);
        self.out.extend(condition);
        self.out.push(word(Token::RParen));
        if more {
            self.out.push(word(Token::make_keyword("AND")));
        }
        Ok(())
    }

    fn using(&self) -> Result<(), Complaint> {
        let span = self.tokens.get(self.at).map(|t| t.span);
        let what = "`USING` does not say which of the columns is the event time";
        Err(Complaint::new(span.and_then(place), Error::stop(what).fix(FORM)))
    }

    fn unclosed(&self) -> Result<(), Complaint> {
        let span = self.open.last().map(|open| open.span);
        let what = "a join as of event time needs `ON`";
        Err(Complaint::new(span.and_then(place), Error::stop(what).fix(FORM)))
    }
}

fn is_name(token: &TokenWithSpan) -> bool {
    matches!(&token.token, Token::Word(_)) && !is_one(token, &["JOIN", "ON", "AS"])
}

/// Where the bracket closes that these begin with.
fn bracketed(tokens: &[TokenWithSpan]) -> Option<usize> {
    let mut depth = 0_usize;
    for (i, token) in tokens.iter().enumerate() {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return (i > 0).then_some(i);
        }
    }
    None
}

fn one_sided(span: Span) -> Complaint {
    let what = "a join as of event time goes from the rows of its left side, each of which has one match at most";
    let fix =
        "write `ASOF JOIN` or `ASOF LEFT JOIN`, with the sides the other way round if need be";
    Complaint::new(place(span), Error::stop(what).fix(fix))
}
