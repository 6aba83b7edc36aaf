//! What a pipeline would do, without opening anything: for `millstream check`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_schema::SchemaRef;
use serde::Serialize;

use millstream_core::clock::SystemClock;
use millstream_core::operator::{Anew, View, ViewError};
use millstream_core::plugin::Registry;
use millstream_core::sink::Promise;
use millstream_core::source::Replay;

use crate::config::{
    EventTime, LookupMode, LookupPart, OnFailure, Pipeline, Problem, Problems, SinkPart,
    SourcePart, TablePart,
};
use crate::line::{Blueprint, Line};
use crate::lookup::Lookups;
use crate::status::Status;
use crate::tables::Tables;

/// A checked pipeline in words: what each part does, which columns are read, what is promised.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// The pipeline's name.
    pub pipeline: String,
    /// In the file's order.
    pub sources: Vec<SourcePlan>,
    /// The queue: where, promises, bounds.
    pub queue: Vec<String>,
    /// In the file's order.
    pub lookups: Vec<LookupPlan>,
    /// In the file's order.
    pub tables: Vec<TablePlan>,
    /// In the order in which they are computed.
    pub views: Vec<ViewPlan>,
    /// In the file's order.
    pub sinks: Vec<SinkPlan>,
    /// Bounds of the engine itself, and what happens at them.
    pub bounds: Vec<String>,
}

/// A source.
#[derive(Clone, Debug, Serialize)]
pub struct SourcePlan {
    /// Its name.
    pub name: String,
    /// What it reads.
    pub reads: String,
    /// How its bytes become rows.
    pub decodes: String,
    /// Columns with their types; empty while they are not known.
    pub columns: Vec<ColumnPlan>,
    /// How far its event time is trusted, if it has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_time: Option<String>,
    /// What can be lost or repeated before the queue.
    pub promise: String,
}

/// A column of a source.
#[derive(Clone, Debug, Serialize)]
pub struct ColumnPlan {
    /// Its name.
    pub name: String,
    /// Its type.
    pub r#type: String,
    /// Whether any view or sink reads it, so that it is decoded.
    pub decoded: bool,
}

/// A lookup.
#[derive(Clone, Debug, Serialize)]
pub struct LookupPlan {
    /// Its name.
    pub name: String,
    /// What it asks.
    pub asks: String,
    /// Its columns and their types, `key` not among them.
    pub columns: Vec<(String, String)>,
    /// How long answers are kept, and how many.
    pub keeps: String,
    /// What becomes of rows whose answer cannot be had.
    pub on_failure: String,
    /// What rows are made of that are made again after a crash.
    pub mode: String,
}

/// A reference table.
#[derive(Clone, Debug, Serialize)]
pub struct TablePlan {
    /// Its name.
    pub name: String,
    /// What it reads.
    pub reads: String,
    /// Its columns and their types; empty while they are not known.
    pub columns: Vec<(String, String)>,
    /// How often it is looked at, how large it may be, and where versions are.
    pub keeps: String,
}

/// A view.
#[derive(Clone, Debug, Serialize)]
pub struct ViewPlan {
    /// Its name.
    pub name: String,
    /// What it reads.
    pub inputs: Vec<String>,
    /// Its columns and their types; empty while it waits.
    pub columns: Vec<(String, String)>,
    /// The steps, one a line.
    pub steps: String,
    /// What becomes of rows that come too late for its windows, if it has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub late: Option<LatePlan>,
    /// Sources whose columns have to be known first.
    pub waits_for: Vec<String>,
}

/// What becomes of rows that come too late.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LatePlan {
    /// They are set aside.
    SetAside,
    /// They go to sinks.
    Stream {
        /// What such a sink takes.
        rows: String,
        /// Their columns and types.
        columns: Vec<(String, String)>,
    },
}

/// A sink.
#[derive(Clone, Debug, Serialize)]
pub struct SinkPlan {
    /// Its name.
    pub name: String,
    /// What it takes.
    pub rows: String,
    /// Where it writes.
    pub writes: String,
    /// What is promised from the queue to its target.
    pub promise: String,
}

/// Plans a loaded pipeline.
///
/// # Errors
/// Everything that is wrong with its views and promises, each with its place in the file.
pub fn plan(pipeline: &Pipeline, registry: &Registry) -> Result<Plan, Problems> {
    let status = Status::new(Arc::new(SystemClock));
    let lookups = Lookups::new(&pipeline.lookups, &status, pipeline.limits.retry_max.0);
    let blueprint = Blueprint {
        sources: pipeline.sources.iter().map(SourcePart::feed).collect(),
        views: pipeline.views.clone(),
        sinks: pipeline.sinks.iter().map(|s| (s.name.clone(), s.rows.clone())).collect(),
        lookups: lookups.clone(),
        tables: Tables::new(&pipeline.tables),
        planner: registry.planner.clone(),
        functions: registry.functions.clone(),
    };
    let wrong = |errors: Vec<ViewError>| pipeline.check_views(errors);
    let line = Line::new(blueprint, Arc::default()).map_err(wrong)?;
    let live = line.looked_up(&lookups.live()).map_err(wrong)?;
    asked_for_too_much(pipeline, &live)?;
    cannot_replace(pipeline, &line)?;
    unsuited(pipeline, &line)?;
    Ok(Plan {
        pipeline: pipeline.name.clone(),
        sources: sources(pipeline, &line),
        queue: pipeline.queue.opener.describe(),
        lookups: pipeline.lookups.iter().map(lookup).collect(),
        tables: pipeline.tables.iter().map(table).collect(),
        views: views(pipeline, &line),
        sinks: sinks(pipeline, &live),
        bounds: bounds(pipeline),
    })
}

fn sources(pipeline: &Pipeline, line: &Line) -> Vec<SourcePlan> {
    pipeline
        .sources
        .iter()
        .map(|s| SourcePlan {
            name: s.name.clone(),
            reads: s.source.describe(),
            decodes: s.codec.describe(),
            columns: line.columns(&s.name).map_or_else(Vec::new, |(columns, used)| {
                columns
                    .0
                    .iter()
                    .map(|c| ColumnPlan {
                        name: c.name.clone(),
                        r#type: c.r#type.to_string(),
                        decoded: used.is_none_or(|u| u.contains(&c.name)),
                    })
                    .collect()
            }),
            event_time: s.event_time.as_ref().map(event_time),
            promise: match s.source.replay() {
                Replay::Exact => "exact: continues just after what the queue holds",
                Replay::Polled => {
                    "polled: a poll that is not in the queue when a crash comes is polled anew"
                }
                Replay::Never => "what was read and is not yet in the queue is lost in a crash",
            }
            .to_owned(),
        })
        .collect()
}

fn event_time(time: &EventTime) -> String {
    let EventTime { column, delay, idle, ahead } = time;
    let idle = match idle {
        Some(idle) => format!("a split that has said nothing for {idle} is not waited for"),
        None => "every split is waited for, however long it says nothing".to_owned(),
    };
    format!(
        "`{column}`: complete up to the latest less {delay}; {idle}; rows more than {ahead} ahead of their arrival are set aside"
    )
}

fn views(pipeline: &Pipeline, line: &Line) -> Vec<ViewPlan> {
    let planned: BTreeMap<&str, &crate::line::Explained> =
        line.explained().iter().map(|e| (e.name.as_str(), e)).collect();
    let mut views: Vec<ViewPlan> = line
        .explained()
        .iter()
        .map(|e| ViewPlan {
            name: e.name.clone(),
            inputs: e.inputs.clone(),
            columns: columns(&e.schema),
            steps: e.steps.clone(),
            late: e.windows.then(|| match &e.late {
                None => LatePlan::SetAside,
                Some(late) => {
                    LatePlan::Stream { rows: View::late_rows(&e.name), columns: columns(late) }
                }
            }),
            waits_for: Vec::new(),
        })
        .collect();
    for view in &pipeline.views {
        if !planned.contains_key(view.name.as_str()) {
            views.push(ViewPlan {
                name: view.name.clone(),
                inputs: Vec::new(),
                columns: Vec::new(),
                steps: String::new(),
                late: None,
                waits_for: line.waits_for(&view.name),
            });
        }
    }
    views
}

fn columns(schema: &SchemaRef) -> Vec<(String, String)> {
    schema.fields().iter().map(|f| (f.name().clone(), type_name(f.data_type()))).collect()
}

/// An Arrow type in the words of the pipeline file, where it has one.
fn type_name(r#type: &arrow_schema::DataType) -> String {
    use arrow_schema::DataType as T;
    match r#type {
        T::Int64 => "int64".into(),
        T::Float64 => "float64".into(),
        T::Utf8 | T::LargeUtf8 | T::Utf8View => "string".into(),
        T::Boolean => "bool".into(),
        T::Date32 => "date".into(),
        T::Timestamp(..) => "timestamp".into(),
        T::List(item) => format!("list of {}", type_name(item.data_type())),
        T::Struct(_) => "struct".into(),
        other => other.to_string().to_lowercase(),
    }
}

fn lookup(part: &LookupPart) -> LookupPlan {
    let keeps = if part.ttl.0.is_zero() {
        "nothing: each batch asks anew".to_owned()
    } else {
        let (ttl, bytes) = (part.ttl, part.cache_bytes);
        format!("answers for {ttl}, up to {bytes}; at the bound those used longest ago leave")
    };
    let on_failure = match part.on_failure {
        OnFailure::Retry => {
            "rows wait until it answers; a row whose answer does not fit the columns is set aside"
        }
        OnFailure::Nulls => "its columns are null, and the key is counted as unanswered",
    };
    let mode = match part.mode {
        LookupMode::Live => "live: rows that are made again after a crash are looked up anew",
        LookupMode::Recorded => {
            "recorded: answers are kept in the queue, and rows that are made again are the same; a key has one answer in an epoch"
        }
    };
    LookupPlan {
        name: part.name.clone(),
        asks: part.lookup.describe(),
        columns: part.columns.0.iter().map(|c| (c.name.clone(), c.r#type.to_string())).collect(),
        keeps,
        on_failure: on_failure.to_owned(),
        mode: mode.to_owned(),
    }
}

fn table(part: &TablePart) -> TablePlan {
    let columns = part.columns.iter().flat_map(|c| &c.0);
    let TablePart { reload, bytes_max, .. } = part;
    TablePlan {
        name: part.name.clone(),
        reads: part.reader.describe(),
        columns: columns.map(|c| (c.name.clone(), c.r#type.to_string())).collect(),
        keeps: format!(
            "looked at every {reload}; each content, of {bytes_max} at most, is kept in the queue, and rows are joined to the one that held at their offset; one that cannot be read is told of, and the one before stays"
        ),
    }
}

/// Sinks whose rows depend on live lookups, with those.
type LookedUp = BTreeMap<String, BTreeSet<String>>;

/// No sink whose rows depend on a live lookup can promise that they are the same when they are made again.
fn asked_for_too_much(pipeline: &Pipeline, live: &LookedUp) -> Result<(), Problems> {
    let wanted = pipeline.sinks.iter().filter(|s| s.wanted == Some(Promise::EffectivelyOnce));
    let problems = wanted.filter_map(|sink| {
        let lookups = list(live.get(&sink.name)?);
        let what = format!(
            "rows that are looked up in {lookups} cannot be `effectively_once`: after a crash those of the last epoch are looked up anew, and may be others"
        );
        let problem = pipeline.text.problem(&["sinks", &sink.name, "promise"], what);
        Some(problem.fix("let the lookups be `mode: recorded`, or ask for `at_least_once`"))
    });
    let problems: Vec<Problem> = problems.collect();
    if problems.is_empty() { Ok(()) } else { Err(pipeline.text.problems(problems)) }
}

/// A view whose rows may be given anew is for sinks that put a row in the place of the one before.
fn cannot_replace(pipeline: &Pipeline, line: &Line) -> Result<(), Problems> {
    let problem = |sink: &SinkPart| {
        let view = line.explained().iter().find(|e| e.name == sink.rows)?;
        let wanted = view.updates.as_ref()?;
        let by = names(&wanted.by);
        let (what, fix) = match sink.sink.key() {
            None => twice(&view.name, wanted.why),
            Some(key)
                if key.iter().any(|column| !wanted.by.contains(column))
                    || key.len() != wanted.by.len() =>
            {
                let what = format!(
                    "a row of `{}` takes the place of the one before with the same {by}, and this sink goes by {}",
                    view.name,
                    names(&key)
                );
                (what, format!("let the key be {by}"))
            }
            Some(_) => return None,
        };
        Some(pipeline.text.problem(&["sinks", &sink.name, "to"], what).fix(fix))
    };
    let keeping = pipeline.sinks.iter().filter(|sink| sink.sink.keeps());
    let problems: Vec<Problem> = keeping.filter_map(problem).collect();
    if problems.is_empty() { Ok(()) } else { Err(pipeline.text.problems(problems)) }
}

/// Why a sink that only appends would have rows of a view twice, and what to do.
fn twice(view: &str, why: Anew) -> (String, String) {
    let keyed = "take a sink with a `key`, such as `sqlite` in `mode: upsert`";
    match why {
        Anew::Late => (
            format!(
                "the windows of `{view}` take late rows and give their rows anew, and this sink would have them twice"
            ),
            format!("{keyed}, or leave `allowed_lateness` out"),
        ),
        Anew::Running => (
            format!(
                "the groups of `{view}` are never complete: each gives its row anew when it changes, and this sink would keep all of them"
            ),
            format!(
                "{keyed}, or group by windows of event time, whose rows are given once: `FROM TUMBLE(…) GROUP BY window_start, window_end, …`"
            ),
        ),
        Anew::Ranked => (
            format!(
                "the places of `{view}` are never settled: whoever comes to one is given in place of who had it before, and this sink would keep all of them"
            ),
            format!(
                "{keyed}, or rank within windows of event time, whose rows are given once: `PARTITION BY window_start, window_end, …`"
            ),
        ),
    }
}

/// Columns that a sink needs or cannot have, where it is known which there are.
fn unsuited(pipeline: &Pipeline, line: &Line) -> Result<(), Problems> {
    let problem = |(sink, (_, schema)): (&SinkPart, (&str, Option<&SchemaRef>))| {
        let error = sink.sink.suits(schema?).err()?;
        let problem = pipeline.text.problem(&["sinks", &sink.name, "to"], error.what());
        Some(match error.how_to_fix() {
            Some(fix) => problem.fix(fix),
            None => problem,
        })
    };
    let problems: Vec<Problem> =
        pipeline.sinks.iter().zip(line.sinks()).filter_map(problem).collect();
    if problems.is_empty() { Ok(()) } else { Err(pipeline.text.problems(problems)) }
}

fn names(names: &[String]) -> String {
    names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
}

fn list(names: &BTreeSet<String>) -> String {
    names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
}

fn sinks(pipeline: &Pipeline, live: &LookedUp) -> Vec<SinkPlan> {
    pipeline
        .sinks
        .iter()
        .map(|s| SinkPlan {
            name: s.name.clone(),
            rows: s.rows.clone(),
            writes: s.sink.describe(),
            promise: {
                let opener = &pipeline.queue.opener;
                let promised = promise(s.sink.promise(), opener.durable());
                let promise = match live.get(&s.name) {
                    Some(lookups) if opener.durable() => format!(
                        "rows as they were looked up the last time: after a crash, those of the last epoch are looked up anew in {}, and may come twice or be others",
                        list(lookups)
                    ),
                    _ => promised.to_owned(),
                };
                if opener.shared() && s.sink.local() {
                    format!("{promise}. It is on this host's disk: only a process on this host can take over")
                } else {
                    promise
                }
            },
        })
        .collect()
}

fn promise(promise: Promise, durable: bool) -> &'static str {
    match (durable, promise) {
        (true, Promise::EffectivelyOnce) => {
            "effectively once: each row is there once, also after a crash"
        }
        (true, Promise::AtLeastOnce) => {
            "at least once: after a crash, rows of the last epoch may come twice"
        }
        (false, _) => "at most once: the queue is memory, what it holds is lost in a crash",
    }
}

fn bounds(pipeline: &Pipeline) -> Vec<String> {
    let l = &pipeline.limits;
    vec![
        format!(
            "outbox of each sink: {}; at the bound the pipeline waits for the sink",
            l.outbox_bytes
        ),
        format!(
            "dead letters: {}; at the bound the pipeline waits until some are dropped or replayed",
            l.dead_bytes
        ),
        format!("back-off between tries: 100ms doubling up to {}", l.retry_max),
        format!("a stop waits for at most {}; what is left stays in the queue", l.stop_within),
    ]
}
