//! Options to parts: kinds are looked up in the registry, and parts built.

use std::path::Path;
use std::sync::Arc;

use millstream_core::Error;
use millstream_core::codec::Columns;
use millstream_core::fields::{Bytes, Span};
use millstream_core::plugin::{Plugin, Registry};

use super::checks::{self, section};
use super::problem::{Problem, Problems};
use super::reading;
use super::shape::FileShape;
use super::suggest::known;
use super::text::FileText;
use super::tree::{Filled, Key, Node, Scalar, Style, Tree, Value};
use super::{
    LookupMode, LookupPart, OnFailure, Pipeline, Place, QueuePart, Role, SinkPart, SourcePart,
    Surroundings, TablePart,
};
use crate::opening::spill_folder;

struct Building<'a> {
    tree: &'a Tree,
    pipeline: &'a str,
    folder: &'a Path,
    registry: &'a Registry,
    around: &'a dyn Surroundings,
    problems: Vec<Problem>,
}

/// Makes a pipeline of a file whose `${…}` are filled in; `problems` are those found so far.
pub(super) fn build(
    text: FileText,
    stem: &str,
    folder: &Path,
    registry: &Registry,
    around: &dyn Surroundings,
    mut problems: Vec<Problem>,
) -> Result<Pipeline, Problems> {
    let tree = &*text.tree;
    if tree.root.is_null() {
        return Err(text.problems(vec![super::yaml::empty()]));
    }
    // Read partly: its errors are listed, and what is left of it still finds others.
    let shape = reading::read_partly(tree, &tree.root, &mut problems, |at| {
        <FileShape as serde::Deserialize>::deserialize(at)
    });
    let named = shape.as_ref().and_then(|s| s.name.clone());
    if let Some(name) = &named {
        checks::pipeline_name(tree, name, &mut problems);
    }
    let name = named.unwrap_or_else(|| checks::name_of(stem));
    checks::how_many(tree, &mut problems);
    checks::names(tree, &mut problems);
    checks::rows(tree, &mut problems);
    checks::late(tree, &mut problems);

    let mut building = Building { tree, pipeline: &name, folder, registry, around, problems };
    let queue = building.queue();
    let sources = building.sources();
    let lookups = building.lookups();
    let tables = building.tables();
    let sinks = building.sinks();
    let mut problems = building.problems;
    if let Some(shape) = &shape {
        checks::http(tree, shape, &mut problems);
        checks::limits(tree, shape, &mut problems);
        checks::event_time(tree, shape, &sources, &mut problems);
        checks::lookups(tree, shape, &lookups, &mut problems);
        checks::tables(tree, shape, &tables, &mut problems);
        if let Some(queue) = &queue {
            checks::promises(tree, shape, queue, &sinks, &mut problems);
        }
    }
    let (Some(shape), Some(queue), true) = (shape, queue, problems.is_empty()) else {
        assert!(!problems.is_empty(), "a file that cannot be read has a reason");
        return Err(text.problems(problems));
    };
    Ok(joined(name, folder, shape, Parts { queue, sources, lookups, tables, sinks }, text))
}

/// Everything that is built.
struct Parts {
    queue: QueuePart,
    sources: Vec<SourcePart>,
    lookups: Vec<LookupPart>,
    tables: Vec<TablePart>,
    sinks: Vec<SinkPart>,
}

/// Puts options and parts together.
fn joined(name: String, folder: &Path, shape: FileShape, parts: Parts, text: FileText) -> Pipeline {
    let Parts { queue, mut sources, mut lookups, mut tables, mut sinks } = parts;
    // Nothing was wrong, so nothing was left out: all are in the order of the file.
    assert_eq!((sources.len(), sinks.len()), (shape.sources.0.len(), shape.sinks.0.len()));
    assert_eq!((lookups.len(), tables.len()), (shape.lookups.0.len(), shape.tables.0.len()));
    for (part, (_, options)) in lookups.iter_mut().zip(shape.lookups.0) {
        part.columns = options.columns;
        (part.ttl, part.cache_bytes) = (options.ttl, options.cache_bytes);
        (part.on_failure, part.mode) = (options.on_failure, options.mode);
    }
    for (part, (_, options)) in tables.iter_mut().zip(shape.tables.0) {
        part.columns = options.columns;
        (part.reload, part.bytes_max) = (options.reload, options.bytes_max);
    }
    for (part, (_, options)) in sources.iter_mut().zip(shape.sources.0) {
        part.declared = options.columns.is_some();
        part.columns = options.columns.or_else(|| part.source.columns());
        part.event_time = options.event_time;
    }
    for (part, (_, options)) in sinks.iter_mut().zip(shape.sinks.0) {
        part.rows = options.rows;
        part.wanted = options.promise.map(Into::into);
    }
    let threads = shape.limits.threads();
    let spill = spill_folder(queue.opener.as_ref()).into();
    let views = shape.views.0.into_iter();
    let views = views.map(|(name, view)| view.named(name, threads, &spill)).collect();
    Pipeline {
        name,
        file: None,
        folder: folder.to_owned(),
        sources,
        lookups,
        tables,
        views,
        tests: shape.tests.0.into_iter().map(|(name, test)| test.named(name)).collect(),
        sinks,
        queue,
        http: shape.http,
        limits: shape.limits,
        text,
    }
}

impl<'a> Building<'a> {
    fn sources(&mut self) -> Vec<SourcePart> {
        let registry = self.registry;
        let mut parts = Vec::new();
        for (key, node) in section(self.tree, "sources") {
            let name = &key.text;
            let source = node.get("from").and_then(|(_, from)| {
                self.part(from, &registry.sources, "source type", Role::Source, name)
            });
            let codec = match node.get("decode") {
                Some((_, decode)) if !decode.is_null() => {
                    self.part(decode, &registry.codecs, "codec", Role::Codec, name)
                }
                _ => {
                    let options = empty(self.tree.root.id, &key.at);
                    self.by_default("json", &registry.codecs, Role::Codec, name, &options)
                }
            };
            if let (Some((kind, mut source)), Some((codec_kind, codec))) = (source, codec) {
                if let Err(error) = source.repeat_header(codec.has_header()) {
                    self.at_odds(node, &error);
                }
                parts.push(SourcePart {
                    name: name.clone(),
                    kind,
                    source,
                    codec_kind,
                    codec: Arc::from(codec),
                    columns: None,
                    declared: false,
                    event_time: None,
                });
            }
        }
        parts
    }

    fn sinks(&mut self) -> Vec<SinkPart> {
        let registry = self.registry;
        let mut parts = Vec::new();
        for (key, node) in section(self.tree, "sinks") {
            let Some((_, to)) = node.get("to") else {
                continue;
            };
            let sink = self.part(to, &registry.sinks, "sink type", Role::Sink, &key.text);
            if let Some((kind, sink)) = sink {
                let name = key.text.clone();
                parts.push(SinkPart { name, kind, rows: String::new(), sink, wanted: None });
            }
        }
        parts
    }

    fn lookups(&mut self) -> Vec<LookupPart> {
        let registry = self.registry;
        let mut parts = Vec::new();
        for (key, node) in section(self.tree, "lookups") {
            let Some((_, from)) = node.get("from") else {
                continue;
            };
            let name = &key.text;
            let lookup = self.part(from, &registry.lookups, "lookup type", Role::Lookup, name);
            if let Some((kind, lookup)) = lookup {
                parts.push(LookupPart {
                    name: name.clone(),
                    kind,
                    lookup: Arc::from(lookup),
                    columns: Columns::default(),
                    ttl: Span::default(),
                    cache_bytes: Bytes::default(),
                    on_failure: OnFailure::default(),
                    mode: LookupMode::default(),
                });
            }
        }
        parts
    }

    fn tables(&mut self) -> Vec<TablePart> {
        let registry = self.registry;
        let mut parts = Vec::new();
        for (key, node) in section(self.tree, "tables") {
            let Some((_, from)) = node.get("from") else {
                continue;
            };
            let name = &key.text;
            let reader = self.part(from, &registry.tables, "table type", Role::Table, name);
            if let Some((kind, reader)) = reader {
                parts.push(TablePart {
                    name: name.clone(),
                    kind,
                    reader,
                    columns: None,
                    reload: Span::default(),
                    bytes_max: Bytes::default(),
                });
            }
        }
        parts
    }

    fn queue(&mut self) -> Option<QueuePart> {
        let registry = self.registry;
        let (kind, opener) = match self.tree.root.get("queue") {
            Some((_, node)) if !node.is_null() => {
                self.part(node, &registry.queues, "queue type", Role::Queue, "queue")?
            }
            _ => {
                // A folder of its own, so that two pipelines in one folder do not meet in one log.
                let path = Scalar {
                    text: format!("data/{}", self.pipeline),
                    style: Style::Double,
                    filled: Filled::No,
                };
                let mut options = empty(self.tree.root.id, &(0..0));
                let key = Key { text: "path".into(), at: 0..0 };
                let path = Node { id: options.id + 1, at: 0..0, value: Value::Scalar(path) };
                options.value = Value::Map(vec![(key, path)]);
                self.by_default("log", &registry.queues, Role::Queue, "queue", &options)?
            }
        };
        Some(QueuePart { kind, opener })
    }

    /// Builds the part that a map of one kind and its options stands for; or a bare kind, without options.
    fn part<P: ?Sized>(
        &mut self,
        node: &'a Node,
        table: &[Plugin<P>],
        noun: &str,
        role: Role,
        name: &str,
    ) -> Option<(&'static str, Box<P>)> {
        let none = |at| Problem::new(format!("no {noun} is chosen"), at).fix(kinds(table));
        let place = self.tree.place(node);
        let (kind, at, options) = match &node.value {
            Value::Scalar(s) if s.filled == Filled::Lost => return None,
            Value::Scalar(s) if !node.is_null() => (&s.text, place, None),
            Value::Scalar(_) | Value::List(_) => {
                self.tell(none(place), node);
                return None;
            }
            Value::Map(entries) => match entries.as_slice() {
                [] => {
                    self.tell(none(place), node);
                    return None;
                }
                [(key, options)] => (&key.text, key.at.clone(), Some(options)),
                [(first, _), (second, _), ..] => {
                    let what = format!(
                        "one {noun} has to stand here, not `{}` and `{}`",
                        first.text, second.text
                    );
                    let problem = Problem::new(what, second.at.clone()).fix(apart(entries));
                    self.tell(problem, node);
                    return None;
                }
            },
        };
        let Some(plugin) = table.iter().find(|p| p.name == kind) else {
            let problem = Problem::new(format!("unknown {noun} `{kind}`"), at)
                .fix(known(kind, sorted(table)));
            self.tell(problem, node);
            return None;
        };
        match options {
            Some(options) => self.built(plugin, options, role, name),
            None => self.built(plugin, &empty(node.id, &node.at), role, name),
        }
    }

    fn by_default<P: ?Sized>(
        &mut self,
        kind: &str,
        table: &[Plugin<P>],
        role: Role,
        name: &str,
        options: &Node,
    ) -> Option<(&'static str, Box<P>)> {
        let Some(plugin) = table.iter().find(|p| p.name == kind) else {
            let what =
                format!("`{kind}` is the default here, but this program is built without it");
            self.problems.push(Problem::new(what, options.at.clone()).fix(kinds(table)));
            return None;
        };
        self.built(plugin, options, role, name)
    }

    fn built<P: ?Sized>(
        &mut self,
        plugin: &Plugin<P>,
        options: &Node,
        role: Role,
        name: &str,
    ) -> Option<(&'static str, Box<P>)> {
        let place = Place { pipeline: self.pipeline, folder: self.folder, role, name };
        let env = self.around.env(place);
        let built = reading::read(self.tree, options, &mut self.problems, |at| {
            (plugin.build)(&mut <dyn erased_serde::Deserializer<'_>>::erase(at), &env)
        })?;
        match built {
            Ok(part) => Some((plugin.name, part)),
            Err(error) => {
                self.tell(contradiction(self.tree, options, &error), options);
                None
            }
        }
    }

    /// A source's options contradict its codec.
    fn at_odds(&mut self, source: &Node, error: &Error) {
        let Some((_, from)) = source.get("from") else { return };
        let options = match &from.value {
            Value::Map(entries) => entries.first().map_or(from, |(_, options)| options),
            Value::Scalar(_) | Value::List(_) => from,
        };
        self.tell(contradiction(self.tree, options, error), options);
    }

    fn tell(&mut self, problem: Problem, node: &Node) {
        let problem =
            if problem.path.is_empty() { problem.path(self.tree.path(node.id)) } else { problem };
        self.problems.push(problem);
    }
}

/// How to mend several keys where one kind has to stand.
fn apart(entries: &[(Key, Node)]) -> String {
    // As other tools have it: `type: http` beside its options.
    let tagged = entries.iter().find_map(|(key, value)| match &value.value {
        Value::Scalar(s) if matches!(key.text.as_str(), "type" | "kind") => Some(&s.text),
        Value::Scalar(_) | Value::List(_) | Value::Map(_) => None,
    });
    match (tagged, entries.first()) {
        (Some(kind), _) => {
            format!("write the type as the key, its options below: `{kind}: {{ … }}`")
        }
        (None, Some((key, _))) => {
            format!("leave one out; options go below the type: `{}: {{ … }}`", key.text)
        }
        (None, None) => String::new(),
    }
}

/// A map without entries, in the place of what was left out.
fn empty(id: usize, at: &std::ops::Range<usize>) -> Node {
    Node { id, at: at.clone(), value: Value::Map(Vec::new()) }
}

fn sorted<P: ?Sized>(table: &[Plugin<P>]) -> Vec<&'static str> {
    let mut names: Vec<&'static str> = table.iter().map(|p| p.name).collect();
    names.sort_unstable();
    names
}

fn kinds<P: ?Sized>(table: &[Plugin<P>]) -> String {
    format!("write one of: {}", sorted(table).join(", "))
}

/// What a part says about options that do not go together. If it says at which option, the caret goes there.
pub(super) fn contradiction(tree: &Tree, options: &Node, error: &Error) -> Problem {
    let named = error.place().and_then(|place| {
        place.split('.').try_fold(options, |node, key| node.get(key).map(|(_, below)| below))
    });
    let problem = match named {
        Some(node) => Problem::new(error.what(), tree.place(node)).path(tree.path(node.id)),
        None => {
            let path = tree.path(options.id);
            Problem::new(error.line(), tree.named_at(options)).path(path)
        }
    };
    match error.how_to_fix() {
        Some(fix) => problem.fix(fix),
        None => problem,
    }
}
