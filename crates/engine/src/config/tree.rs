//! A pipeline file as a tree whose every node knows its place in the text.

use std::ops::Range;

/// The tree of a file. Nodes are numbered from 0, the root, in the order of the text.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) root: Node,
    links: Vec<Link>,
}

/// A value and the bytes it was written in.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Its number in the tree.
    pub(super) id: usize,
    pub(super) at: Range<usize>,
    pub(super) value: Value,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// The key of a map, always text.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) text: String,
    pub(super) at: Range<usize>,
}

#[derive(Clone, Debug)]
pub(super) struct Scalar {
    pub(super) text: String,
    pub(super) style: Style,
    pub(super) filled: Filled,
}

/// How a scalar was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Single,
    Double,
    Literal,
    Folded,
}

/// How much of a scalar came from `${…}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filled {
    /// Nothing.
    No,
    /// Some of it: it is text.
    Part,
    /// All of it: it is whatever type is wanted.
    Whole,
    /// It could not be had, and that has been told: it fits whatever is wanted.
    Lost,
}

/// Where a node hangs.
#[derive(Debug)]
struct Link {
    parent: Option<usize>,
    /// Its key, or its place in a list.
    step: String,
    /// Where to point when the node itself is missing something.
    named_at: Range<usize>,
}

impl Tree {
    /// Numbers the nodes below `root`.
    pub(super) fn new(mut root: Node) -> Self {
        let mut links = Vec::new();
        let at = root.at.start..root.at.start;
        number(&mut root, Link { parent: None, step: String::new(), named_at: at }, &mut links);
        Self { root, links }
    }

    /// The node that a node hangs on.
    pub(super) fn parent(&self, id: usize) -> Option<usize> {
        self.links.get(id).and_then(|l| l.parent)
    }

    /// The keys that lead to a node, joined by dots.
    pub(super) fn path(&self, id: usize) -> String {
        let mut steps = Vec::new();
        let mut next = Some(id);
        while let Some(link) = next.and_then(|id| self.links.get(id)) {
            if !link.step.is_empty() {
                steps.push(link.step.as_str());
            }
            next = link.parent;
        }
        steps.reverse();
        steps.join(".")
    }

    /// Where to point for a node: its own text if it is short, else the key it stands under.
    pub(super) fn place(&self, node: &Node) -> Range<usize> {
        match &node.value {
            Value::Scalar(s) if !s.is_block() && !node.at.is_empty() => node.at.clone(),
            Value::Scalar(_) | Value::List(_) | Value::Map(_) => self.named_at(node),
        }
    }

    /// The key that a node stands under; its own place if it has none.
    pub(super) fn named_at(&self, node: &Node) -> Range<usize> {
        match self.links.get(node.id) {
            Some(link) => link.named_at.clone(),
            None => node.at.clone(),
        }
    }
}

impl Scalar {
    fn is_block(&self) -> bool {
        matches!(self.style, Style::Literal | Style::Folded)
    }
}

impl Node {
    /// The entries, if it is a map.
    pub(super) fn entries(&self) -> Option<&[(Key, Node)]> {
        match &self.value {
            Value::Map(entries) => Some(entries),
            Value::Scalar(_) | Value::List(_) => None,
        }
    }

    /// What stands under a key, if it is a map that has it.
    pub(super) fn get(&self, key: &str) -> Option<&(Key, Node)> {
        self.entries()?.iter().find(|(k, _)| k.text == key)
    }

    /// Whether nothing was written.
    pub(super) fn is_null(&self) -> bool {
        match &self.value {
            Value::Scalar(s) => {
                s.style == Style::Plain
                    && s.filled == Filled::No
                    && matches!(s.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
            }
            Value::List(_) | Value::Map(_) => false,
        }
    }
}

fn number(node: &mut Node, link: Link, links: &mut Vec<Link>) {
    node.id = links.len();
    links.push(link);
    let id = node.id;
    match &mut node.value {
        Value::Scalar(_) => {}
        Value::List(items) => {
            for (i, item) in items.iter_mut().enumerate() {
                let named_at = item.at.start..item.at.start + 1;
                number(item, Link { parent: Some(id), step: i.to_string(), named_at }, links);
            }
        }
        Value::Map(entries) => {
            for (key, value) in entries {
                let link =
                    Link { parent: Some(id), step: key.text.clone(), named_at: key.at.clone() };
                number(value, link, links);
            }
        }
    }
}
