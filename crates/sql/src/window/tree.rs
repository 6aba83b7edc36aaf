//! Panes put together, so that what a window costs does not depend on how many panes it has.

use std::collections::BTreeMap;
use std::ops::Range;

use datafusion_common::Result;

use super::groups::Groups;

/// The panes from `index << level` on, `1 << level` of them.
type Place = (u32, i64);

/// Panes put together two by two, and those again, in order of time.
///
/// What is put together with what depends on the numbers of the panes alone, so that sums of floats come out the same
/// whenever they are made.
#[derive(Default)]
pub(super) struct Tree {
    nodes: BTreeMap<Place, Node>,
    /// Beyond this pane there is no node.
    upto: i64,
    bytes: usize,
}

enum Node {
    Empty,
    /// All its rows are in that one.
    Like(Place),
    Own(Box<Groups>),
}

impl Node {
    fn bytes(&self) -> usize {
        if let Self::Own(groups) = self { groups.bytes() } else { 0 }
    }
}

impl Tree {
    /// A pane changed: what it is part of is to be made anew.
    pub(super) fn touch(&mut self, pane: i64) {
        if self.nodes.is_empty() || pane >= self.upto {
            return;
        }
        for level in 1..63 {
            if let Some(node) = self.nodes.remove(&(level, pane >> level)) {
                self.bytes -= node.bytes();
            }
        }
    }

    /// Panes before this are in no window any more.
    pub(super) fn forget(&mut self, before: i64) {
        self.nodes.retain(|(level, index), _| (index << level) >= before);
        self.bytes = self.nodes.values().map(Node::bytes).sum();
    }

    /// The fewest nodes that have these panes, in order of time.
    pub(super) fn cover(
        &mut self,
        panes: &BTreeMap<i64, Groups>,
        range: Range<i64>,
    ) -> Result<Vec<Place>> {
        let mut places = vec![];
        let mut from = range.start;
        while from < range.end {
            let longest = (range.end - from).ilog2();
            let level = from.trailing_zeros().min(longest);
            if let Some(place) = self.make(panes, (level, from >> level))? {
                places.push(place);
            }
            from += 1 << level;
        }
        self.upto = self.upto.max(range.end);
        Ok(places)
    }

    /// Makes a node if it is not there, and gives the one that has its rows.
    fn make(&mut self, panes: &BTreeMap<i64, Groups>, place: Place) -> Result<Option<Place>> {
        let (level, index) = place;
        if level == 0 {
            return Ok(panes.contains_key(&index).then_some(place));
        }
        if !self.nodes.contains_key(&place) {
            let node = self.join(panes, place)?;
            self.bytes += node.bytes();
            self.nodes.insert(place, node);
        }
        Ok(match self.nodes.get(&place) {
            Some(Node::Like(other)) => Some(*other),
            Some(Node::Own(_)) => Some(place),
            Some(Node::Empty) | None => None,
        })
    }

    fn join(&mut self, panes: &BTreeMap<i64, Groups>, (level, index): Place) -> Result<Node> {
        let first = index << level;
        if panes.range(first..first + (1 << level)).next().is_none() {
            return Ok(Node::Empty);
        }
        let earlier = self.make(panes, (level - 1, index * 2))?;
        let later = self.make(panes, (level - 1, index * 2 + 1))?;
        let (earlier, later) = match (earlier, later) {
            (Some(earlier), Some(later)) => (earlier, later),
            (Some(one), None) | (None, Some(one)) => return Ok(Node::Like(one)),
            (None, None) => return Ok(Node::Empty),
        };
        let both = (self.get(panes, earlier), self.get(panes, later));
        let (Some(earlier), Some(later)) = both else { return Ok(Node::Empty) };
        let mut joined = earlier.copy();
        joined.merge(later)?;
        Ok(Node::Own(Box::new(joined)))
    }

    pub(super) fn get<'a>(
        &'a self,
        panes: &'a BTreeMap<i64, Groups>,
        place: Place,
    ) -> Option<&'a Groups> {
        if place.0 == 0 {
            return panes.get(&place.1);
        }
        match self.nodes.get(&place) {
            Some(Node::Own(groups)) => Some(groups),
            _ => None,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
