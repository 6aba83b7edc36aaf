//! What is known of the columns of joined rows.

use std::sync::Arc;

use datafusion_common::{DFSchema, DataFusionError, Result};
use datafusion_expr::{Expr, Join, JoinType};

use super::Kind;
use super::limits::index;
use super::timed::{AT, Timed};
use crate::complain::said_at;
use crate::window::Window;
use crate::windowed::{Cut, Edge, Facts, Known, Role, Side};

impl Known {
    /// What is known of the columns of joined rows. `above` are conditions right above the join.
    pub(crate) fn join(&self, join: &Join, above: &[&Expr]) -> Result<Facts> {
        let sides = [self.facts(&join.left)?, self.facts(&join.right)?];
        let live = sides.iter().find_map(|f| f.live.clone());
        let width = join.schema.fields().len();
        let [left, right] = &sides;
        let stays = matches!(join.join_type, JoinType::Inner | JoinType::Left);
        if stays && right.roles.iter().all(|r| r.lag.is_none()) {
            // What a row is made of or looked up in stands beside it, as long as no rule has taken it out of the join yet.
            let mut roles = left.roles.clone();
            roles.resize(width, Role::default());
            return Ok(Facts { roles, updates: left.updates.clone(), live });
        }
        if sides.iter().any(|f| f.updates.is_some()) {
            return Err(given_anew());
        }
        // Why it is not bounded is told where it is built.
        let roles = match Timed::of(self, join, above) {
            Ok(timed) => timed.roles(join),
            Err(_) => vec![],
        };
        let mut roles = roles;
        roles.resize(width, Role::default());
        Ok(Facts { roles, updates: None, live })
    }
}

impl Timed {
    fn roles(&self, join: &Join) -> Vec<Role> {
        let [left, right] = [0, 1].map(|side| self.side(side, join));
        match self.kind {
            Kind::Semi | Kind::Anti => left,
            _ => left.into_iter().chain(right).collect(),
        }
    }

    /// What is known of one side's columns.
    fn side(&self, side: usize, join: &Join) -> Vec<Role> {
        let Some(facts) = self.facts.get(side) else { return vec![] };
        let mut roles = vec![Role::default(); facts.roles.len()];
        let other = 1 - side;
        let nulls = match self.kind {
            Kind::Inner | Kind::Semi | Kind::Anti => false,
            Kind::Left => side == 1,
            Kind::Right => side == 0,
            Kind::Full => true,
        };
        if nulls {
            return roles;
        }
        if let Some(lag) = self.comes(side, join) {
            self.of_time(side, lag, facts, &mut roles);
        }
        // A pair comes before the moment up to which the row of this side waits, if the other's event time tells when.
        let waits_for = self.comes(other, join);
        let deadline = self.deadline.get(side).zip(waits_for);
        if let (Some((limit, lag)), Kind::Inner | Kind::Semi) = (deadline, self.kind) {
            let own = if side == 0 { &join.left } else { &join.right };
            if let Some(role) = index(&limit.by, own.schema()).and_then(|i| roles.get_mut(i))
                && role.lag.is_none()
            {
                role.lag = limit.plus.checked_add(lag);
            }
        }
        roles
    }

    /// By how much the watermark can be beyond the event time of a row of this side when it comes out.
    fn comes(&self, side: usize, join: &Join) -> Option<i64> {
        let (own, other) = (self.lag.get(side)?, self.lag.get(1 - side)?);
        let reach = self.reach(side, join)?;
        Some(reach.checked_add(*other)?.max(*own))
    }

    /// The roles of the event time of a side, and of the columns of the same window.
    fn of_time(&self, side: usize, lag: i64, facts: &Facts, roles: &mut [Role]) {
        let Some(time) = self.time.get(side) else { return };
        let edge = |i: usize| {
            let role = facts.roles.get(i)?;
            let edge = role.edge.as_ref().or(role.past.as_ref())?;
            edge.side.is_time().then(|| edge.clone())
        };
        let Some(own) = edge(*time) else {
            if let Some(role) = roles.get_mut(*time) {
                role.lag = Some(lag);
            }
            return;
        };
        // Of the window's end, which nothing comes with at the end itself.
        let Some(of_end) = end_lag(own.side, own.of.window, lag) else { return };
        let cut = Arc::new(Cut { lag: of_end, ..own.of.as_ref().clone() });
        for (i, role) in roles.iter_mut().enumerate() {
            let Some(edge) = edge(i).filter(|e| e.of == own.of) else { continue };
            let had = facts.roles.get(i).and_then(|r| r.lag);
            role.lag = had.and_then(|_| start_lag(edge.side, edge.of.window, of_end));
            role.past = Some(Edge { side: edge.side, of: cut.clone() });
        }
    }
}

/// The lag of a window's end, where this column of it is behind the watermark by so much at most.
fn end_lag(side: Side, window: Window, lag: i64) -> Option<i64> {
    match side {
        Side::End => lag.checked_add(1),
        Side::Time => Some(lag),
        Side::Start => match window {
            Window::Tumble { size, .. } | Window::Hop { size, .. } => {
                lag.checked_add(1)?.checked_sub(size)
            }
            Window::Cumulate { step, .. } => lag.checked_add(1)?.checked_sub(step),
            Window::Session { .. } | Window::Again { .. } => None,
        },
        Side::Key(_) => None,
    }
}

/// The lag of a column of a window of which the end lags so.
fn start_lag(side: Side, window: Window, end: i64) -> Option<i64> {
    match side {
        Side::End | Side::Time => Some(end),
        Side::Start => match window {
            Window::Tumble { size, .. }
            | Window::Hop { size, .. }
            | Window::Cumulate { size, .. } => end.checked_add(size),
            Window::Session { .. } | Window::Again { .. } => None,
        },
        Side::Key(_) => None,
    }
}

impl Facts {
    /// Has the event time among these columns be a window of that one moment, where they name no other window: no more comes
    /// with it once the watermark has passed it.
    pub(crate) fn take_moment(&mut self, columns: &[Option<usize>]) {
        let is_time = |e: &Edge| e.side.is_time();
        let named = columns.iter().flatten().filter_map(|i| self.roles.get(*i));
        if named
            .clone()
            .any(|r| r.edge.as_ref().is_some_and(is_time) || r.past.as_ref().is_some_and(is_time))
        {
            return;
        }
        let timed = columns.iter().flatten().copied();
        let timed =
            timed.filter_map(|i| Some((i, self.roles.get(i)?.lag?))).min_by_key(|(_, lag)| *lag);
        let Some((at, lag)) = timed else { return };
        let window = Window::Again { step: 1, offset: 0, size: 1, grows: false };
        if let Some(role) = self.roles.get_mut(at) {
            let of = Arc::new(Cut { window, lag, keys: vec![] });
            role.past = Some(Edge { side: Side::Time, of });
        }
    }

    /// The places of these expressions that are columns.
    pub(crate) fn places(of: &[Expr], schema: &DFSchema) -> Vec<Option<usize>> {
        let place = |e: &Expr| match crate::windowed::unalias(e) {
            Expr::Column(c) => schema.maybe_index_of_column(c),
            _ => None,
        };
        of.iter().map(place).collect()
    }
}

fn given_anew() -> DataFusionError {
    let what = "a join is not possible over rows that are given anew: a row that takes the place of another would have to take back what that one was joined to";
    let fix = "leave out `allowed_lateness` of the windows below, or group them by windows, or join the rows before they are grouped";
    said_at(what, fix, AT)
}
