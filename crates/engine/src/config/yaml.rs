//! YAML to a [`Tree`]: parser events, aliases and merge keys resolved within bounds.

use std::collections::BTreeMap;
use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle, Span};

use super::problem::{Problem, line_col};
use super::tree::{Filled, Key, Node, Scalar, Style, Tree, Value};
use super::yaml_error::{broken, too_deep};

/// The longest pipeline file, in bytes.
pub(super) const FILE_BYTES_MAX: usize = 1 << 20;
/// The most values in a file once every alias is replaced by what it stands for.
const NODES_MAX: usize = 100_000;
/// The most bytes of text in them.
const TEXT_BYTES_MAX: usize = 8 << 20;
/// The deepest nesting.
pub(super) const DEPTH_MAX: usize = 64;

/// Reads the one document of a file.
///
/// Duplicate keys are all listed; anything that breaks the structure ends the reading.
pub(super) fn parse(text: &str) -> Result<Tree, Vec<Problem>> {
    if text.len() > FILE_BYTES_MAX {
        return Err(vec![too_long()]);
    }
    let mut builder = Builder { text, ..Builder::default() };
    // Comments are no part of the tree.
    let mut options = granit_parser::Options::default();
    options.set_emit_comments(false);
    options.emit_unresolved_aliases = true;
    options.block_nesting_limit = DEPTH_MAX;
    options.flow_nesting_limit = DEPTH_MAX;
    for next in Parser::new_from_str_with_options(text, options) {
        let stop = match next {
            Ok((event, span)) => {
                tag(text, &event, &span).and_then(|()| builder.take(event, &bytes(&span)))
            }
            Err(error) => Err(Box::new(broken(text, &error, builder.open.last().map(|o| o.start)))),
        };
        if let Err(problem) = stop {
            builder.problems.push(*problem);
            return Err(builder.problems);
        }
    }
    match builder.root {
        Some(root) if builder.problems.is_empty() => Ok(Tree::new(root)),
        Some(_) => Err(builder.problems),
        None => Err(vec![empty()]),
    }
}

pub(super) fn too_long() -> Problem {
    Problem::of_file(format!("the pipeline file is longer than {FILE_BYTES_MAX} bytes"))
        .fix("a pipeline file holds no rows: keep them in a file of their own")
}

pub(super) fn empty() -> Problem {
    Problem::new("the pipeline file is empty", 0..0)
        .fix("`millstream init` writes one to start from")
}

fn bytes(span: &Span) -> Range<usize> {
    span.byte_range().unwrap_or(0..0)
}

/// Refuses tags: the core ones say what the value says anyway, others would need code to build them.
fn tag(text: &str, event: &Event<'_>, span: &Span) -> Step {
    let Some(tag) = event.tag() else {
        return Ok(());
    };
    let at = span.tag_span();
    let written = at.and_then(|at| at.slice(text)).map_or_else(|| tag.to_string(), str::to_owned);
    Err(Box::new(
        Problem::new(format!("the tag `{written}` is not taken here"), bytes(&at.unwrap_or(*span)))
            .fix("leave the tag out; write a number bare and text in quotes"),
    ))
}

type Step = Result<(), Box<Problem>>;

#[derive(Default)]
struct Builder<'t> {
    text: &'t str,
    open: Vec<Open>,
    anchors: BTreeMap<usize, Anchored>,
    root: Option<Node>,
    documents: usize,
    nodes: usize,
    text_bytes: usize,
    problems: Vec<Problem>,
}

/// What an anchor stands for.
enum Anchored {
    /// Not closed yet.
    Open,
    Done {
        node: Node,
        size: Size,
    },
}

/// How much a node holds, itself included.
#[derive(Clone, Copy, Default)]
struct Size {
    nodes: usize,
    text_bytes: usize,
    depth: usize,
}

/// A list or map that is not closed yet.
struct Open {
    start: usize,
    anchor: usize,
    kind: Kind,
    size: Size,
}

enum Kind {
    List(Vec<Node>),
    Map { entries: Vec<(Key, Node)>, key: Option<Key> },
}

impl Builder<'_> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "other events hold no values")]
    fn take(&mut self, event: Event<'_>, at: &Range<usize>) -> Step {
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(Box::new(
                        Problem::new("a second document begins here", at.clone())
                            .fix("one file holds one pipeline: move it to a file of its own"),
                    ));
                }
            }
            Event::Scalar(text, style, anchor, _) => {
                let size = Size { nodes: 1, text_bytes: text.len(), depth: 0 };
                let scalar =
                    Scalar { text: text.into_owned(), style: written(style), filled: Filled::No };
                let node = Node { id: 0, at: at.clone(), value: Value::Scalar(scalar) };
                self.spend(size, at)?;
                self.anchor(anchor, &node, size);
                self.put(node, size)?;
            }
            Event::SequenceStart(_, anchor, _) => self.open(anchor, at, Kind::List(Vec::new()))?,
            Event::MappingStart(_, anchor, _) => {
                self.open(anchor, at, Kind::Map { entries: Vec::new(), key: None })?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(at)?,
            Event::Alias(anchor) => self.alias(anchor, at)?,
            Event::UnresolvedAlias(name) => {
                return Err(Box::new(
                    Problem::new(format!("no anchor `&{name}` stands before this"), at.clone())
                        .fix(format!("write `&{name}` before the value that is meant, or put this into quotes if it is text")),
                ));
            }
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, anchor: usize, at: &Range<usize>, kind: Kind) -> Step {
        if self.open.len() >= DEPTH_MAX {
            return Err(Box::new(too_deep(at)));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, Anchored::Open);
        }
        let size = Size { nodes: 1, ..Size::default() };
        self.spend(size, at)?;
        self.open.push(Open { start: at.start, anchor, kind, size });
        Ok(())
    }

    fn close(&mut self, at: &Range<usize>) -> Step {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        let value = match open.kind {
            Kind::List(items) => Value::List(items),
            Kind::Map { entries, .. } => Value::Map(self.merge(entries)?),
        };
        let node = Node { id: 0, at: open.start..at.end.max(open.start), value };
        self.anchor(open.anchor, &node, open.size);
        self.put(node, open.size)
    }

    fn anchor(&mut self, anchor: usize, node: &Node, size: Size) {
        if anchor != 0 {
            self.anchors.insert(anchor, Anchored::Done { node: node.clone(), size });
        }
    }

    fn alias(&mut self, anchor: usize, at: &Range<usize>) -> Step {
        let (node, size) = match self.anchors.get(&anchor) {
            Some(Anchored::Done { node, size }) => (node, *size),
            Some(Anchored::Open) | None => {
                return Err(Box::new(
                    Problem::new("a value cannot hold itself", at.clone())
                        .fix("refer to something outside of it"),
                ));
            }
        };
        if self.open.len() + size.depth > DEPTH_MAX {
            return Err(Box::new(too_deep(at)));
        }
        // Counted before it is copied: a few lines of aliases can stand for billions of values.
        let node = (self.nodes + size.nodes <= NODES_MAX
            && self.text_bytes + size.text_bytes <= TEXT_BYTES_MAX)
            .then(|| node.clone());
        self.spend(size, at)?;
        match node {
            Some(node) => self.put(node, size),
            None => Ok(()),
        }
    }

    /// Counts what a node holds against the bounds of the file.
    fn spend(&mut self, size: Size, at: &Range<usize>) -> Step {
        self.nodes += size.nodes;
        self.text_bytes += size.text_bytes;
        if self.nodes <= NODES_MAX && self.text_bytes <= TEXT_BYTES_MAX {
            return Ok(());
        }
        Err(Box::new(
            Problem::new(
                format!("the file holds more than {NODES_MAX} values, or {TEXT_BYTES_MAX} bytes of text, once its aliases are resolved"),
                at.clone(),
            )
            .fix("use fewer aliases, or split the file into several pipelines"),
        ))
    }

    /// Hangs a whole node where it belongs.
    fn put(&mut self, node: Node, size: Size) -> Step {
        let Some(top) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        top.size.nodes += size.nodes;
        top.size.text_bytes += size.text_bytes;
        top.size.depth = top.size.depth.max(size.depth + 1);
        match &mut top.kind {
            Kind::List(items) => items.push(node),
            Kind::Map { entries, key } => match key.take() {
                Some(key) => entries.push((key, node)),
                None => *key = Some(self::key(node, self.text)?),
            },
        }
        Ok(())
    }

    /// Finds keys given twice, and replaces `<<: *other` by the entries of the other map that are not
    /// given here.
    fn merge(&mut self, entries: Vec<(Key, Node)>) -> Result<Vec<(Key, Node)>, Box<Problem>> {
        let mut first: BTreeMap<String, Range<usize>> = BTreeMap::new();
        let (mut own, mut merged) = (Vec::with_capacity(entries.len()), Vec::new());
        for (key, node) in entries {
            if let Some(before) = first.get(&key.text) {
                let (line, _) = line_col(self.text, before.start);
                self.problems.push(
                    Problem::new(format!("`{}` is given twice", key.text), key.at)
                        .see(before.clone(), "first given here")
                        .fix(format!("leave one of them out: the other is on line {line}")),
                );
                continue;
            }
            first.insert(key.text.clone(), key.at.clone());
            if key.text == "<<" {
                merged.push(node);
            } else {
                own.push((key, node));
            }
        }
        for node in merged {
            let at = node.at.clone();
            let from = match node.value {
                Value::List(items) => items,
                Value::Map(_) | Value::Scalar(_) => vec![node],
            };
            for map in from {
                let Value::Map(entries) = map.value else {
                    return Err(Box::new(
                        Problem::new("`<<` takes a map, or a list of maps", at)
                            .fix("write `<<: *name`, where `&name` stands before a map"),
                    ));
                };
                for (key, value) in entries {
                    if !first.contains_key(&key.text) {
                        first.insert(key.text.clone(), key.at.clone());
                        own.push((key, value));
                    }
                }
            }
        }
        Ok(own)
    }
}

fn key(node: Node, text: &str) -> Result<Key, Box<Problem>> {
    match node.value {
        Value::Scalar(s) => Ok(Key { text: s.text, at: node.at }),
        Value::List(_) | Value::Map(_) => {
            let problem = Problem::new("a list or map cannot be a key", node.at.clone());
            // What people mean when they write this is a value from the environment.
            let dollar = text.get(..node.at.start).is_some_and(|before| before.ends_with('$'));
            Err(Box::new(problem.fix(if dollar {
                "put `${…}` into quotes"
            } else {
                "write the key as text, in quotes if it has special characters"
            })))
        }
    }
}

fn written(style: ScalarStyle) -> Style {
    match style {
        ScalarStyle::Plain => Style::Plain,
        ScalarStyle::SingleQuoted => Style::Single,
        ScalarStyle::DoubleQuoted => Style::Double,
        ScalarStyle::Literal => Style::Literal,
        ScalarStyle::Folded => Style::Folded,
    }
}
