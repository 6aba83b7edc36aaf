//! Windows the plain way, which shares nothing with those under test: each row, in each window that it is in.

use std::collections::BTreeMap;

/// A way to cut event time, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Windows {
    Tumble { size: i64, offset: i64 },
    Hop { slide: i64, size: i64, offset: i64 },
    Cumulate { step: i64, size: i64, offset: i64 },
    Session { gap: i64 },
}

/// What is wrong on purpose, to see that it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// Windows begin and end a microsecond later.
    Shifted,
    /// A window has its end.
    Closed,
    /// Rows a gap apart are of one session.
    WideGap,
    /// A window that ends at the watermark still takes rows.
    Patient,
    /// A row is late when its last window is about to close, not when it has.
    Hasty,
}

/// A row before it is put into windows.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub time: i64,
    /// The watermark just before it, less what is allowed.
    pub closed: i64,
    /// Of a session.
    pub key: String,
}

/// Which row is in which window, and which are late for all of theirs.
#[derive(Debug, Default)]
pub(super) struct Assigned {
    /// Row, start, end.
    pub rows: Vec<(usize, i64, i64)>,
    pub late: Vec<usize>,
}

impl Windows {
    /// The windows that a moment is in.
    fn of(self, time: i64, fault: Fault) -> Vec<(i64, i64)> {
        let (time, shift) = if fault == Fault::Shifted { (time - 1, 1) } else { (time, 0) };
        let inside = |start: i64, end: i64| {
            start <= time && (time < end || (fault == Fault::Closed && time == end))
        };
        let (size, slide, step, offset) = match self {
            Self::Tumble { size, offset } => (size, size, size, offset),
            Self::Hop { slide, size, offset } => (size, slide, size, offset),
            Self::Cumulate { step, size, offset } => (size, size, step, offset),
            Self::Session { gap } => return vec![(time, time + gap)],
        };
        // From the first that may have it on.
        let mut start = offset + (time - size - offset).div_euclid(slide) * slide;
        let mut found = vec![];
        while start <= time {
            let mut end = start + step;
            while end <= start + size {
                if inside(start, end) {
                    found.push((start + shift, end + shift));
                }
                end += step;
            }
            start += slide;
        }
        found
    }

    /// Puts rows into windows, but for those windows that were closed when they came.
    pub(super) fn assign(self, rows: &[Row], late: bool, fault: Fault) -> Assigned {
        match self {
            Self::Session { gap } if late => sessions_as_they_come(gap, rows, fault),
            Self::Session { gap } => sessions(gap, rows, fault),
            _ => {
                let mut assigned = Assigned::default();
                for (i, row) in rows.iter().enumerate() {
                    let windows = self.of(row.time, fault);
                    let open = |end: i64| !late || is_open(end, row.closed, fault);
                    let some = !windows.is_empty();
                    let windows = windows.into_iter().filter(|(_, end)| open(*end));
                    let windows = windows.map(|(start, end)| (i, start, end)).collect::<Vec<_>>();
                    if some && windows.is_empty() {
                        assigned.late.push(i);
                    }
                    assigned.rows.extend(windows);
                }
                assigned
            }
        }
    }
}

fn is_open(end: i64, closed: i64, fault: Fault) -> bool {
    match fault {
        Fault::Patient => end >= closed,
        Fault::Hasty => end > closed.saturating_add(1),
        _ => end > closed,
    }
}

fn reach(gap: i64, fault: Fault) -> i64 {
    gap + i64::from(fault == Fault::WideGap)
}

/// Sessions of rows none of which is late: by sorting.
fn sessions(gap: i64, rows: &[Row], fault: Fault) -> Assigned {
    let mut by_key: BTreeMap<&str, Vec<(i64, usize)>> = BTreeMap::new();
    for (i, row) in rows.iter().enumerate() {
        by_key.entry(&row.key).or_default().push((row.time, i));
    }
    let mut assigned = Assigned::default();
    for mut times in by_key.into_values() {
        times.sort_unstable();
        let mut session: Vec<(i64, usize)> = vec![];
        let mut close = |session: &mut Vec<(i64, usize)>| {
            let (Some(first), Some(last)) = (session.first(), session.last()) else { return };
            let (start, end) = (first.0, last.0 + gap);
            assigned.rows.extend(session.iter().map(|(_, i)| (*i, start, end)));
            session.clear();
        };
        for (time, i) in times {
            if session.last().is_some_and(|(last, _)| time - last >= reach(gap, fault)) {
                close(&mut session);
            }
            session.push((time, i));
        }
        close(&mut session);
    }
    assigned.rows.sort_unstable();
    assigned
}

/// Sessions one row after the other, as some rows come when theirs is over.
fn sessions_as_they_come(gap: i64, rows: &[Row], fault: Fault) -> Assigned {
    let mut assigned = Assigned::default();
    // Start, end, key, rows.
    let mut all: Vec<(i64, i64, &str, Vec<usize>)> = vec![];
    for (i, row) in rows.iter().enumerate() {
        let touches = |(start, end, key, _): &(i64, i64, &str, Vec<usize>)| {
            *key == row.key
                && is_open(*end, row.closed, fault)
                && *start - row.time < reach(gap, fault)
                && row.time - (*end - gap) < reach(gap, fault)
        };
        let (near, far): (Vec<_>, Vec<_>) = all.into_iter().partition(touches);
        all = far;
        let (mut start, mut end, mut of) = (row.time, row.time + gap, vec![i]);
        if near.is_empty() && !is_open(end, row.closed, fault) {
            assigned.late.push(i);
            continue;
        }
        for (s, e, _, rows) in near {
            (start, end) = (start.min(s), end.max(e));
            of.extend(rows);
        }
        all.push((start, end, &row.key, of));
    }
    for (start, end, _, of) in all {
        assigned.rows.extend(of.into_iter().map(|i| (i, start, end)));
    }
    assigned.rows.sort_unstable();
    assigned
}
