//! Messages of channels, as they are published.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use millstream_core::record::{BLOCK_BYTES, Name, Record};
use millstream_core::source::{Pulled, Replay, Source, SplitPositions};
use millstream_core::{Error, Result};
use millstream_redis::explain;
use millstream_redis::redis::Value;
use millstream_redis::redis::aio::{PubSub, PubSubSink, PubSubStream};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::{Place, RedisReadPubsub};

/// Channels as a source.
pub(super) struct PubsubSource {
    place: Place,
    options: RedisReadPubsub,
    split: Name,
    waiting: Arc<Waiting>,
    /// Reads messages for as long as it is connected, and says why it is not any more.
    listening: JoinSet<Error>,
    /// Messages were lost, and that is not yet over.
    troubled: bool,
}

/// Messages that the engine has not taken yet.
struct Waiting {
    messages: Mutex<Messages>,
    more: Notify,
    bytes_max: usize,
}

#[derive(Default)]
struct Messages {
    all: VecDeque<Record>,
    bytes: usize,
    /// Dropped for want of room, since it was last told.
    dropped: u64,
}

impl Waiting {
    fn push(&self, record: Record) {
        let mut messages = self.messages.lock();
        let bytes = record.value.len() + record.key.as_ref().map_or(0, Bytes::len);
        if messages.bytes + bytes > self.bytes_max {
            messages.dropped += 1;
        } else {
            messages.bytes += bytes;
            messages.all.push_back(record);
        }
        drop(messages);
        self.more.notify_one();
    }

    /// A block of messages, and how many were dropped.
    fn take(&self) -> (Vec<Record>, u64) {
        let mut messages = self.messages.lock();
        let (mut records, mut bytes) = (Vec::new(), 0);
        while bytes < BLOCK_BYTES
            && let Some(record) = messages.all.pop_front()
        {
            bytes += record.value.len() + record.key.as_ref().map_or(0, Bytes::len);
            records.push(record);
        }
        messages.bytes -= bytes;
        (records, std::mem::take(&mut messages.dropped))
    }
}

impl PubsubSource {
    pub(super) fn new(place: Place, options: RedisReadPubsub) -> Self {
        let bytes_max = usize::try_from(options.buffer.0).unwrap_or(usize::MAX);
        let waiting = Waiting { messages: Mutex::default(), more: Notify::new(), bytes_max };
        Self {
            split: "pubsub".into(),
            waiting: Arc::new(waiting),
            listening: JoinSet::new(),
            troubled: false,
            place,
            options,
        }
    }

    fn at(&self) -> String {
        self.place.server.place()
    }

    async fn subscribe(&self) -> Result<PubSub> {
        let wrong = |e| explain("cannot subscribe", &self.at(), e);
        let client = self.place.server.client().await?;
        let subscribed = async {
            let mut pubsub = client.get_async_pubsub().await?;
            if !self.options.channels.is_empty() {
                pubsub.subscribe(&self.options.channels).await?;
            }
            if !self.options.patterns.is_empty() {
                pubsub.psubscribe(&self.options.patterns).await?;
            }
            Ok(pubsub)
        };
        match tokio::time::timeout(self.place.timeout, subscribed).await {
            Ok(subscribed) => subscribed.map_err(wrong),
            Err(_) => {
                Err(Error::retry("cannot subscribe: the server does not answer").at(self.at()))
            }
        }
    }

    /// Connects and begins to listen, if it does not.
    async fn listen(&mut self) -> Result<()> {
        if self.listening.is_empty() {
            let (sink, stream) = self.subscribe().await?.split();
            let (waiting, place) = (self.waiting.clone(), self.at());
            self.listening.spawn(listen(sink, stream, waiting, self.place.timeout, place));
        }
        Ok(())
    }
}

/// Reads messages until the connection breaks; a silent one is asked whether it is still there.
async fn listen(
    mut sink: PubSubSink,
    mut stream: PubSubStream,
    waiting: Arc<Waiting>,
    patience: std::time::Duration,
    place: String,
) -> Error {
    let cut =
        Error::retry("the subscription was cut: what is published until it is made again is lost")
            .at(place);
    loop {
        match tokio::time::timeout(patience, stream.next()).await {
            Ok(Some(message)) => {
                let channel = Bytes::copy_from_slice(message.get_channel_name().as_bytes());
                let value = Bytes::copy_from_slice(message.get_payload_bytes());
                waiting.push(Record { key: Some(channel), value });
            }
            Ok(None) => return cut,
            Err(_) => match tokio::time::timeout(patience, sink.ping::<Value>()).await {
                Ok(Ok(_)) => {}
                Ok(Err(e)) => return cut.because(e),
                Err(_) => return cut.because("the server does not answer"),
            },
        }
    }
}

#[async_trait]
impl Source for PubsubSource {
    async fn open(&mut self, _: &SplitPositions) -> Result<()> {
        self.listening = JoinSet::new();
        self.listen().await
    }

    async fn pull(&mut self) -> Result<Option<Pulled>> {
        loop {
            let (records, dropped) = self.waiting.take();
            if dropped > 0 {
                let lost = Error::retry(format!(
                    "{dropped} messages were dropped: more came than the queue takes"
                ))
                .at(self.at())
                .fix("give a larger `buffer`, or publish less");
                self.place.env.report.trouble(&self.split, &lost);
                self.troubled = true;
            } else if self.troubled {
                self.place.env.report.fine(&self.split);
                self.troubled = false;
            }
            if !records.is_empty() {
                let split = self.split.clone();
                return Ok(Some(Pulled { split, records, position: None, ended: false }));
            }
            self.listen().await?;
            tokio::select! {
                () = self.waiting.more.notified() => {}
                Some(ended) = self.listening.join_next() => {
                    return Err(ended.unwrap_or_else(|e| {
                        Error::reopen("listening ended too early").because(e)
                    }));
                }
            }
        }
    }

    fn finite(&self) -> bool {
        false
    }

    fn replay(&self) -> Replay {
        Replay::Never
    }

    fn describe(&self) -> String {
        let RedisReadPubsub { channels, patterns, buffer } = &self.options;
        let names: Vec<&str> = channels.iter().chain(patterns).map(String::as_str).collect();
        let (names, place) = (names.join("`, `"), self.at());
        format!(
            "redis: channels `{names}` of {place}, at most {buffer} waiting; what is published while not connected is lost"
        )
    }
}
