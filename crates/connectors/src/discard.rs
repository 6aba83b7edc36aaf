//! A sink that takes rows and keeps none.

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use millstream_core::Result;
use millstream_core::codec::Rows;
use millstream_core::plugin::{Config, Env};
use millstream_core::queue::Mark;
use millstream_core::sink::{Held, Promise, Refused, Sink};
use schemars::JsonSchema;
use serde::Deserialize;

/// Takes every row and keeps none: for measuring, and for views that are only tapped.
///
/// Rows are counted in the ledger and on `/metrics` like those of any sink.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Discard {}

impl Config<dyn Sink> for Discard {
    const NAME: &'static str = "discard";

    fn build(self, _: &Env) -> Result<Box<dyn Sink>> {
        Ok(Box::new(Self {}))
    }
}

#[async_trait]
impl Sink for Discard {
    async fn open(&mut self, _: SchemaRef) -> Result<Held> {
        Ok(Held::Untracked)
    }

    async fn write(&mut self, _: &Rows) -> Result<()> {
        Ok(())
    }

    async fn prepare(&mut self, _: &Mark) -> Result<Vec<Refused>> {
        Ok(Vec::new())
    }

    async fn flush(&mut self, _: &Mark) -> Result<()> {
        Ok(())
    }

    async fn forget(&mut self) -> Result<()> {
        Ok(())
    }

    fn promise(&self) -> Promise {
        Promise::AtLeastOnce
    }

    fn keeps(&self) -> bool {
        false
    }

    fn describe(&self) -> String {
        "discard: rows are counted and dropped".into()
    }
}
