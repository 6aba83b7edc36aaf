//! Reads a part of the tree until every error in it has been met.
//!
//! Serde stops at the first error. So each error is noted with the node it arose at, that node is
//! skipped, and the part is read again, until it can be read or nothing is left to skip. A field whose
//! value was skipped is, where it must be there, filled with a hole: whatever empty value its type takes.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Display;

use super::decode::At;
use super::problem::Problem;
use super::suggest::{known, nearest};
use super::tree::{Filled, Key, Node, Tree, Value};
use super::wrong::{Wrong, problem};

/// Reads one part of the file: a node and all below it.
pub(super) struct Reading<'t> {
    tree: &'t Tree,
    root: &'t Node,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    /// What stopped the attempt that is under way: the first error, where it arose.
    failure: Option<(usize, Wrong)>,
    /// Nodes that are known to be wrong.
    skipped: BTreeSet<usize>,
    /// Maps that were read as a struct, whose fields are known: only those can have holes.
    structs: BTreeSet<usize>,
    /// Names that keys which are unknown were likely meant to be, by the map they are in.
    meant: BTreeSet<(usize, String)>,
    /// Fields that are known to be missing or wrong, by the map they belong to.
    holes: BTreeSet<(usize, &'static str)>,
    problems: Vec<Problem>,
    /// Whether any value was left out, so that what is read is not what was written.
    partial: bool,
}

/// More attempts than any part has errors that a person would mend at once.
const ATTEMPTS_MAX: usize = 64;

/// Reads `root` by `read`, which is called again after each error. `None` if anything was wrong.
pub(super) fn read<'t, T, E: Display>(
    tree: &'t Tree,
    root: &'t Node,
    problems: &mut Vec<Problem>,
    read: impl FnMut(At<'_>) -> Result<T, E>,
) -> Option<T> {
    let reading = Reading { tree, root, state: RefCell::default() };
    let value = reading.attempts(read);
    let state = reading.state.into_inner();
    problems.extend(state.problems);
    if state.partial { None } else { value }
}

/// As [`read`], but also gives what could be read beside the errors.
pub(super) fn read_partly<'t, T, E: Display>(
    tree: &'t Tree,
    root: &'t Node,
    problems: &mut Vec<Problem>,
    read: impl FnMut(At<'_>) -> Result<T, E>,
) -> Option<T> {
    let reading = Reading { tree, root, state: RefCell::default() };
    let value = reading.attempts(read);
    problems.extend(reading.state.into_inner().problems);
    value
}

impl<'t> Reading<'t> {
    fn attempts<T, E: Display>(&self, mut read: impl FnMut(At<'_>) -> Result<T, E>) -> Option<T> {
        for _ in 0..ATTEMPTS_MAX {
            let error = match read(At::new(self.root, self)) {
                Ok(value) => return Some(value),
                Err(error) => error,
            };
            let mut state = self.state.borrow_mut();
            state.partial = true;
            let failure = state.failure.take();
            let (id, wrong) =
                failure.unwrap_or_else(|| (self.root.id, Wrong::Custom(error.to_string())));
            if !self.give_up_on(&mut state, id, &wrong) {
                return None;
            }
        }
        None
    }

    /// Tells of an error, and sees to it that the next attempt does not meet it. False if that cannot be.
    fn give_up_on(&self, state: &mut State, id: usize, wrong: &Wrong) -> bool {
        let Some(node) = self.find(id) else {
            return false;
        };
        let mut target = id;
        match wrong {
            Wrong::Silent => {}
            Wrong::Missing(field) if state.structs.contains(&id) => {
                if state.holes.insert((id, field)) {
                    let meant = state.meant.contains(&(id, (*field).to_owned()));
                    if node.get(field).is_none() && !meant {
                        state.problems.push(problem(self.tree, node, wrong));
                    }
                    return true;
                }
            }
            Wrong::Field { name, .. } if node.get(name).is_some() => {
                target = node.get(name).map_or(id, |(_, value)| value.id);
                state.problems.push(problem(self.tree, node, wrong));
            }
            Wrong::Custom(_)
            | Wrong::Missing(_)
            | Wrong::Type { .. }
            | Wrong::Field { .. }
            | Wrong::Variant { .. }
            | Wrong::Length { .. } => {
                // What a container says about what was taken out of it says nothing about the file.
                if !children(node).any(|c| state.skipped.contains(&c)) {
                    state.problems.push(problem(self.tree, node, wrong));
                }
            }
        }
        while !state.skipped.insert(target) {
            match self.tree.parent(target) {
                Some(parent) if target != self.root.id => target = parent,
                _ => return false,
            }
        }
        target != self.root.id
    }

    fn find(&self, id: usize) -> Option<&'t Node> {
        let mut node = self.root;
        while node.id != id {
            // Children are numbered in order, so the last that begins at or before `id` holds it.
            node = match &node.value {
                Value::Scalar(_) => return None,
                Value::List(items) => items.iter().rev().find(|n| n.id <= id)?,
                Value::Map(entries) => entries.iter().rev().map(|(_, n)| n).find(|n| n.id <= id)?,
            };
        }
        Some(node)
    }

    /// Notes where an error arose; those that merely pass by on their way up change nothing.
    pub(super) fn note(&self, node: &Node, wrong: &Wrong) {
        let mut state = self.state.borrow_mut();
        if state.failure.is_none() {
            state.failure = Some((node.id, wrong.clone()));
        }
    }

    /// Whether a node is known to be wrong.
    pub(super) fn skipped(&self, node: &Node) -> bool {
        if let Value::Scalar(s) = &node.value
            && s.filled == Filled::Lost
        {
            let mut state = self.state.borrow_mut();
            state.partial = true;
            state.skipped.insert(node.id);
            return true;
        }
        self.state.borrow().skipped.contains(&node.id)
    }

    /// The fields of a struct that are filled with a hole.
    pub(super) fn holes(&self, node: &Node, fields: &'static [&'static str]) -> Vec<&'static str> {
        let state = self.state.borrow();
        fields.iter().copied().filter(|f| state.holes.contains(&(node.id, *f))).collect()
    }

    /// Notes that a map is read as a struct; tells of keys that are no fields, and skips them.
    pub(super) fn as_struct(
        &self,
        node: &Node,
        entries: &[(Key, Node)],
        fields: &'static [&'static str],
    ) {
        self.state.borrow_mut().structs.insert(node.id);
        for (key, value) in entries {
            if fields.contains(&key.text.as_str()) {
                continue;
            }
            let mut state = self.state.borrow_mut();
            state.partial = true;
            if !state.skipped.insert(value.id) {
                continue;
            }
            if let Some(meant) = nearest(&key.text, fields) {
                state.meant.insert((node.id, meant.to_owned()));
            }
            let problem = Problem::new(format!("unknown option `{}`", key.text), key.at.clone())
                .fix(known(&key.text, fields.iter().copied()));
            state.problems.push(problem.path(self.tree.path(node.id)));
        }
    }
}

fn children(node: &Node) -> Box<dyn Iterator<Item = usize> + '_> {
    match &node.value {
        Value::Scalar(_) => Box::new(std::iter::empty()),
        Value::List(items) => Box::new(items.iter().map(|n| n.id)),
        Value::Map(entries) => Box::new(entries.iter().map(|(_, n)| n.id)),
    }
}
