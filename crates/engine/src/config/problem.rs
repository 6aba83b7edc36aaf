//! Everything that is wrong with a pipeline file, each with its place, its line under a caret and how to mend it.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

/// All that is wrong with one file. Its `Display` is for people, [`Problems::to_json`] for programs.
#[derive(Clone, Debug)]
pub struct Problems {
    file: String,
    text: Arc<str>,
    list: Vec<Problem>,
}

/// One thing that is wrong, where, and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong, in lower case, without the place.
    pub what: String,
    /// The way to it through the keys of the file, such as `sources.orders.from`; empty for the file as a whole.
    pub path: String,
    /// The bytes of the file that it is about.
    pub at: Range<usize>,
    /// Other bytes of the file that matter, each with a word on why.
    pub see: Vec<(Range<usize>, String)>,
    /// How to mend it.
    pub fix: Option<String>,
    /// Whether the file is readable at all: without text there is no place to show.
    pub placed: bool,
}

impl Problem {
    /// Something wrong at these bytes.
    pub fn new(what: impl Into<String>, at: Range<usize>) -> Self {
        Self {
            what: what.into(),
            path: String::new(),
            at,
            see: Vec::new(),
            fix: None,
            placed: true,
        }
    }

    /// Something wrong with the file as a whole.
    pub fn of_file(what: impl Into<String>) -> Self {
        Self { placed: false, ..Self::new(what, 0..0) }
    }

    /// Says which keys lead there.
    #[must_use]
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// Says how to mend it.
    #[must_use]
    pub fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// Points to another place that matters.
    #[must_use]
    pub fn see(mut self, at: Range<usize>, why: impl Into<String>) -> Self {
        self.see.push((at, why.into()));
        self
    }
}

/// How many problems are kept: a file with more is better mended from the top.
pub(super) const LISTED_MAX: usize = 100;
/// A line longer than this is not shown: it is no text that a person wrote.
const SHOWN_LINE_BYTES_MAX: usize = 2_000;

impl Problems {
    /// Problems of the file of this name and text, in the order of their places.
    pub fn new(file: impl Into<String>, text: impl Into<Arc<str>>, list: Vec<Problem>) -> Self {
        let mut list = list;
        list.sort_by_key(|p| (p.at.start, p.at.end));
        list.dedup();
        list.truncate(LISTED_MAX);
        Self { file: file.into(), text: text.into(), list }
    }

    /// A file that cannot be read at all.
    pub(super) fn unreadable(file: impl Into<String>, problem: Problem) -> Self {
        Self::new(file, "", vec![problem])
    }

    /// The problems, in the order of their places.
    #[must_use]
    pub fn list(&self) -> &[Problem] {
        &self.list
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Line and column of a problem, both from 1, columns in characters.
    #[must_use]
    pub fn line_col(&self, problem: &Problem) -> (usize, usize) {
        line_col(&self.text, problem.at.start)
    }

    /// The text for people, in colour if asked for.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let mut out = String::new();
        for problem in &self.list {
            if !out.is_empty() {
                out.push('\n');
            }
            self.render_one(problem, &renderer, &mut out);
        }
        if self.list.len() > 1 {
            out.push_str(&format!("\n{} errors in {}\n", self.list.len(), self.file));
        }
        out
    }

    fn render_one(&self, problem: &Problem, renderer: &Renderer, out: &mut String) {
        out.push_str(&printable(&problem.what));
        if problem.placed {
            let (line, col) = self.line_col(problem);
            if !problem.path.is_empty() {
                out.push_str(" at ");
                out.push_str(&printable(&problem.path));
            }
            out.push_str(&format!(" ({}:{line}:{col})\n", self.file));
            out.push_str(&self.snippet(problem, renderer));
        } else {
            out.push_str(&format!(" ({})\n", self.file));
        }
        if let Some(fix) = &problem.fix {
            out.push_str("  fix: ");
            out.push_str(&printable(fix).replace('\n', "\n       "));
            out.push('\n');
        }
    }

    /// The lines it is about, under carets.
    fn snippet(&self, problem: &Problem, renderer: &Renderer) -> String {
        let Some(at) = self.shown(&problem.at) else {
            return String::new();
        };
        let see = problem.see.iter().filter_map(|(at, why)| Some((self.shown(at)?, why.as_str())));
        let see: Vec<(Range<usize>, &str)> = see.collect();
        // Only these lines are given to the renderer: it reads all that it gets.
        let first = see.iter().map(|(r, _)| r.start).fold(at.start, usize::min);
        let last = see.iter().map(|(r, _)| r.end).fold(at.end, usize::max);
        let start = before(&self.text, first).rfind('\n').map_or(0, |i| i + 1);
        let rest = self.text.get(last..).unwrap_or("");
        let end = last + rest.find('\n').unwrap_or(rest.len());
        let within = |r: Range<usize>| r.start - start..r.end - start;
        let mut snippet = Snippet::source(self.text.get(start..end).unwrap_or(""))
            .line_start(line_col(&self.text, start).0)
            .fold(true)
            .annotation(AnnotationKind::Primary.span(within(at)));
        for (also, why) in see {
            snippet = snippet.annotation(AnnotationKind::Context.span(within(also)).label(why));
        }
        let group = Group::with_level(Level::ERROR).element(snippet);
        let mut text = renderer.render(&[group]);
        text.push('\n');
        text
    }

    /// What to put carets under; nothing in a line that no person wrote.
    fn shown(&self, at: &Range<usize>) -> Option<Range<usize>> {
        let at = shown(&self.text, at);
        (line_of(&self.text, at.start).len() <= SHOWN_LINE_BYTES_MAX).then_some(at)
    }

    /// One object for each problem: what, path, file, line, col, fix.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let one = |problem: &Problem| {
            let (line, col) = self.line_col(problem);
            serde_json::json!({
                "what": problem.what,
                "path": problem.path,
                "file": self.file,
                "line": problem.placed.then_some(line),
                "col": problem.placed.then_some(col),
                "fix": problem.fix,
            })
        };
        self.list.iter().map(one).collect()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render(false).trim_end())
    }
}

impl std::error::Error for Problems {}

/// Line and column of a byte, both from 1; columns count characters.
pub(super) fn line_col(text: &str, byte: usize) -> (usize, usize) {
    let before = before(text, byte);
    let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
    let col = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    (line, col)
}

/// The text before a byte; before the character that the byte lies in.
fn before(text: &str, byte: usize) -> &str {
    let mut end = byte.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or("")
}

/// The line that a byte lies in.
fn line_of(text: &str, byte: usize) -> &str {
    let start = before(text, byte).rfind('\n').map_or(0, |i| i + 1);
    text.get(start..).and_then(|rest| rest.split('\n').next()).unwrap_or("")
}

/// The part of a range that is shown: within one line, at least one character where there is one.
fn shown(text: &str, at: &Range<usize>) -> Range<usize> {
    let start = before(text, at.start).len();
    let rest = text.get(start..).unwrap_or("");
    let line_end = start + rest.find(['\n', '\r']).unwrap_or(rest.len());
    let end = before(text, at.end.max(start)).len().min(line_end);
    if end > start {
        return start..end;
    }
    let one = rest.chars().next().filter(|c| !matches!(c, '\n' | '\r')).map_or(0, char::len_utf8);
    start..start + one
}

/// Text without control characters, which a terminal might obey.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}
