//! What no single option can say by itself: names that clash, rows of nobody, promises nobody can hold.

use std::collections::{BTreeMap, BTreeSet};

use millstream_core::lookup::KEY;
use millstream_core::operator::View;
use millstream_core::sink::Promise;

use super::parts::contradiction;
use super::problem::{LISTED_MAX, Problem};
use super::shape::{FileShape, Wanted};
use super::suggest::known;
use super::tree::{Filled, Key, Node, Tree, Value};
use super::{LookupPart, QueuePart, SinkPart, SourcePart, TablePart};
use crate::time;

/// The longest name of a source, view, sink or pipeline: names become names of files and tables.
pub(super) const NAME_BYTES_MAX: usize = 64;

/// The most sources, views or sinks in one file.
const NAMED_MAX: usize = 10_000;

/// The entries of a map at the top of the file.
pub(super) fn section<'a>(tree: &'a Tree, key: &str) -> &'a [(Key, Node)] {
    tree.root.get(key).and_then(|(_, node)| node.entries()).unwrap_or(&[])
}

/// There is something to read and somewhere to write, and no more of it than one process can hold.
pub(super) fn how_many(tree: &Tree, problems: &mut Vec<Problem>) {
    for name in ["sources", "lookups", "tables", "views", "sinks"] {
        let entries = section(tree, name);
        if let Some((key, _)) = entries.get(NAMED_MAX) {
            let what = format!("there are {} {name}, and {NAMED_MAX} is the most", entries.len());
            let problem = Problem::new(what, key.at.clone()).path(name);
            problems.push(problem.fix("split the file into several pipelines"));
        }
    }
    for (section, word) in [("sources", "source"), ("sinks", "sink")] {
        if let Some((key, node)) = tree.root.get(section)
            && node.entries().map_or(node.is_null(), <[_]>::is_empty)
        {
            problems.push(
                Problem::new(format!("there is no {word}"), key.at.clone())
                    .path(section)
                    .fix(format!("a pipeline needs at least one {word}")),
            );
        }
    }
}

/// Names can be names, and no two tables of SQL have one name.
pub(super) fn names(tree: &Tree, problems: &mut Vec<Problem>) {
    let mut seen: BTreeMap<String, (&Key, &str)> = BTreeMap::new();
    let sections = [
        ("sources", "source"),
        ("lookups", "lookup"),
        ("tables", "table"),
        ("views", "view"),
        ("sinks", "sink"),
    ];
    for (name, word) in sections {
        for (key, _) in section(tree, name) {
            let path = format!("{name}.{}", key.text);
            if let Some(problem) = bad_name(key) {
                problems.push(problem.path(path));
                continue;
            }
            // Nothing reads a sink, so its name clashes with none.
            if word == "sink" {
                continue;
            }
            // SQL takes `Orders` and `orders` for one name unless it is quoted.
            let Some((before, other)) = seen.insert(key.text.to_lowercase(), (key, word)) else {
                continue;
            };
            let what = if before.text == key.text {
                format!("`{}` is already the name of a {other}", key.text)
            } else {
                format!("`{}` and the {other} `{}` differ only in case", key.text, before.text)
            };
            problems.push(
                Problem::new(what, key.at.clone())
                    .see(before.at.clone(), format!("the {other}"))
                    .fix("give one of them another name: both are tables in SQL")
                    .path(path),
            );
        }
    }
}

fn bad_name(key: &Key) -> Option<Problem> {
    if key.text.len() > NAME_BYTES_MAX {
        let what = format!("a name has at most {NAME_BYTES_MAX} characters");
        return Some(Problem::new(what, key.at.clone()).fix("choose a shorter one"));
    }
    let starts = key.text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let fits = key.text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    (!starts || !fits).then(|| {
        let what = match key.text.as_str() {
            "" => "a name cannot be empty".to_owned(),
            name => format!("`{name}` cannot be a name"),
        };
        Problem::new(what, key.at.clone())
            .fix("use letters, digits and `_`, and begin with no digit: names are tables in SQL")
    })
}

/// The rows of every sink are those of a source or view, or come late for a view's windows.
pub(super) fn rows(tree: &Tree, problems: &mut Vec<Problem>) {
    let streams: Vec<String> = streams(tree).map(|(key, _)| View::late_rows(&key.text)).collect();
    let names: BTreeSet<&str> = ["sources", "views"]
        .iter()
        .flat_map(|s| section(tree, s))
        .map(|(key, _)| key.text.as_str())
        .chain(streams.iter().map(String::as_str))
        .collect();
    for (_, sink) in section(tree, "sinks") {
        // Each is compared with every name.
        if problems.len() > LISTED_MAX {
            return;
        }
        let Some((_, rows)) = sink.get("rows") else {
            continue;
        };
        let Value::Scalar(s) = &rows.value else {
            continue;
        };
        if s.filled == Filled::Lost || rows.is_null() || names.contains(s.text.as_str()) {
            continue;
        }
        let is = |name: &str, of: &str| section(tree, of).iter().any(|(key, _)| key.text == name);
        let late = View::of_late(&s.text);
        let (what, fix) = if let Some(view) = late.filter(|view| is(view, "views")) {
            (
                format!("rows that come late for `{view}` are set aside, and no sink has them"),
                format!("let the view say so: `{view}: {{ sql: …, late: stream }}`"),
            )
        } else if let Some(source) = late.filter(|source| is(source, "sources")) {
            (
                format!("`{source}` is a source, and rows are late only for the windows of a view"),
                known(&s.text, names.iter().copied()),
            )
        } else if is(&s.text, "lookups") {
            (
                format!("`{}` is a lookup: it has no rows of its own", s.text),
                format!(
                    "join it to rows in a view, `LEFT JOIN {} ON …`, and name that view here",
                    s.text
                ),
            )
        } else if is(&s.text, "tables") {
            (
                format!("`{}` is a reference table: no rows of it stream by", s.text),
                format!(
                    "join it to rows in a view, `JOIN {} ON …`, and name that view here",
                    s.text
                ),
            )
        } else {
            (
                format!("`{}` is neither a source nor a view", s.text),
                known(&s.text, names.iter().copied()),
            )
        };
        let problem = Problem::new(what, tree.place(rows)).path(tree.path(rows.id));
        problems.push(problem.fix(fix));
    }
}

/// Views whose late rows are for sinks, with the option that says so.
fn streams(tree: &Tree) -> impl Iterator<Item = (&Key, &Node)> {
    section(tree, "views").iter().filter_map(|(key, view)| {
        let (_, late) = view.get("late")?;
        matches!(&late.value, Value::Scalar(s) if s.text == "stream").then_some((key, late))
    })
}

/// Rows that come late do not vanish: where they are for sinks, some sink takes them.
pub(super) fn late(tree: &Tree, problems: &mut Vec<Problem>) {
    let taken: BTreeSet<&str> = section(tree, "sinks")
        .iter()
        .filter_map(|(_, sink)| match &sink.get("rows")?.1.value {
            Value::Scalar(s) => Some(s.text.as_str()),
            Value::List(_) | Value::Map(_) => None,
        })
        .collect();
    for (view, node) in streams(tree) {
        let rows = View::late_rows(&view.text);
        if problems.len() > LISTED_MAX || taken.contains(rows.as_str()) {
            continue;
        }
        let what =
            format!("rows that come late for `{}` would go nowhere: no sink takes them", view.text);
        let problem = Problem::new(what, tree.place(node)).path(tree.path(node.id));
        let fix = format!(
            "add a sink with `rows: {rows}`, or leave `late: stream` out to set them aside"
        );
        problems.push(problem.fix(fix));
    }
}

/// The pipeline's name fits into names of files.
pub(super) fn pipeline_name(tree: &Tree, name: &str, problems: &mut Vec<Problem>) {
    let fits = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if fits && !name.is_empty() && name.len() <= NAME_BYTES_MAX {
        return;
    }
    if let Some((_, node)) = tree.root.get("name") {
        problems.push(
            Problem::new(format!("`{name}` cannot be the name of a pipeline"), tree.place(node))
                .path("name")
                .fix(format!("use at most {NAME_BYTES_MAX} letters, digits, `_` and `-`")),
        );
    }
}

/// A pipeline's name made of its file's: what does not fit becomes `_`.
pub(super) fn name_of(stem: &str) -> String {
    let fit = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let name: String = stem.chars().take(NAME_BYTES_MAX).map(fit).collect();
    if name.is_empty() { "pipeline".to_owned() } else { name }
}

/// The address may be listened on.
pub(super) fn http(tree: &Tree, shape: &FileShape, problems: &mut Vec<Problem>) {
    if let Some(http) = &shape.http
        && let Err(error) = http.address()
        && let Some((_, options)) = tree.root.get("http")
    {
        problems.push(contradiction(tree, options, &error));
    }
}

/// No bound stops everything.
pub(super) fn limits(tree: &Tree, shape: &FileShape, problems: &mut Vec<Problem>) {
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
                    .path(tree.path(node.id))
                    .fix("nothing would ever move: leave it out to have the default"),
            );
        }
    }
}

/// Event time is a column of moments, where it is known which columns there are.
pub(super) fn event_time(
    tree: &Tree,
    shape: &FileShape,
    parts: &[SourcePart],
    problems: &mut Vec<Problem>,
) {
    for (name, options) in &shape.sources.0 {
        let node = section(tree, "sources").iter().find(|(key, _)| key.text == *name);
        let (Some(time), Some((_, node))) = (&options.event_time, node) else { continue };
        let Some((_, node)) = node.get("event_time") else { continue };
        let own = parts.iter().find(|p| p.name == *name).and_then(|p| p.source.columns());
        let Some(columns) = options.columns.clone().or(own) else { continue };
        if let Err(error) = time::fits(name, time, &columns) {
            let at = node.get("column").map_or(node, |(_, column)| column);
            let problem = Problem::new(error.what(), tree.place(at)).path(tree.path(at.id));
            problems.push(match error.how_to_fix() {
                Some(fix) => problem.fix(fix),
                None => problem,
            });
        }
        if time.idle.is_some_and(|idle| idle.0.is_zero()) {
            let at = node.get("idle").map_or(node, |(_, idle)| idle);
            let problem = Problem::new("`idle` cannot be zero", tree.place(at));
            let fix = "leave it out to wait for every split, or write how long one may be silent, such as `30s`";
            problems.push(problem.path(tree.path(at.id)).fix(fix));
        }
    }
}

/// A lookup has columns that it can have, and its cache a bound.
pub(super) fn lookups(
    tree: &Tree,
    shape: &FileShape,
    parts: &[LookupPart],
    problems: &mut Vec<Problem>,
) {
    for (name, options) in &shape.lookups.0 {
        let node = section(tree, "lookups").iter().find(|(key, _)| key.text == *name);
        let Some((key, node)) = node else { continue };
        let below = |option: &str| node.get(option).map_or(node, |(_, below)| below);
        let columns = &options.columns.0;
        let mut say = |at: &Node, what: String, fix: &str| {
            let problem = Problem::new(what, tree.place(at)).path(tree.path(at.id));
            problems.push(problem.fix(fix));
        };
        if let Some(taken) = columns.iter().find(|c| c.name.eq_ignore_ascii_case(KEY)) {
            let what = format!("`{}` is the column that every lookup is joined by", taken.name);
            say(
                below("columns"),
                what,
                "give the column another name, and say with `at` where it is",
            );
            continue;
        }
        if options.cache_bytes.0 == 0 {
            let fix = "leave it out to have the default, or set `ttl: 0s` to keep nothing";
            say(below("cache_bytes"), "`cache_bytes` cannot be zero".to_owned(), fix);
        }
        let part = parts.iter().find(|p| p.name == *name);
        if let Some(Err(error)) = part.map(|p| p.lookup.reader(&options.columns)) {
            let mut problem = contradiction(tree, below("columns"), &error);
            if problem.path.is_empty() {
                problem = problem.path(format!("lookups.{}", key.text));
            }
            problems.push(problem);
        }
    }
}

/// A reference table has columns that it can have, and bounds.
pub(super) fn tables(
    tree: &Tree,
    shape: &FileShape,
    parts: &[TablePart],
    problems: &mut Vec<Problem>,
) {
    for (name, options) in &shape.tables.0 {
        let node = section(tree, "tables").iter().find(|(key, _)| key.text == *name);
        let Some((key, node)) = node else { continue };
        let below = |option: &str| node.get(option).map_or(node, |(_, below)| below);
        let zeros = [
            (
                "reload",
                options.reload.0.is_zero(),
                "leave it out to have the default, or write how often to look, such as `1m`",
            ),
            ("bytes_max", options.bytes_max.0 == 0, "leave it out to have the default"),
        ];
        for (option, _, fix) in zeros.into_iter().filter(|(_, is_zero, _)| *is_zero) {
            let at = below(option);
            let problem = Problem::new(format!("`{option}` cannot be zero"), tree.place(at));
            problems.push(problem.path(tree.path(at.id)).fix(fix));
        }
        let part = parts.iter().find(|p| p.name == *name);
        let (Some(part), Some(columns)) = (part, &options.columns) else { continue };
        if let Err(error) = part.reader.suits(columns) {
            let mut problem = contradiction(tree, below("columns"), &error);
            if problem.path.is_empty() {
                problem = problem.path(format!("tables.{}", key.text));
            }
            problems.push(problem);
        }
    }
}

/// No sink is asked for a promise that it, or the queue before it, cannot hold.
pub(super) fn promises(
    tree: &Tree,
    shape: &FileShape,
    queue: &QueuePart,
    sinks: &[SinkPart],
    problems: &mut Vec<Problem>,
) {
    for (name, options) in &shape.sinks.0 {
        if options.promise != Some(Wanted::EffectivelyOnce) {
            continue;
        }
        let Some(part) = sinks.iter().find(|p| p.name == *name) else {
            continue;
        };
        let Some((_, node)) = tree
            .root
            .get("sinks")
            .and_then(|(_, s)| s.get(name))
            .and_then(|(_, s)| s.get("promise"))
        else {
            continue;
        };
        let (what, fix) = if part.sink.promise() < Promise::EffectivelyOnce {
            (
                format!("`{}` cannot promise `effectively_once`", part.kind),
                "it keeps no track of what it has: ask for `at_least_once`, or write to a sink that does, such as `sqlite`",
            )
        } else if !queue.opener.durable() {
            (
                format!("the queue `{}` cannot promise `effectively_once`", queue.kind),
                "what it holds ends with the process: use `log`, or leave the promise out",
            )
        } else {
            continue;
        };
        problems.push(Problem::new(what, tree.place(node)).path(tree.path(node.id)).fix(fix));
    }
}
