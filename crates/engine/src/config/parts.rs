//! Options to parts: names are checked, kinds looked up in the registry, parts built.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use millstream_core::Error;
use millstream_core::operator::View;
use millstream_core::plugin::{Plugin, Registry};

use super::decode;
use super::problem::{Problem, Problems};
use super::shape::{FileShape, LATER};
use super::suggest::known;
use super::text::FileText;
use super::tree::{Key, Node, Tree, Value};
use super::{Pipeline, Place, QueuePart, Role, SinkPart, SourcePart, Surroundings};

/// The longest name of a source, view, sink or pipeline: names become names of files and tables.
pub(super) const NAME_BYTES_MAX: usize = 64;

struct Building<'a> {
    tree: &'a Tree,
    pipeline: &'a str,
    folder: &'a Path,
    registry: &'a Registry,
    around: &'a dyn Surroundings,
    problems: Vec<Problem>,
}

pub(super) fn build(
    text: FileText,
    stem: &str,
    folder: &Path,
    registry: &Registry,
    around: &dyn Surroundings,
    mut problems: Vec<Problem>,
) -> Result<Pipeline, Problems> {
    let tree = text.tree.clone();
    if tree.root.is_null() {
        return Err(text.problems(vec![super::yaml::empty()]));
    }
    let shape = decode::read_partly(&tree, &tree.root, LATER, &mut problems, |at| {
        <FileShape as serde::Deserialize>::deserialize(at)
    });
    let name = match shape.as_ref().and_then(|s| s.name.clone()) {
        Some(name) => {
            if let Some((_, node)) = tree.root.get("name") {
                check_pipeline_name(&tree, node, &name, &mut problems);
            }
            name
        }
        None => from_stem(stem),
    };
    let mut building =
        Building { tree: &tree, pipeline: &name, folder, registry, around, problems };
    building.check_names();
    let queue = building.queue();
    let mut sources = building.sources();
    let mut sinks = building.sinks();
    let mut problems = building.problems;
    let (Some(shape), Some(queue)) = (shape, queue) else {
        return Err(text.problems(problems));
    };
    check_http(&tree, &shape, &mut problems);
    check_limits(&tree, &shape, &mut problems);
    if !problems.is_empty() {
        return Err(text.problems(problems));
    }
    for (name, options) in shape.sources.0 {
        if let Some(part) = sources.iter_mut().find(|p| p.name == name) {
            part.declared = options.columns.is_some();
            part.columns = options.columns.or_else(|| part.source.columns());
        }
    }
    for (name, options) in shape.sinks.0 {
        if let Some(part) = sinks.iter_mut().find(|p| p.name == name) {
            part.rows = options.rows;
            part.wanted = options.promise.map(Into::into);
        }
    }
    let views = shape.views.0.into_iter().map(|(name, sql)| View { name, sql }).collect();
    Ok(Pipeline {
        name,
        file: None,
        folder: folder.to_owned(),
        sources,
        views,
        sinks,
        queue,
        http: shape.http,
        limits: shape.limits,
        text,
    })
}

impl<'a> Building<'a> {
    /// The entries of a map at the top of the file.
    fn section(&self, key: &str) -> &'a [(Key, Node)] {
        self.tree.root.get(key).and_then(|(_, node)| node.entries()).unwrap_or(&[])
    }

    fn sources(&mut self) -> Vec<SourcePart> {
        let mut parts = Vec::new();
        for (key, node) in self.section("sources") {
            let registry = self.registry;
            let source = node.get("from").and_then(|(_, from)| {
                self.part(from, &registry.sources, "source type", Role::Source, &key.text)
            });
            let codec = match node.get("decode") {
                Some((_, decode)) => {
                    self.part(decode, &registry.codecs, "codec", Role::Codec, &key.text)
                }
                None => self.by_default("json", &registry.codecs, Role::Codec, &key.text, key),
            };
            if let (Some((kind, source)), Some((codec_kind, codec))) = (source, codec) {
                parts.push(SourcePart {
                    name: key.text.clone(),
                    kind,
                    source,
                    codec_kind,
                    codec: Arc::from(codec),
                    columns: None,
                    declared: false,
                });
            }
        }
        parts
    }

    fn sinks(&mut self) -> Vec<SinkPart> {
        let mut parts = Vec::new();
        for (key, node) in self.section("sinks") {
            let registry = self.registry;
            let sink = node.get("to").and_then(|(_, to)| {
                self.part(to, &registry.sinks, "sink type", Role::Sink, &key.text)
            });
            if let Some((_, rows)) = node.get("rows") {
                self.check_rows(rows);
            }
            if let Some((kind, sink)) = sink {
                let name = key.text.clone();
                parts.push(SinkPart { name, kind, rows: String::new(), sink, wanted: None });
            }
        }
        parts
    }

    fn queue(&mut self) -> Option<QueuePart> {
        let registry = self.registry;
        let (kind, opener) = match self.tree.root.get("queue") {
            Some((_, node)) if !node.is_null() => {
                self.part(node, &registry.queues, "queue", Role::Queue, "queue")?
            }
            _ => {
                let key = Key { text: String::new(), at: 0..0 };
                self.by_default("log", &registry.queues, Role::Queue, "queue", &key)?
            }
        };
        Some(QueuePart { kind, opener })
    }

    /// Builds the part that a map of one kind and its options stands for.
    fn part<P: ?Sized>(
        &mut self,
        node: &'a Node,
        table: &[Plugin<P>],
        noun: &str,
        role: Role,
        name: &str,
    ) -> Option<(&'static str, Box<P>)> {
        let (kind, at, options) = match &node.value {
            Value::Map(entries) => match entries.as_slice() {
                [(key, options)] => (key.text.as_str(), key.at.clone(), Some(options)),
                entries => {
                    let second =
                        entries.get(1).map_or(self.tree.place(node), |(k, _)| k.at.clone());
                    let names = entries.iter().map(|(k, _)| format!("`{}`", k.text));
                    let what = match entries.len() {
                        0 => format!("no {noun} is chosen"),
                        _ => format!(
                            "one {noun} has to stand here, not {}",
                            names.collect::<Vec<_>>().join(" and ")
                        ),
                    };
                    self.tell(Problem::new(what, second).fix(kinds(table)), node);
                    return None;
                }
            },
            Value::Scalar(s) if s.filled == super::tree::Filled::Lost => return None,
            Value::Scalar(s) if !node.is_null() => (s.text.as_str(), node.at.clone(), None),
            Value::Scalar(_) | Value::List(_) => {
                let what = format!("no {noun} is chosen");
                self.tell(Problem::new(what, self.tree.place(node)).fix(kinds(table)), node);
                return None;
            }
        };
        let Some(plugin) = table.iter().find(|p| p.name == kind) else {
            let problem = Problem::new(format!("unknown {noun} `{kind}`"), at)
                .fix(known(kind, sorted(table)));
            self.tell(problem, node);
            return None;
        };
        let empty = empty(node);
        let options = options.unwrap_or(&empty);
        self.built(plugin, options, role, name)
    }

    fn built<P: ?Sized>(
        &mut self,
        plugin: &Plugin<P>,
        options: &Node,
        role: Role,
        name: &str,
    ) -> Option<(&'static str, Box<P>)> {
        let env =
            self.around.env(Place { pipeline: self.pipeline, folder: self.folder, role, name });
        let built = decode::read(self.tree, options, &[], &mut self.problems, |at| {
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

    fn by_default<P: ?Sized>(
        &mut self,
        kind: &str,
        table: &[Plugin<P>],
        role: Role,
        name: &str,
        owner: &Key,
    ) -> Option<(&'static str, Box<P>)> {
        let Some(plugin) = table.iter().find(|p| p.name == kind) else {
            let what =
                format!("`{kind}` is the default here, but this program was built without it");
            self.problems.push(Problem::new(what, owner.at.clone()).fix(kinds(table)));
            return None;
        };
        let mut node = empty(&self.tree.root);
        node.at = owner.at.clone();
        self.built(plugin, &node, role, name)
    }

    fn tell(&mut self, problem: Problem, node: &Node) {
        let path =
            if problem.path.is_empty() { self.tree.path(node.id) } else { problem.path.clone() };
        self.problems.push(problem.path(path));
    }

    /// Names of sources and views, with where each stands.
    fn readable(&self) -> Vec<&'a str> {
        ["sources", "views"]
            .iter()
            .flat_map(|s| self.section(s))
            .map(|(key, _)| key.text.as_str())
            .collect()
    }

    fn check_rows(&mut self, rows: &Node) {
        let Value::Scalar(s) = &rows.value else {
            return;
        };
        let names = self.readable();
        if s.filled == super::tree::Filled::Lost
            || names.contains(&s.text.as_str())
            || rows.is_null()
        {
            return;
        }
        let what = format!("`{}` is neither a source nor a view", s.text);
        let problem = Problem::new(what, rows.at.clone()).fix(known(&s.text, names));
        self.tell(problem, rows);
    }

    fn check_names(&mut self) {
        for (section, word) in [("sources", "source"), ("sinks", "sink")] {
            if let Some((key, node)) = self.tree.root.get(section)
                && node.entries().map_or(node.is_null(), <[_]>::is_empty)
            {
                let problem = Problem::new(format!("there is no {word}"), key.at.clone())
                    .path(section)
                    .fix(format!("a pipeline needs at least one {word}"));
                self.problems.push(problem);
            }
        }
        let mut seen: BTreeMap<String, (&Key, &str)> = BTreeMap::new();
        for section in ["sources", "views", "sinks"] {
            for (key, _) in self.section(section) {
                if let Some(problem) = bad_name(key) {
                    self.problems.push(problem.path(format!("{section}.{}", key.text)));
                }
                if section == "sinks" {
                    continue;
                }
                // SQL takes `Orders` and `orders` for one name unless it is quoted.
                if let Some((before, other)) = seen.insert(key.text.to_lowercase(), (key, section))
                {
                    let one = other.trim_end_matches('s');
                    let what = if before.text == key.text {
                        format!("`{}` is already the name of a {one}", key.text)
                    } else {
                        format!(
                            "`{}` and the {one} `{}` differ only in case",
                            key.text, before.text
                        )
                    };
                    let problem = Problem::new(what, key.at.clone())
                        .see(before.at.clone(), format!("the {one}"))
                        .fix("give one of them another name: both are tables in SQL")
                        .path(format!("{section}.{}", key.text));
                    self.problems.push(problem);
                }
            }
        }
    }
}

/// A map without entries that stands where `node` does.
fn empty(node: &Node) -> Node {
    Node { id: node.id, at: node.at.clone(), value: Value::Map(Vec::new()) }
}

fn sorted<P: ?Sized>(table: &[Plugin<P>]) -> Vec<&'static str> {
    let mut names: Vec<&'static str> = table.iter().map(|p| p.name).collect();
    names.sort_unstable();
    names
}

fn kinds<P: ?Sized>(table: &[Plugin<P>]) -> String {
    format!("write one of: {}", sorted(table).join(", "))
}

/// What a part says about options that do not go together.
fn contradiction(tree: &Tree, options: &Node, error: &Error) -> Problem {
    // A part that names an option has the caret put there.
    let named = error.place().and_then(|place| {
        place.split('.').try_fold(options, |node, key| node.get(key).map(|(_, below)| below))
    });
    let problem = match named {
        Some(node) => Problem::new(error.what(), tree.place(node)).path(tree.path(node.id)),
        None => Problem::new(error.line(), tree.named_at(options)),
    };
    match error.how_to_fix() {
        Some(fix) => problem.fix(fix),
        None => problem,
    }
}

fn bad_name(key: &Key) -> Option<Problem> {
    let starts = key.text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let fits = key.text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if key.text.len() > NAME_BYTES_MAX {
        let what = format!("a name has at most {NAME_BYTES_MAX} characters");
        return Some(Problem::new(what, key.at.clone()).fix("choose a shorter one"));
    }
    (!starts || !fits).then(|| {
        Problem::new(format!("`{}` cannot be a name", key.text), key.at.clone())
            .fix("use letters, digits and `_`, and begin with no digit: names are tables in SQL")
    })
}

fn check_pipeline_name(tree: &Tree, node: &Node, name: &str, problems: &mut Vec<Problem>) {
    let fits = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if fits && !name.is_empty() && name.len() <= NAME_BYTES_MAX {
        return;
    }
    problems.push(
        Problem::new(format!("`{name}` cannot be the name of a pipeline"), tree.place(node))
            .path("name")
            .fix(format!("use at most {NAME_BYTES_MAX} letters, digits, `_` and `-`")),
    );
}

/// A name made of a file's: what does not fit becomes `_`.
fn from_stem(stem: &str) -> String {
    let fit = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let name: String = stem.chars().take(NAME_BYTES_MAX).map(fit).collect();
    if name.is_empty() { "pipeline".to_owned() } else { name }
}

fn check_http(tree: &Tree, shape: &FileShape, problems: &mut Vec<Problem>) {
    let Some(http) = &shape.http else {
        return;
    };
    if let Err(error) = http.address() {
        let (_, options) = match tree.root.get("http") {
            Some(entry) => entry,
            None => return,
        };
        problems.push(contradiction(tree, options, &error).path("http.listen"));
    }
}

fn check_limits(tree: &Tree, shape: &FileShape, problems: &mut Vec<Problem>) {
    let limits = &shape.limits;
    let zero = [
        ("step_bytes", limits.step_bytes.0 == 0),
        ("outbox_bytes", limits.outbox_bytes.0 == 0),
        ("dead_bytes", limits.dead_bytes.0 == 0),
        ("retry_max", limits.retry_max.0.is_zero()),
    ];
    for (name, is_zero) in zero {
        if is_zero && let Some((_, node)) = tree.root.get("limits").and_then(|(_, l)| l.get(name)) {
            problems.push(
                Problem::new(format!("`{name}` cannot be zero"), tree.place(node))
                    .path(format!("limits.{name}"))
                    .fix("nothing would ever move: leave it out to have the default"),
            );
        }
    }
}
