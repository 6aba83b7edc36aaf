//! Which windows a moment belongs to, where they end, and the panes they are made of.

use std::collections::BTreeMap;

use super::Window;

/// Beyond this, either way from 1970, a moment's windows cannot be counted in microseconds: some 73,000 years.
pub(crate) const MOMENT_MAX: i64 = 1 << 61;
/// The longest span of a window.
pub(super) const SPAN_MAX: i64 = 1 << 60;

/// Windows that do not depend on rows, cut into panes: a pane lies wholly in a window or wholly outside of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spans {
    /// How long a pane is.
    pane: i64,
    /// How long a window is at most.
    size: i64,
    /// From one window's end to the next one's.
    step: i64,
    offset: i64,
    /// Windows that begin together grow by `step`.
    grows: bool,
    /// Where windows that rows came out of began: from which phase on, how long they are, and whether they grow.
    began: Option<(i64, i64, bool)>,
}

impl Spans {
    /// `None` for windows that rows make.
    pub(super) fn new(window: Window) -> Option<Self> {
        Some(match window {
            Window::Tumble { size, offset } => {
                let offset = offset.rem_euclid(size);
                Self { pane: size, size, step: size, offset, grows: false, began: None }
            }
            Window::Hop { size, slide, offset } => {
                let offset = offset.rem_euclid(slide);
                Self {
                    pane: gcd(size, slide),
                    size,
                    step: slide,
                    offset,
                    grows: false,
                    began: None,
                }
            }
            Window::Cumulate { size, step, offset } => {
                let offset = offset.rem_euclid(size);
                Self { pane: step, size, step, offset, grows: true, began: None }
            }
            Window::Again { step, offset, size, grows } => {
                let began = Some((offset.rem_euclid(size), size, grows));
                let offset = offset.rem_euclid(step);
                Self { pane: step, size: step, step, offset, grows: false, began }
            }
            Window::Session { .. } => return None,
        })
    }

    /// The first moment of the window that ends there, as rows tell it.
    pub(super) fn told_start(&self, end: i64) -> i64 {
        match self.began {
            Some((phase, size, true)) => (end - phase - 1).div_euclid(size) * size + phase,
            Some((_, size, false)) => end - size,
            None => self.start_of(end),
        }
    }

    pub(super) fn grows(&self) -> bool {
        self.grows
    }

    /// Whether every window is one pane.
    pub(super) fn is_one(&self) -> bool {
        self.pane == self.size
    }

    /// The pane of a moment.
    pub(super) fn pane(&self, moment: i64) -> i64 {
        (moment - self.offset).div_euclid(self.pane)
    }

    /// The first moment of a pane.
    pub(super) fn start(&self, pane: i64) -> i64 {
        pane * self.pane + self.offset
    }

    /// The ends of the first and of the last window that has this pane. The first is after the last where windows
    /// leave gaps, and the pane is in one.
    pub(super) fn ends(&self, pane: i64) -> (i64, i64) {
        let from = pane * self.pane;
        let to = from + self.pane;
        if self.grows {
            let last = from.div_euclid(self.size) * self.size + self.size;
            return (to + self.offset, last + self.offset);
        }
        let first = -(self.size - to).div_euclid(self.step) * self.step;
        let last = from.div_euclid(self.step) * self.step;
        (first + self.size + self.offset, last + self.size + self.offset)
    }

    /// The first moment of the window that ends there.
    pub(super) fn start_of(&self, end: i64) -> i64 {
        if self.grows {
            return (end - self.offset - 1).div_euclid(self.size) * self.size + self.offset;
        }
        end - self.size
    }

    /// The panes of the window that ends there.
    pub(super) fn panes_of(&self, end: i64) -> std::ops::Range<i64> {
        self.pane(self.start_of(end))..self.pane(end)
    }

    /// The first end of a window, of whatever rows, after a moment.
    pub(super) fn end_after(&self, moment: i64) -> i64 {
        let phase = if self.grows { self.offset } else { self.offset + self.size };
        (moment - phase).div_euclid(self.step) * self.step + self.step + phase
    }

    /// The first end after `after` of a window that has one of these panes.
    pub(super) fn next<P>(&self, panes: &BTreeMap<i64, P>, after: i64) -> Option<i64> {
        let first = *panes.keys().next()?;
        let after = after.max(self.start(first) - SPAN_MAX);
        if after >= MOMENT_MAX + SPAN_MAX {
            return None;
        }
        let end = self.end_after(after);
        let (pane, _) = panes.range(self.pane(self.start_of(end))..).next()?;
        if self.start(*pane) < end {
            return Some(end);
        }
        Some(self.ends(*pane).0)
    }
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All windows that have a moment, the plain way.
    fn plain(window: Window, moment: i64) -> Vec<(i64, i64)> {
        let mut found = vec![];
        for start in moment - 200..=moment {
            match window {
                Window::Tumble { size, offset } => {
                    if (start - offset) % size == 0 && start + size > moment {
                        found.push((start + size, start));
                    }
                }
                Window::Hop { size, slide, offset } => {
                    if (start - offset) % slide == 0 && start + size > moment {
                        found.push((start + size, start));
                    }
                }
                Window::Cumulate { size, step, offset } => {
                    for n in 1..=size / step {
                        if (start - offset) % size == 0 && start + n * step > moment {
                            found.push((start + n * step, start));
                        }
                    }
                }
                Window::Session { .. } | Window::Again { .. } => {}
            }
        }
        found.sort_unstable();
        found
    }

    #[test]
    fn windows_are_those_that_one_would_count() {
        for window in [
            Window::Tumble { size: 10, offset: 3 },
            Window::Tumble { size: 7, offset: -40 },
            Window::Hop { size: 12, slide: 5, offset: 1 },
            Window::Hop { size: 5, slide: 12, offset: 0 },
            Window::Hop { size: 12, slide: 4, offset: 0 },
            Window::Cumulate { size: 12, step: 3, offset: 2 },
        ] {
            let spans = Spans::new(window).unwrap();
            for moment in -60..60 {
                let pane = spans.pane(moment);
                let panes = BTreeMap::from([(pane, ())]);
                let mut found = vec![];
                let mut after = i64::MIN;
                while let Some(end) = spans.next(&panes, after).filter(|e| *e <= spans.ends(pane).1)
                {
                    found.push((end, spans.start_of(end)));
                    assert!(spans.panes_of(end).contains(&pane), "{window:?} {moment} {end}");
                    after = end;
                }
                assert_eq!(found, plain(window, moment), "{window:?} {moment}");
                if let Some((first, _)) = found.first() {
                    assert_eq!(spans.ends(pane).0, *first);
                }
            }
        }
    }

    #[test]
    fn windows_that_rows_came_out_of_are_told_by_their_end() {
        for window in [
            Window::Tumble { size: 60, offset: 7 },
            Window::Hop { size: 60, slide: 25, offset: 3 },
            Window::Hop { size: 10, slide: 25, offset: 3 },
            Window::Cumulate { size: 60, step: 20, offset: 50 },
        ] {
            let again = Spans::new(window.again()).unwrap();
            for moment in -200..200 {
                for (end, start) in plain(window, moment) {
                    let pane = again.pane(end - 1);
                    assert_eq!(again.ends(pane), (end, end), "{window:?}");
                    assert_eq!(again.told_start(end), start, "{window:?}");
                }
            }
        }
    }
}
