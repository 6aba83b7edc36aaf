//! Calling the functions of the library that this queue loads into the server.

use millstream_core::{Error, Result};
use millstream_redis::redis::{
    Cmd, FromRedisValue, Pipeline, RedisError, RedisResult, ToRedisArgs, Value, cmd,
};
use millstream_redis::{Link, Session, is_refusal};

/// The library, as the server is given it.
pub(crate) const LIBRARY: &str = include_str!("millstream.lua");
/// What the library and its functions are called. Another version has another number, and its functions do not know of
/// these.
const VERSION: &str = "millstream_2";

/// The library is loaded so often for one call, where something throws it away.
const LOADS_MAX: u32 = 3;

/// A call of a function, being written.
pub(crate) struct Call {
    command: Cmd,
    /// A transaction that it is the last command of.
    transaction: Option<Pipeline>,
    /// Any key of it: where it goes.
    key: String,
    what: &'static str,
}

impl Call {
    pub(crate) fn new(function: &'static str, keys: &[&str]) -> Self {
        let mut command = cmd("FCALL");
        command.arg(format!("{VERSION}_{function}")).arg(keys.len()).arg(keys);
        let key = keys.first().map_or_else(String::new, |k| (*k).to_owned());
        Self { command, transaction: None, key, what: function }
    }

    /// The same as the last command of a transaction, in which these come before it.
    pub(crate) fn after(mut self, mut commands: Pipeline) -> Self {
        commands.atomic();
        self.transaction = Some(commands);
        self
    }

    pub(crate) fn arg(mut self, arg: impl ToRedisArgs) -> Self {
        self.command.arg(arg);
        self
    }

    /// Sends it and waits for the answer, loading the library where it is missing.
    pub(crate) async fn send<T: FromRedisValue>(mut self, session: &Session) -> Result<T, Failure> {
        let what = format!("cannot {}", verb(self.what));
        if let Some(transaction) = &mut self.transaction {
            transaction.add_command(std::mem::take(&mut self.command));
        }
        let mut loads = 0;
        loop {
            let (number, mut link) = session.link().await.map_err(Failure::unsent)?;
            let e = match self.run(&mut link).await {
                Ok(answer) => return Ok(answer),
                Err(e) => e,
            };
            if !is_missing(&e) {
                let known = is_refusal(&e);
                return Err(Failure { error: session.failed(&what, number, e).await, known });
            }
            if loads == LOADS_MAX {
                let why = "something throws the queue's functions out of the server as often as they are loaded";
                return Err(Failure::unsent(
                    Error::retry(format!("{what}: {why}"))
                        .at(session.server().place())
                        .because(e)
                        .fix("find out what does `FUNCTION FLUSH` or `DELETE` (`MONITOR`)"),
                ));
            }
            // Of a transaction all else was done. It is sent again, and the function then takes that back.
            loads += 1;
            let mut load = cmd("FUNCTION");
            load.arg("LOAD").arg(LIBRARY);
            if let Err(e) = link.query_beside(&self.key, load).await {
                // Another process may have loaded it at the same moment.
                if !e.detail().is_some_and(|d| d.contains("already exists")) {
                    let what = "cannot load the queue's functions into the server";
                    let error = session.failed(what, number, e).await;
                    return Err(Failure { error, known: true });
                }
            }
        }
    }

    async fn run<T: FromRedisValue>(&self, link: &mut Link) -> RedisResult<T> {
        let Some(transaction) = &self.transaction else {
            return self.command.query_async(link).await;
        };
        let answer = link.transact(transaction).await?.pop().unwrap_or_default();
        Ok(T::from_redis_value(answer.extract_error()?)?)
    }
}

/// What a function does, for messages.
fn verb(function: &'static str) -> &'static str {
    match function {
        "hello" | "upgrade" | "look" | "revive" => "open the queue",
        "append" | "settle" => "append",
        "take" | "give_up" | "beat" | "members" | "leave" | "who" => "agree on roles",
        "put_chunk" | "sweep" => "store state",
        "side_read" => "read a side stream",
        "side_append" | "side_cut" => "write a side stream",
        "mark" => "wait for the server's disk",
        "incarnate" => "begin a new incarnation",
        other => other,
    }
}

pub(crate) fn is_missing(e: &RedisError) -> bool {
    e.detail().is_some_and(|d| d.starts_with("Function not found"))
}

/// A call that gave no answer, or an error for one.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    /// Nothing was done. Otherwise it may have been, or may still be.
    pub(crate) known: bool,
}

impl Failure {
    pub(crate) fn unsent(error: Error) -> Self {
        Self { error, known: true }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

/// What a function answered: a word, then the queue's end, first offset and bytes, then what else there is.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) word: String,
    pub(crate) rest: Vec<String>,
}

impl FromRedisValue for Answer {
    fn from_redis_value(value: Value) -> Result<Self, millstream_redis::redis::ParsingError> {
        let mut all = Vec::<String>::from_redis_value(value)?.into_iter();
        Ok(Self { word: all.next().unwrap_or_default(), rest: all.collect() })
    }
}

impl Answer {
    pub(crate) fn text(&self, i: usize) -> &str {
        self.rest.get(i).map_or("", String::as_str)
    }

    pub(crate) fn number(&self, i: usize) -> u64 {
        self.text(i).parse().unwrap_or(0)
    }
}
