//! The pipeline file: read, checked and turned into parts that are built and not opened.
//!
//! ```text
//! text ─ yaml ─▶ tree ─ fill ─▶ tree with values for `${…}` ─ reading, decode ─▶ options ─ parts ─▶ Pipeline
//! ```
//!
//! Every error of a file is listed, each with its place; see [`Problems`].

mod checks;
mod decode;
mod describe;
mod fill;
mod hole;
mod key;
mod parts;
mod problem;
mod reading;
mod reference;
mod schema;
mod secrets;
mod shape;
mod stand_in;
mod suggest;
mod test_shape;
mod text;
mod tree;
mod typed;
mod view_place;
mod view_shape;
mod wrong;
mod yaml;
mod yaml_error;

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use millstream_core::codec::{Codec, Columns};
use millstream_core::fields::{Bytes, Span};
use millstream_core::lookup::Lookup;
use millstream_core::operator::View;
use millstream_core::plugin::{Env, QueueOpener, Registry};
use millstream_core::reference::TableReader;
use millstream_core::sink::{Promise, Sink};
use millstream_core::source::Source;

pub use problem::{Problem, Problems};
pub use reference::reference;
pub use schema::schema;
pub use secrets::Secrets;
pub use shape::{EventTime, HttpOptions, Limits, LookupMode, OnFailure};
use test_shape::TestsShape;
pub use test_shape::{Given, TestPart};
pub use text::FileText;

/// A pipeline as its file has it: checked, with every part built and nothing opened.
pub struct Pipeline {
    /// Its name.
    pub name: String,
    /// Its file; `None` if it was given as text.
    pub file: Option<PathBuf>,
    /// The folder that its paths are relative to.
    pub folder: PathBuf,
    /// Where records come from, in the order of the file.
    pub sources: Vec<SourcePart>,
    /// What is asked for columns by a key, in the order of the file.
    pub lookups: Vec<LookupPart>,
    /// Tables that views join, in the order of the file.
    pub tables: Vec<TablePart>,
    /// Its views, in the order of the file.
    pub views: Vec<View>,
    /// Tests of its views, in the order of the file.
    pub tests: Vec<TestPart>,
    /// Where rows go, in the order of the file.
    pub sinks: Vec<SinkPart>,
    /// What keeps records until every sink has their rows.
    pub queue: QueuePart,
    /// Metrics and health over HTTP, if asked for.
    pub http: Option<HttpOptions>,
    /// Bounds of the engine.
    pub limits: Limits,
    /// The text of the file, for errors that come up later.
    pub text: FileText,
}

/// A source, built and not opened.
pub struct SourcePart {
    /// Its name.
    pub name: String,
    /// What kind it is, as the file calls it.
    pub kind: &'static str,
    /// The source.
    pub source: Box<dyn Source>,
    /// What its codec is called in the file.
    pub codec_kind: &'static str,
    /// Its codec.
    pub codec: Arc<dyn Codec>,
    /// Its columns as the file declares them, else as the source knows them; `None`: to be inferred and pinned.
    pub columns: Option<Columns>,
    /// Whether the file declares the columns.
    pub declared: bool,
    /// Its event time, if it has any.
    pub event_time: Option<EventTime>,
}

/// A lookup, built and not opened.
pub struct LookupPart {
    /// Its name.
    pub name: String,
    /// What kind it is, as the file calls it.
    pub kind: &'static str,
    /// The lookup.
    pub lookup: Arc<dyn Lookup>,
    /// The columns of an answer.
    pub columns: Columns,
    /// How long an answer is kept.
    pub ttl: Span,
    /// The most bytes of answers that are kept.
    pub cache_bytes: Bytes,
    /// What becomes of rows whose answer cannot be had.
    pub on_failure: OnFailure,
    /// Whether its answers are kept for rows that are made again.
    pub mode: LookupMode,
}

/// A reference table, built and not read.
pub struct TablePart {
    /// Its name.
    pub name: String,
    /// What kind it is read from, as the file calls it.
    pub kind: &'static str,
    /// What reads it.
    pub reader: Box<dyn TableReader>,
    /// Its columns as the file declares them; `None`: those that are found.
    pub columns: Option<Columns>,
    /// How often it is looked at.
    pub reload: Span,
    /// The most bytes that it may have.
    pub bytes_max: Bytes,
}

/// A sink, built and not opened.
pub struct SinkPart {
    /// Its name.
    pub name: String,
    /// What kind it is, as the file calls it.
    pub kind: &'static str,
    /// The source or view whose rows it gets, or [`View::late_rows`] of a view.
    pub rows: String,
    /// The sink.
    pub sink: Box<dyn Sink>,
    /// The promise that the file asks for.
    pub wanted: Option<Promise>,
}

/// A queue, built and not opened.
pub struct QueuePart {
    /// What kind it is, as the file calls it.
    pub kind: &'static str,
    /// The queue.
    pub opener: Box<dyn QueueOpener>,
}

impl fmt::Debug for Pipeline {
    /// Without SQL, which may hold what is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline")
            .field("name", &self.name)
            .field("sources", &self.sources)
            .field("lookups", &self.lookups)
            .field("tables", &self.tables)
            .field("views", &self.views.iter().map(|v| &v.name).collect::<Vec<_>>())
            .field("sinks", &self.sinks)
            .field("queue", &self.queue)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SourcePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} as {}", self.name, self.kind, self.codec_kind)
    }
}

impl fmt::Debug for LookupPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.kind)
    }
}

impl fmt::Debug for TablePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.kind)
    }
}

impl fmt::Debug for SinkPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} to {}", self.name, self.rows, self.kind)
    }
}

impl fmt::Debug for QueuePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind)
    }
}

/// What a part is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// It brings records.
    Source,
    /// It makes rows of the records of the source of the same name.
    Codec,
    /// It keeps them; its name is `queue`.
    Queue,
    /// It takes rows.
    Sink,
    /// It is asked for columns by a key.
    Lookup,
    /// It reads a reference table.
    Table,
}

/// What a part is made for.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The pipeline's name.
    pub pipeline: &'a str,
    /// The folder of the file.
    pub folder: &'a Path,
    /// What the part is for.
    pub role: Role,
    /// Its name in the file.
    pub name: &'a str,
}

/// What surrounds a pipeline: the environment its file may name, and what its parts are told.
pub trait Surroundings {
    /// The value of an environment variable.
    fn variable(&self, name: &str) -> Option<String>;

    /// What a part is told about the place it works in.
    fn env(&self, place: Place<'_>) -> Env;
}

impl Pipeline {
    /// Reads a file.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(
        path: &Path,
        registry: &Registry,
        around: &dyn Surroundings,
    ) -> Result<Self, Problems> {
        let shown = path.display().to_string();
        let text = read(path).map_err(|problem| Problems::unreadable(&shown, problem))?;
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let stem = path.file_stem().map_or_else(String::new, |s| s.to_string_lossy().into_owned());
        let mut pipeline = Self::parse(&text, &shown, &stem, folder, registry, around)?;
        pipeline.file = Some(path.to_owned());
        Ok(pipeline)
    }

    /// Reads the text of a file. `file` is what errors call it, `stem` the pipeline's name if it does
    /// not give one itself, `folder` what its paths are relative to.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(
        text: &str,
        file: &str,
        stem: &str,
        folder: &Path,
        registry: &Registry,
        around: &dyn Surroundings,
    ) -> Result<Self, Problems> {
        let text: Arc<str> = text.into();
        let mut tree =
            yaml::parse(&text).map_err(|list| Problems::new(file, text.clone(), list))?;
        let mut problems = Vec::new();
        let secrets = fill::fill(&mut tree, folder, &|name| around.variable(name), &mut problems);
        let text = FileText { file: file.to_owned(), text, tree: Arc::new(tree), secrets };
        parts::build(text, stem, folder, registry, around, problems)
    }

    /// Takes errors of SQL, each to its place in the file.
    #[must_use]
    pub fn check_views(&self, errors: Vec<millstream_core::operator::ViewError>) -> Problems {
        self.text.problems(errors.into_iter().map(|e| self.text.view_problem(&e)).collect())
    }
}

/// Tests that stand in a file of their own, beside their pipeline's.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read_tests(path: &Path) -> Result<Vec<TestPart>, Problems> {
    let shown = path.display().to_string();
    let text = read(path).map_err(|problem| Problems::unreadable(&shown, problem))?;
    let text: Arc<str> = text.into();
    let tree = yaml::parse(&text).map_err(|list| Problems::new(&shown, text.clone(), list))?;
    let mut problems = Vec::new();
    let shape = reading::read(&tree, &tree.root, &mut problems, |at| {
        <TestsShape as serde::Deserialize>::deserialize(at)
    });
    match shape {
        Some(shape) => Ok(shape.named()),
        None => Err(Problems::new(&shown, text, problems)),
    }
}

/// The values of a file as JSON, with `${…}` as it is written: what its JSON Schema speaks of.
///
/// # Errors
/// What keeps it from being YAML.
pub fn as_json(text: &str, file: &str) -> Result<serde_json::Value, Problems> {
    let list = match yaml::parse(text) {
        Ok(tree) => {
            let mut list = Vec::new();
            let value = reading::read(&tree, &tree.root, &mut list, |at| {
                <serde_json::Value as serde::Deserialize>::deserialize(at)
            });
            match value {
                Some(value) => return Ok(value),
                None => list,
            }
        }
        Err(list) => list,
    };
    Err(Problems::new(file, text, list))
}

fn read(path: &Path) -> Result<String, Problem> {
    let cannot = |error: std::io::Error| {
        let fix = if error.kind() == std::io::ErrorKind::NotFound {
            "check the path, or write a new file with `millstream init`"
        } else {
            "check the path and its permissions"
        };
        Problem::of_file(format!("cannot read the pipeline file: {error}")).fix(fix)
    };
    let mut bytes = Vec::new();
    // One byte more than is taken: whatever is longer, a device even, is not read to its end.
    let bound = yaml::FILE_BYTES_MAX as u64 + 1;
    let file = std::fs::File::open(path).map_err(cannot)?;
    file.take(bound).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() > yaml::FILE_BYTES_MAX {
        return Err(yaml::too_long());
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Problem::of_file(format!("the pipeline file is not UTF-8: byte {at} fits no character"))
            .fix("save it as UTF-8")
    })
}
