//! `millstream check`: the plan of a pipeline, with what each part promises.

use std::path::PathBuf;

use clap::Args;
use millstream::Plan;
use millstream_engine::plan::{
    ColumnPlan, LatePlan, LookupPlan, SinkPlan, SourcePlan, TablePlan, ViewPlan,
};

use super::failure::{Failure, load, say, say_json};
use super::screen::redacted;
use super::table::{aligned, hanging};

/// How far texts are set in below a part.
const INDENT: usize = 13;

/// Check a pipeline file and print its plan; opens and creates nothing.
///
/// The plan says what each source reads, which columns are decoded, what each view does step by step, what is
/// promised of each sink's rows after a crash, and every bound. A file that is wrong ends with code 2, with every
/// error under its line.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The pipeline file.
    file: PathBuf,
    /// Print the plan, or the errors, as one JSON object.
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let loaded = match load(&self.file) {
            Ok(loaded) => loaded,
            Err(problems) => return self.refuse(problems.into()),
        };
        let secrets = loaded.pipeline.text.secrets().clone();
        match loaded.plan() {
            Err(problems) => self.refuse(problems.into()),
            Ok(pipeline) if self.json => {
                let text = serde_json::to_string(pipeline.plan())
                    .map_err(|e| millstream::Error::stop("cannot write JSON").because(e))?;
                say(&redacted(&secrets, &text))
            }
            Ok(pipeline) => say(&secrets.redact(&render(pipeline.plan()))),
        }
    }

    fn refuse(&self, failure: Failure) -> Result<(), Failure> {
        if !self.json {
            return Err(failure);
        }
        say_json(&failure.to_json())?;
        Err(failure.told())
    }
}

/// The plan for people.
pub(crate) fn render(plan: &Plan) -> String {
    let mut out = format!("pipeline {}\n", plan.pipeline);
    for source in &plan.sources {
        self::source(source, &mut out);
    }
    out.push_str("\nqueue\n");
    for line in &plan.queue {
        out.push_str(&format!("  {line}\n"));
    }
    for lookup in &plan.lookups {
        self::lookup(lookup, &mut out);
    }
    for table in &plan.tables {
        self::table(table, &mut out);
    }
    for view in &plan.views {
        self::view(view, &mut out);
    }
    for sink in &plan.sinks {
        self::sink(sink, &mut out);
    }
    out.push_str("\nbounds\n");
    for line in &plan.bounds {
        out.push_str(&format!("  {line}\n"));
    }
    out
}

pub(super) fn entry(out: &mut String, word: &str, text: &str) {
    out.push_str(&format!("  {word:<width$}{}\n", hanging(text, INDENT), width = INDENT - 2));
}

fn source(source: &SourcePlan, out: &mut String) {
    out.push_str(&format!("\nsource {}\n", source.name));
    entry(out, "reads", &source.reads);
    entry(out, "decodes", &source.decodes);
    if source.columns.is_empty() {
        entry(out, "columns", "not known yet: inferred from the first rows, and kept from then on");
    } else {
        let cell = |c: &ColumnPlan| {
            let note = if c.decoded { "" } else { "not decoded: nothing reads it" };
            vec![c.name.clone(), c.r#type.clone(), note.to_owned()]
        };
        entry(
            out,
            "columns",
            &aligned(&["", "", ""], &source.columns.iter().map(cell).collect::<Vec<_>>()),
        );
    }
    if let Some(time) = &source.event_time {
        entry(out, "event time", time);
    }
    entry(out, "promise", &source.promise);
}

fn lookup(lookup: &LookupPlan, out: &mut String) {
    out.push_str(&format!("\nlookup {}\n", lookup.name));
    entry(out, "asks", &lookup.asks);
    let columns: Vec<Vec<String>> =
        lookup.columns.iter().map(|(n, t)| vec![n.clone(), t.clone()]).collect();
    entry(out, "columns", &aligned(&["", ""], &columns));
    entry(out, "keeps", &lookup.keeps);
    entry(out, "on failure", &lookup.on_failure);
    entry(out, "mode", &lookup.mode);
}

fn table(table: &TablePlan, out: &mut String) {
    out.push_str(&format!("\ntable {}\n", table.name));
    entry(out, "reads", &table.reads);
    if table.columns.is_empty() {
        entry(out, "columns", "not known yet: those that it is found to have, kept from then on");
    } else {
        let columns: Vec<Vec<String>> =
            table.columns.iter().map(|(n, t)| vec![n.clone(), t.clone()]).collect();
        entry(out, "columns", &aligned(&["", ""], &columns));
    }
    entry(out, "keeps", &table.keeps);
}

pub(super) fn view(view: &ViewPlan, out: &mut String) {
    if !view.waits_for.is_empty() {
        out.push_str(&format!("\nview {}\n", view.name));
        let waits = view.waits_for.join(", ");
        entry(
            out,
            "unverified",
            &format!("waits for the columns of {waits}, which the first rows tell"),
        );
        return;
    }
    out.push_str(&format!("\nview {} of {}\n", view.name, view.inputs.join(", ")));
    let columns: Vec<Vec<String>> =
        view.columns.iter().map(|(n, t)| vec![n.clone(), t.clone()]).collect();
    entry(out, "columns", &aligned(&["", ""], &columns));
    entry(out, "steps", &view.steps);
    match &view.late {
        None => {}
        Some(LatePlan::SetAside) => entry(out, "late rows", "are set aside"),
        Some(LatePlan::Stream { rows, columns }) => {
            let columns: Vec<String> = columns.iter().map(|(n, t)| format!("{n} {t}")).collect();
            let text = format!("go to sinks of {rows}, as they came: {}", columns.join(", "));
            entry(out, "late rows", &text);
        }
    }
}

fn sink(sink: &SinkPlan, out: &mut String) {
    out.push_str(&format!("\nsink {} of {}\n", sink.name, sink.rows));
    entry(out, "writes", &sink.writes);
    entry(out, "promise", &sink.promise);
}
