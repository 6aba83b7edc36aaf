//! Apache Flink's spelling of windows into the short one, token by token, so that each keeps its place in the text.
//!
//! ```text
//! TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE))              TUMBLE(t, ts, INTERVAL '1' MINUTE)
//! TABLE(SESSION(TABLE t PARTITION BY k, DESCRIPTOR(ts), INTERVAL '1' DAY))  SESSION(t, ts, INTERVAL '1' DAY, k)
//! TUMBLE(DATA => TABLE t, TIMECOL => DESCRIPTOR(ts), SIZE => …)             TUMBLE(t, ts, …)
//! ```

use std::ops::Range;

use datafusion_sql::sqlparser::keywords::Keyword;
use datafusion_sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan};
use millstream_core::Error;

use super::Kind;
use crate::complain::Complaint;
use crate::names;
use crate::parse::place;

/// The tokens with every window in the short spelling.
pub(crate) fn short(tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>, Complaint> {
    let solid = |t: &TokenWithSpan| !matches!(t.token, Token::Whitespace(_));
    if !tokens.iter().any(|t| kind(t).is_some()) {
        return Ok(tokens);
    }
    let whole = tokens;
    let tokens = whole.iter().filter(|t| solid(t)).cloned().collect::<Vec<_>>();
    let mut out = Vec::with_capacity(tokens.len());
    let (mut i, mut changed) = (0, false);
    while let Some(token) = tokens.get(i) {
        // `TABLE(` around a call goes, with the bracket that closes it.
        let wrapped = is_word(token, "TABLE") && is(&tokens, i + 1, &Token::LParen);
        let at = if wrapped { i + 2 } else { i };
        let call = tokens.get(at).and_then(kind).filter(|_| is(&tokens, at + 1, &Token::LParen));
        let end = call.and_then(|_| close(&tokens, at + 1));
        let (Some(kind), Some(end), Some(name)) = (call, end, tokens.get(at)) else {
            out.push(token.clone());
            i += 1;
            continue;
        };
        if wrapped && !is(&tokens, end + 1, &Token::RParen) {
            out.push(token.clone());
            i += 1;
            continue;
        }
        out.push(name.clone());
        out.extend(tokens.get(at + 1).cloned());
        let call = Call { tokens: &tokens, kind, name };
        let theirs = call.arguments(at + 2..end)?;
        changed |= wrapped || theirs.is_some();
        out.extend(theirs.unwrap_or_else(|| tokens.get(at + 2..end).unwrap_or_default().to_vec()));
        out.extend(tokens.get(end).cloned());
        i = end + 1 + usize::from(wrapped);
    }
    Ok(if changed { out } else { whole })
}

fn kind(token: &TokenWithSpan) -> Option<Kind> {
    match &token.token {
        Token::Word(w) if w.quote_style.is_none() => Kind::of(&w.value),
        _ => None,
    }
}

fn is_word(token: &TokenWithSpan, word: &str) -> bool {
    matches!(&token.token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word))
}

fn is(tokens: &[TokenWithSpan], i: usize, token: &Token) -> bool {
    tokens.get(i).is_some_and(|t| t.token == *token)
}

/// Where the bracket that opens at `open` closes.
fn close(tokens: &[TokenWithSpan], open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (i, token) in tokens.iter().enumerate().skip(open) {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Some(i);
                }
            }
            _ => {}
        }
    }
    None
}

struct Call<'a> {
    tokens: &'a [TokenWithSpan],
    kind: Kind,
    name: &'a TokenWithSpan,
}

/// The arguments as they are found.
#[derive(Default)]
struct Found {
    data: Option<Vec<TokenWithSpan>>,
    time: Option<Vec<TokenWithSpan>>,
    /// Spans, in the order of [`Kind::spans`].
    spans: Vec<Option<Vec<TokenWithSpan>>>,
    keys: Vec<Vec<TokenWithSpan>>,
}

impl Call<'_> {
    /// The arguments in the short spelling; `None` if that is how they are.
    fn arguments(&self, range: Range<usize>) -> Result<Option<Vec<TokenWithSpan>>, Complaint> {
        let args = self.split(range);
        let theirs = args.iter().any(|arg| {
            let first = arg.first();
            first.is_some_and(|t| is_word(t, "TABLE") || is_word(t, "DESCRIPTOR"))
                || is(arg, 1, &Token::RArrow)
        });
        if !theirs {
            return Ok(None);
        }
        let mut found = Found { spans: vec![None; self.kind.spans().len()], ..Found::default() };
        // Spans that have names do not stand in the way of those that have none.
        let mut place = 0;
        for arg in args {
            match (arg.first(), is(&arg, 1, &Token::RArrow)) {
                (Some(name), true) => {
                    let value = arg.get(2..).unwrap_or_default();
                    self.named(name, value, &mut found)?;
                }
                (Some(first), false) if is_word(first, "TABLE") => self.data(&arg, &mut found)?,
                (Some(first), false) if is_word(first, "DESCRIPTOR") => {
                    found.time = Some(self.descriptor(&arg)?);
                }
                // More columns of `PARTITION BY a, b`.
                (Some(_), false) if found.time.is_none() && !found.keys.is_empty() => {
                    found.keys.push(arg);
                }
                (Some(_), false) if found.data.is_none() => found.data = Some(arg),
                (Some(_), false) if found.time.is_none() => found.time = Some(arg),
                (Some(first), false) => {
                    let Some(slot) = found.spans.get_mut(place) else {
                        if self.kind == Kind::Session {
                            found.keys.push(arg);
                            continue;
                        }
                        let what = format!("`{}` has no more arguments", self.kind.name());
                        return Err(self.wrong(first, what));
                    };
                    *slot = Some(arg);
                    place += 1;
                }
                (None, _) => {}
            }
        }
        self.written(found).map(Some)
    }

    /// The arguments, as `commas` part them.
    fn split(&self, range: Range<usize>) -> Vec<Vec<TokenWithSpan>> {
        let (mut args, mut depth) = (vec![vec![]], 0_usize);
        for token in self.tokens.get(range).unwrap_or_default() {
            match token.token {
                Token::LParen | Token::LBracket => depth += 1,
                Token::RParen | Token::RBracket => depth = depth.saturating_sub(1),
                Token::Comma if depth == 0 => {
                    args.push(vec![]);
                    continue;
                }
                _ => {}
            }
            if let Some(last) = args.last_mut() {
                last.push(token.clone());
            }
        }
        args
    }

    fn named(
        &self,
        name: &TokenWithSpan,
        value: &[TokenWithSpan],
        found: &mut Found,
    ) -> Result<(), Complaint> {
        let word = name.token.to_string().to_lowercase();
        match word.as_str() {
            "data" => return self.data(value, found),
            "timecol" => {
                found.time = Some(self.descriptor(value)?);
                return Ok(());
            }
            _ => {}
        }
        let spans = self.kind.spans();
        let place = spans.iter().position(|s| *s == word);
        if let Some(slot) = place.and_then(|p| found.spans.get_mut(p)) {
            *slot = Some(value.to_vec());
            return Ok(());
        }
        let known = ["data", "timecol"].into_iter().chain(spans.iter().copied());
        let known = known.map(str::to_uppercase).collect::<Vec<_>>();
        let what = format!("`{}` has no argument `{}`", self.kind.name(), name.token);
        let fix = names::fix(&name.token.to_string(), known.iter().map(String::as_str), 9);
        Err(Complaint::new(place_of(name), Error::stop(what).fix(fix)))
    }

    /// `TABLE t PARTITION BY a, b`, of which what follows a comma comes later.
    fn data(&self, arg: &[TokenWithSpan], found: &mut Found) -> Result<(), Complaint> {
        let arg = match arg.split_first() {
            Some((first, rest)) if is_word(first, "TABLE") => rest,
            _ => arg,
        };
        let Some((table, rest)) = arg.split_first() else {
            return Err(self.wrong(self.name, "the table is missing".to_owned()));
        };
        found.data = Some(vec![table.clone()]);
        let Some((first, rest)) = rest.split_first() else { return Ok(()) };
        let by = |t: &TokenWithSpan| matches!(&t.token, Token::Word(w) if w.keyword == Keyword::BY);
        if !is_word(first, "PARTITION") || !rest.first().is_some_and(by) {
            return Err(self.wrong(first, format!("`{}` means nothing here", first.token)));
        }
        if self.kind != Kind::Session {
            let what = format!(
                "only `SESSION` is kept apart for keys; rows of `{}` are by `GROUP BY`",
                self.kind.name()
            );
            return Err(self.wrong(first, what));
        }
        let keys = rest.get(1..).unwrap_or_default();
        let keys = match (keys.first(), keys.last()) {
            (Some(open), Some(_)) if open.token == Token::LParen => {
                keys.get(1..keys.len() - 1).unwrap_or_default()
            }
            _ => keys,
        };
        found.keys.extend(keys.split(|t| t.token == Token::Comma).map(<[_]>::to_vec));
        Ok(())
    }

    /// The column of `DESCRIPTOR(ts)`.
    fn descriptor(&self, arg: &[TokenWithSpan]) -> Result<Vec<TokenWithSpan>, Complaint> {
        match arg {
            [word, open, inner @ .., close]
                if is_word(word, "DESCRIPTOR")
                    && open.token == Token::LParen
                    && close.token == Token::RParen =>
            {
                Ok(inner.to_vec())
            }
            _ => {
                let at = arg.first().unwrap_or(self.name);
                Err(self.wrong(at, "the time column is written `DESCRIPTOR(ts)`".to_owned()))
            }
        }
    }

    fn written(&self, found: Found) -> Result<Vec<TokenWithSpan>, Complaint> {
        let Found { data, time, mut spans, keys } = found;
        while spans.last().is_some_and(Option::is_none) {
            spans.pop();
        }
        let missing = |what: &str| {
            self.wrong(self.name, format!("the {what} is missing in `{}`", self.kind.name()))
        };
        let mut args = vec![
            data.ok_or_else(|| missing("table"))?,
            time.ok_or_else(|| missing("column with the event time"))?,
        ];
        for (span, name) in spans.into_iter().zip(self.kind.spans()) {
            args.push(span.ok_or_else(|| missing(name))?);
        }
        args.extend(keys);
        let mut out: Vec<TokenWithSpan> = vec![];
        for arg in args {
            if let Some(last) = out.last() {
                let at = last.span.end;
                out.push(TokenWithSpan { token: Token::Comma, span: Span::new(at, at) });
            }
            out.extend(arg);
        }
        Ok(out)
    }

    fn wrong(&self, at: &TokenWithSpan, what: String) -> Complaint {
        let fix = format!("write `{}`", self.kind.form("readings", "ts"));
        Complaint::new(place_of(at), Error::stop(what).fix(fix))
    }
}

fn place_of(token: &TokenWithSpan) -> Option<crate::complain::Place> {
    place(token.span)
}
