//! Golden SQL: `tests/golden/*.sql` hold inputs, queries, and what comes out.
//!
//! A file is blocks of lines between empty lines. `-- input NAME {columns}` with `-- {row}` lines is a
//! table for the rest of the file, `-- lookup NAME {columns}` a lookup (`nulls` behind it: that gives nulls), whose
//! rows have a `key`, `-- table NAME {columns}` a reference table, of which each frame is a version: before others of its turn. `time COLUMN delay MICROSECONDS` behind the columns of an input says what its event time is, a line
//! `-- next` that a new frame begins, and `-- end` that the input ends there. A block with SQL is a case: `-- view NAME` names the query after it
//! (`v` if there is none; the last one is looked at; `lateness MICROSECONDS`, `ttl MICROSECONDS` and `late stream` may stand behind, in
//! this order), and what follows the SQL is what must come out.
//! `BLESS=1 cargo test -p millstream-sql` writes it: look at the difference before you commit.
//! `GOLDEN=window` takes one file alone.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow_schema::SchemaRef;
use millstream_core::operator::{Late, Planned, View};

use crate::run::{Frame, Input, Result, plan, shared, view};
use crate::time::{Way, run, run_so};

#[test]
fn golden_queries_give_what_they_gave_at_every_batch_size() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let bless = std::env::var_os("BLESS").is_some();
    let mut cases = 0;
    let mut bad = Vec::new();
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    if let Ok(only) = std::env::var("GOLDEN") {
        paths.retain(|p| p.file_stem().is_some_and(|name| *name == *only));
    }
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        let mut inputs: Vec<Input> = Vec::new();
        let mut blocks = Vec::new();
        for block in text.split("\n\n") {
            let block = block.trim_end();
            inputs.extend(read_inputs(block));
            if !block.lines().any(|l| !l.starts_with("--") && !l.is_empty()) {
                blocks.push(block.to_owned());
                continue;
            }
            cases += 1;
            let (asked, _) = split(block);
            let fresh = format!("{asked}\n{}", answer(&inputs, &read_views(&asked)));
            if fresh != block && !bless {
                bad.push(format!("{}:\n{fresh}\n  but wanted is\n{block}", path.display()));
            }
            blocks.push(fresh);
        }
        if bless {
            fs::write(&path, blocks.join("\n\n") + "\n").unwrap();
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n\n"));
    assert!(cases > 0);
    eprintln!("{cases} golden queries");
}

fn read_inputs(block: &str) -> Vec<Input> {
    let mut inputs = Vec::new();
    let mut lines = block.lines().peekable();
    while let Some(line) = lines.next() {
        let lookup = line.strip_prefix("-- lookup ");
        let table = line.strip_prefix("-- table ");
        let Some(rest) = line.strip_prefix("-- input ").or(lookup).or(table) else { continue };
        let (name, columns) = rest.split_once(' ').unwrap();
        let mut frames = vec![Frame::default()];
        while let Some(row) =
            lines.next_if(|l| l.starts_with("-- {") || matches!(*l, "-- next" | "-- end"))
        {
            match row {
                "-- next" => frames.push(Frame::default()),
                "-- end" => frames.last_mut().unwrap().ends = true,
                row => frames.last_mut().unwrap().rows.push_str(&format!("{}\n", &row[3..])),
            }
        }
        let (columns, more) = columns.split_at(columns.rfind('}').unwrap() + 1);
        let more = more.split_whitespace().collect::<Vec<_>>();
        let rows = &frames[0].rows;
        inputs.push(match (lookup, more.as_slice()) {
            (None, []) if table.is_some() => {
                Input { frames, board: Some(Arc::default()), ..Input::new(name, columns, "") }
            }
            (None, []) => Input { frames, ..Input::new(name, columns, "") },
            (None, ["time", column, "delay", delay]) => {
                let time = Some(((*column).to_owned(), delay.parse().unwrap()));
                Input { frames, time, ..Input::new(name, columns, "") }
            }
            (Some(_), more) => {
                let says = |word| more.contains(&word);
                Input::lookup(name, columns, rows, says("nulls"), says("live"))
            }
            (None, more) => panic!("{more:?}"),
        });
    }
    inputs
}

/// The part with the question, and the part with the answer.
fn split(block: &str) -> (String, String) {
    let lines: Vec<&str> = block.lines().collect();
    let last = lines.iter().rposition(|l| !l.starts_with("--")).unwrap();
    (lines[..=last].join("\n"), lines[last + 1..].join("\n"))
}

fn read_views(asked: &str) -> Vec<View> {
    let mut views: Vec<View> = Vec::new();
    for line in asked.lines() {
        if let Some(name) = line.strip_prefix("-- view ") {
            let (name, streams) = match name.strip_suffix(" late stream") {
                Some(name) => (name, true),
                None => (name, false),
            };
            let (name, ttl) = match name.split_once(" ttl ") {
                Some((name, ttl)) => (name, Some(Duration::from_micros(ttl.parse().unwrap()))),
                None => (name, None),
            };
            let (name, lateness) = name.split_once(" lateness ").unwrap_or((name, "0"));
            let mut view = view(name, "");
            view.windows.state_ttl = ttl;
            view.windows.late = if streams { Late::Stream } else { Late::SetAside };
            view.windows.allowed_lateness = Duration::from_micros(lateness.parse().unwrap());
            views.push(view);
        } else if !line.starts_with("--") {
            if views.is_empty() {
                views.push(view("v", ""));
            }
            let sql = &mut views.last_mut().unwrap().sql;
            if !sql.is_empty() {
                sql.push('\n');
            }
            sql.push_str(line);
        }
    }
    views
}

fn answer(inputs: &[Input], views: &[View]) -> String {
    let mut planned = plan(inputs, views, &[]);
    if !planned.errors.is_empty() {
        let errors = planned.errors.iter().map(|e| {
            let place = e.place.map_or(String::new(), |(l, c)| format!("{l}:{c} "));
            format!("-- error {}: {place}{}", e.view, e.error).replace('\n', "\n--")
        });
        return errors.collect::<Vec<_>>().join("\n");
    }
    let size_max = inputs.iter().map(|i| i.batch().num_rows()).max().unwrap_or(1);
    let last = views.last().unwrap().name.clone();
    let all = run(inputs, &mut planned, usize::MAX).remove(&last).unwrap_or_default();
    let stateful = planned.views.iter().any(|v| v.state.is_some());
    // At the end of all inputs all is out, and the views can begin anew; but for those that remember.
    let remembers = planned.views.iter().any(|v| v.explain.contains(" for ever, "));
    for size in 1..=size_max {
        let way = Way::of(size);
        if remembers {
            planned = plan(inputs, views, &[]);
        }
        let again = run(inputs, &mut planned, size);
        same(&planned, &all, again, &last, way);
    }
    // Straight on three threads; and stopped after every batch, on one thread and then on three in turns.
    for (size, restarts, threads) in
        [(1, false, [3, 3]), (usize::MAX, true, [1, 1]), (1, true, [1, 3])]
    {
        if !stateful {
            break;
        }
        let way = Way { restarts, ..Way::of(size) };
        let mut turns = threads.into_iter().cycle();
        let mut fresh = || plan(inputs, &shared(views, turns.next().unwrap()), &[]);
        let again = run_so(inputs, &mut fresh(), way, &mut fresh);
        same(&planned, &all, again, &last, way);
    }
    let Some(planned) = planned.views.iter().find(|v| v.name == last) else {
        return format!("-- waiting {:?}", planned.waiting);
    };
    let columns = planned.schema.fields().iter().map(|f| {
        format!("{} {}{}", f.name(), f.data_type(), if f.is_nullable() { "?" } else { "" })
    });
    let mut lines = vec![format!("-- columns {}", columns.collect::<Vec<_>>().join(", "))];
    lines.extend(planned.explain.lines().map(|l| format!("-- plan {l}")));
    let names = |late: &SchemaRef| {
        late.fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>().join(", ")
    };
    lines.extend(planned.late.iter().map(|late| format!("-- late rows have {}", names(late))));
    lines.extend(planned.updates.iter().map(|u| format!("-- updates by {}", u.by.join(", "))));
    lines.extend(all.rows.iter().map(|r| format!("-- row {r}")));
    lines.extend(all.late.iter().map(|r| format!("-- late {r}")));
    lines.extend(all.refused.iter().map(|r| format!("-- refused {r}")));
    let a = all.account;
    let state = match (a.absorbed, a.late) {
        (0, 0) => String::new(),
        (absorbed, late) => format!(" + absorbed {absorbed} + late {late}"),
    };
    lines.push(format!(
        "-- account in {} + made {} = out {} + filtered {} + set aside {}{state}",
        a.r#in, a.made, a.out, a.filtered, a.set_aside
    ));
    lines.join("\n")
}

/// The same came out another way.
fn same(
    planned: &Planned,
    all: &Result,
    mut other: BTreeMap<String, Result>,
    view: &str,
    way: Way,
) {
    let other = other.remove(view).unwrap_or_default();
    if several_ports_of_one_input(planned) {
        // Of two rows of one frame that a join of its input with itself brings together, either may be the one that came last.
        let named = !planned.views.iter().any(|v| v.explain.contains("join 1:"));
        let sorted = |rows: &[String]| {
            let bare = |row: &String| match named {
                true => row.clone(),
                false => row.split_once(' ').unwrap().1.to_owned(),
            };
            let mut rows = rows.iter().map(bare).collect::<Vec<_>>();
            rows.sort();
            rows
        };
        assert_eq!(sorted(&all.rows), sorted(&other.rows), "{way:?}");
    } else {
        assert_eq!(*all, other, "{way:?}");
    }
}

fn several_ports_of_one_input(planned: &Planned) -> bool {
    planned.views.iter().any(|v| {
        let mut inputs = v.inputs.clone();
        inputs.sort();
        inputs.dedup();
        inputs.len() < v.inputs.len()
    })
}
