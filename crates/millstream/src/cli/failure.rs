//! Why a verb was not done, and what the exit code says of it.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::OnceLock;

use millstream::{Error, Loaded, Pipeline, Problems};
use millstream_engine::config::Secrets;

/// What no failure may tell. A process reads one pipeline file.
static SECRETS: OnceLock<Secrets> = OnceLock::new();

/// Reads a pipeline file; from then on what fails is told without its secrets.
pub(crate) fn load(file: &Path) -> Result<Loaded, Problems> {
    let loaded = Pipeline::with(millstream::standard()).parts(file)?;
    SECRETS.get_or_init(|| loaded.pipeline.text.secrets().clone());
    Ok(loaded)
}

/// Text without the secrets of the pipeline file.
pub(crate) fn redact(text: &str) -> String {
    SECRETS.get().map_or_else(|| text.to_owned(), |secrets| secrets.redact(text).into_owned())
}

/// Why a verb was not done.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The file is wrong.
    File(Box<Problems>),
    /// The options are wrong.
    Options(Error),
    /// Something outside of the file and the options is wrong.
    World(Error),
    /// It is told already; only its code is left.
    Told(u8),
    /// Whoever reads our output has had enough.
    Closed,
}

impl Failure {
    /// 2 for the file and the options, 1 for the world.
    fn code(&self) -> u8 {
        match self {
            Self::File(_) | Self::Options(_) => 2,
            Self::World(_) => 1,
            Self::Told(code) => *code,
            Self::Closed => 0,
        }
    }

    /// The same, for which nothing more is to be said.
    pub(crate) fn told(&self) -> Self {
        Self::Told(self.code())
    }

    /// Tells the person, and gives the exit code.
    pub(crate) fn tell(&self) -> ExitCode {
        let mut stderr = anstream::stderr().lock();
        let told = match self {
            Self::File(problems) => write!(stderr, "{}", problems.render(true)),
            Self::Options(e) | Self::World(e) => {
                writeln!(stderr, "{ERROR}error{ERROR:#}: {}", redact(&e.to_string()))
            }
            Self::Told(_) | Self::Closed => Ok(()),
        };
        // Without a stderr there is nobody left to tell; the code still says it.
        drop(told);
        ExitCode::from(self.code())
    }

    /// The same for programs: one line of JSON.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        match self {
            Self::File(problems) => {
                serde_json::json!({ "event": "refused", "problems": problems.to_json() })
            }
            Self::Options(e) | Self::World(e) => serde_json::json!({
                "event": "failed",
                "what": redact(&e.line()),
                "fix": e.how_to_fix().map(redact),
                "code": self.code(),
            }),
            Self::Told(_) | Self::Closed => {
                serde_json::json!({ "event": "failed", "code": self.code() })
            }
        }
    }
}

const ERROR: anstyle::Style = anstyle::AnsiColor::Red.on_default().bold();

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::File(Box::new(problems))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::World(error)
    }
}

/// Writes to stdout; a closed pipe is no failure.
pub(crate) fn say(text: &str) -> Result<(), Failure> {
    let mut stdout = anstream::stdout().lock();
    let said = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    said.map_err(|e| match e.kind() {
        io::ErrorKind::BrokenPipe => Failure::Closed,
        _ => Failure::World(Error::stop("cannot write to stdout").because(e)),
    })
}

/// Writes JSON to stdout, one value a line.
pub(crate) fn say_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text =
        serde_json::to_string(value).map_err(|e| Error::stop("cannot write JSON").because(e))?;
    say(&format!("{text}\n"))
}
