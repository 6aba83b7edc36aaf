//! A connection that is made when it is needed, and made anew after it broke.

use millstream_core::Result;
use redis::{Cmd, FromRedisValue, Pipeline, RedisError};
use tokio::sync::Mutex;

use crate::error::{breaks, explain};
use crate::link::Link;
use crate::server::Server;

/// A connection to a server. Cheap to share; commands of several tasks are pipelined.
#[derive(Debug)]
pub struct Session {
    server: Server,
    /// The connection, with a number that tells it from those before it.
    link: Mutex<(u64, Option<Link>)>,
}

impl Session {
    /// A session that connects when it is first used.
    #[must_use]
    pub fn new(server: Server) -> Self {
        Self { server, link: Mutex::default() }
    }

    /// What it connects to.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// The connection, made if there is none, and its number.
    ///
    /// # Errors
    /// As [`Server::connect`].
    pub async fn link(&self) -> Result<(u64, Link)> {
        let mut held = self.link.lock().await;
        if let (number, Some(link)) = &*held {
            return Ok((*number, link.clone()));
        }
        // Connecting is rare and its future large.
        let link = Box::pin(self.server.connect()).await?;
        held.0 += 1;
        held.1 = Some(link.clone());
        Ok((held.0, link))
    }

    /// Runs a command. Dropped before it returns, the command may or may not have been run.
    ///
    /// # Errors
    /// `Retry` when the server was not reached, or its answer was not: the command may then have been run
    /// all the same. Otherwise by [`explain`].
    pub async fn ask<T: FromRedisValue>(&self, what: &str, command: &Cmd) -> Result<T> {
        let (number, mut link) = self.link().await?;
        match command.query_async(&mut link).await {
            Ok(answer) => Ok(answer),
            Err(e) => Err(self.failed(what, number, e).await),
        }
    }

    /// Runs several commands, sent at once.
    ///
    /// # Errors
    /// As [`Session::ask`], for the first of them that failed.
    pub async fn ask_all<T: FromRedisValue>(&self, what: &str, commands: &Pipeline) -> Result<T> {
        let (number, mut link) = self.link().await?;
        match commands.query_async(&mut link).await {
            Ok(answer) => Ok(answer),
            Err(e) => Err(self.failed(what, number, e).await),
        }
    }

    /// What to make of an error of the connection with this number; gives the connection up if it is broken.
    pub async fn failed(&self, what: &str, number: u64, e: RedisError) -> millstream_core::Error {
        if breaks(&e) {
            self.give_up(number).await;
        }
        explain(what, &self.server.place(), e)
    }

    /// Has the next command make a new connection, unless that was done since the one with this number.
    pub async fn give_up(&self, number: u64) {
        let mut held = self.link.lock().await;
        if held.0 == number {
            held.1 = None;
        }
    }
}
