//! Logs: to stderr, as text or JSON, at a level.

use clap::{Args, ValueEnum};
use millstream::Error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

use super::failure::Failure;
use super::screen::Screen;

/// What is logged, and how.
#[derive(Debug, Args)]
#[command(next_help_heading = "Logs")]
pub(crate) struct Logs {
    /// How logs are written; `json` is one object a line.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Text)]
    log_format: Format,
    /// Which logs: error, warn, info, debug or trace for Millstream's own; or by target, such as
    /// `warn,millstream_engine=debug,reqwest=info`.
    #[arg(long, value_name = "LEVEL", env = "RUST_LOG", default_value = "info")]
    log_level: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

impl Logs {
    /// Sends logs to the screen from now on; as JSON too if everything else is.
    pub(crate) fn begin(&self, screen: &Screen, json: bool) -> Result<(), Failure> {
        let directives = match self.log_level.trim() {
            // Libraries tell more than anybody wants when they are asked for everything.
            own @ ("debug" | "trace") => format!("info,millstream={own}"),
            given => given.to_owned(),
        };
        let filter = EnvFilter::builder().parse(directives).map_err(|e| {
            let fix = "write error, warn, info, debug or trace";
            Failure::Options(
                Error::stop(format!("`{}` is no log level", self.log_level)).because(e).fix(fix),
            )
        })?;
        let colour =
            anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never;
        let logs = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_span_events(FmtSpan::NONE)
            .with_writer(screen.clone());
        let begun = if json || self.log_format == Format::Json {
            logs.json().try_init()
        } else {
            logs.with_ansi(colour).with_target(false).try_init()
        };
        begun.map_err(|e| Failure::World(Error::stop("cannot begin logging").because(e)))
    }
}
