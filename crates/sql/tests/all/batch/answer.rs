//! What DataFusion's batch engine makes of the same rows.

use std::sync::Arc;

use arrow::compute::{concat_batches, filter_record_batch, take_record_batch};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType as Micros};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    UInt64Array,
};
use arrow_schema::{Field, Schema};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion_common::ScalarValue;

use super::assign::{Fault, Row};
use super::grammar::{MARK, NUMBER, TABLE};
use super::rows::Table;
use super::stage::{Cut, Query, Stage};

/// What should come out.
#[derive(Debug)]
pub(super) struct Answer {
    pub rows: RecordBatch,
    /// The names of rows that are late for all their windows, sorted; one may be so for several queries.
    pub late: Vec<String>,
    /// The names of rows without event time, sorted.
    pub timeless: Vec<String>,
}

/// The batch engine.
pub(super) struct Engine {
    runtime: tokio::runtime::Runtime,
    context: SessionContext,
}

impl Engine {
    pub(super) fn new() -> Self {
        let mut config = SessionConfig::new().with_target_partitions(1);
        let parser = &mut config.options_mut().sql_parser;
        parser.map_string_types_to_utf8view = false;
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        Self { runtime, context: SessionContext::new_with_config(config) }
    }

    pub(super) fn sql(&self, sql: &str) -> Result<RecordBatch, String> {
        let run = async {
            let frame = self.context.sql(sql).await?;
            let schema = Arc::new(frame.schema().as_arrow().clone());
            let all = frame.collect().await?;
            let schema = all.first().map_or(schema, RecordBatch::schema);
            Ok(concat_batches(&schema, &all)?)
        };
        let ran: datafusion_common::Result<_> = self.runtime.block_on(run);
        ran.map_err(|e| format!("{sql}\n{e}"))
    }

    pub(super) fn register(&self, name: &str, batch: RecordBatch) {
        self.context.deregister_table(name).unwrap();
        self.context.register_batch(name, batch).unwrap();
    }

    /// The answers to a query over each of these tables, with windows that may be wrong on purpose.
    ///
    /// It is one query over the rows of all, for planning it is what takes the time.
    pub(super) fn answers(
        &self,
        query: &Query,
        tables: &[Table],
        fault: Fault,
    ) -> Result<Vec<Answer>, String> {
        let rows = numbered(tables);
        self.register("t", rows.clone());
        let (mut late, mut timeless, mut below) = (vec![], vec![], rows);
        for stage in &query.stages {
            for (at, cut) in stage.cuts.iter().enumerate() {
                let lates = tables[0].late && stage.drops_late;
                let found = windowed(&below, cut, lates, query.allowed_lateness, fault);
                self.register(&stage.cut_name(at), found.rows);
                late.extend(self.passing(stage, found.late)?);
                timeless.extend(self.passing(stage, found.timeless)?);
            }
            if stage.unnest {
                self.register(&stage.cut_name(0), unnested(&below));
            }
            below = match self.sql(&stage.sql(true)) {
                Err(e) if e.contains("Conflicting ordering requirements") => self.apart(stage)?,
                other => other?,
            };
            self.register(&stage.name, below.clone());
        }
        // Of all rows of a view that one row becomes, the first that cannot be computed tells for all.
        timeless.sort_unstable();
        timeless.dedup();
        let answer = |(at, table): (usize, &Table)| {
            let ids = table.ids();
            let names = |numbers: &[(usize, usize)]| {
                let of = numbers.iter().filter(|(t, _)| *t == at);
                let mut names = of.map(|(_, row)| ids[*row].clone()).collect::<Vec<_>>();
                names.sort();
                names
            };
            let of = below.column_by_name(TABLE).unwrap().as_primitive::<Int64Type>();
            let of = of.values().iter().map(|t| Some(*t == at as i64)).collect::<BooleanArray>();
            let rows = filter_record_batch(&below, &of).unwrap();
            Answer { rows, late: names(&late), timeless: names(&timeless) }
        };
        Ok(tables.iter().enumerate().map(answer).collect())
    }

    /// What a query over groups gives, each column computed alone.
    fn apart(&self, stage: &Stage) -> Result<RecordBatch, String> {
        let parts = stage.apart().iter().map(|sql| self.sql(sql)).collect::<Result<Vec<_>, _>>()?;
        let keys = stage.items.iter().filter(|i| i.key).map(|i| i.name.as_str());
        let keys = keys.chain([TABLE]).collect::<Vec<_>>();
        let sorted = parts.into_iter().map(|part| {
            let key = |row: usize| {
                let values = keys.iter().map(|k| part.column_by_name(k).unwrap());
                let values = values.map(|v| ScalarValue::try_from_array(v, row).unwrap());
                format!("{:?}", values.collect::<Vec<_>>())
            };
            let mut order =
                (0..part.num_rows()).map(|row| (key(row), row as u64)).collect::<Vec<_>>();
            order.sort();
            let order = UInt64Array::from_iter_values(order.into_iter().map(|(_, row)| row));
            take_record_batch(&part, &order).unwrap()
        });
        let sorted = sorted.collect::<Vec<_>>();
        let names = stage.items.iter().map(|item| item.name.as_str()).chain([TABLE]);
        let columns = names.map(|name| {
            let column = sorted.iter().find_map(|part| part.column_by_name(name));
            (name, column.unwrap().clone())
        });
        let columns = columns.map(|(name, column)| (name, column, true));
        Ok(RecordBatch::try_from_iter_with_nullable(columns).unwrap())
    }

    /// Those rows that the query's condition lets through: table and row.
    fn passing(&self, stage: &Stage, rows: RecordBatch) -> Result<Vec<(usize, usize)>, String> {
        if rows.num_rows() == 0 {
            return Ok(vec![]);
        }
        assert!(rows.column_by_name(NUMBER).is_some(), "rows of time have one, and are not late");
        self.register("aside", rows);
        let found = self.sql(&stage.passing("aside"))?;
        let column = |i| found.column(i).as_primitive::<Int64Type>().values().iter();
        Ok(column(0).zip(column(1)).map(|(t, row)| (place(*t), place(*row))).collect())
    }
}

fn place(number: i64) -> usize {
    usize::try_from(number).unwrap()
}

/// The rows of all tables, each with its table, its number in it and the watermark before it.
fn numbered(tables: &[Table]) -> RecordBatch {
    let all = tables.iter().enumerate().map(|(at, table)| {
        let (marks, _) = table.watermarks();
        let of = Int64Array::from(vec![at as i64; marks.len()]);
        let numbers = Int64Array::from_iter_values(0..marks.len() as i64);
        let columns = [
            (TABLE, Arc::new(of) as ArrayRef),
            (NUMBER, Arc::new(numbers)),
            (MARK, Arc::new(Int64Array::from(marks))),
        ];
        with(&table.batch, columns.into())
    });
    let all = all.collect::<Vec<_>>();
    concat_batches(&all[0].schema(), &all).unwrap()
}

fn with(batch: &RecordBatch, columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let mut fields = batch.schema().fields().iter().cloned().collect::<Vec<_>>();
    let mut arrays = batch.columns().to_vec();
    for (name, array) in columns {
        fields.push(Arc::new(Field::new(name, array.data_type().clone(), array.null_count() > 0)));
        arrays.push(array);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

/// A row for each item of the list of a row.
fn unnested(below: &RecordBatch) -> RecordBatch {
    let lists = below.column_by_name("l").unwrap().as_list::<i32>();
    let (mut rows, mut items) = (vec![], vec![]);
    for row in (0..below.num_rows()).filter(|row| lists.is_valid(*row)) {
        let of = lists.value(row);
        items.extend(of.as_string::<i32>().iter().map(|item| item.map(ToOwned::to_owned)));
        rows.extend(std::iter::repeat_n(row as u64, of.len()));
    }
    let base = take_record_batch(below, &UInt64Array::from(rows)).unwrap();
    with(&base, vec![("e", Arc::new(StringArray::from(items)))])
}

/// Rows with their windows, and those without.
struct Windowed {
    rows: RecordBatch,
    late: RecordBatch,
    timeless: RecordBatch,
}

/// Rows by their numbers, of which the branches of a `UNION ALL` have some each.
fn as_they_came(rows: &RecordBatch) -> RecordBatch {
    let Some(numbers) = rows.column_by_name(NUMBER) else { return rows.clone() };
    let numbers = numbers.as_primitive::<Int64Type>();
    let mut order = (0..rows.num_rows()).collect::<Vec<_>>();
    order.sort_by_key(|row| numbers.value(*row));
    let order = UInt64Array::from_iter_values(order.into_iter().map(|row| row as u64));
    take_record_batch(rows, &order).unwrap()
}

fn windowed(below: &RecordBatch, cut: &Cut, late: bool, allowed: i64, fault: Fault) -> Windowed {
    let below = &as_they_came(below);
    let times = below.column_by_name(&cut.time).unwrap().clone();
    let times = times.as_primitive::<Micros>();
    let marks = below.column_by_name(MARK).map(|m| m.as_primitive::<Int64Type>().clone());
    let keys = cut.keys.iter().map(String::as_str).chain([TABLE]);
    let keys = keys.map(|k| below.column_by_name(k).unwrap()).collect::<Vec<_>>();
    let (mut at, mut rows, mut timeless) = (vec![], vec![], vec![]);
    for row in 0..below.num_rows() {
        if times.is_null(row) {
            timeless.push(row);
            continue;
        }
        let key = keys.iter().map(|k| ScalarValue::try_from_array(k, row).unwrap());
        let key = format!("{:?}", key.collect::<Vec<_>>());
        let mark = marks.as_ref().map_or(i64::MIN, |m| m.value(row));
        at.push(row);
        rows.push(Row { time: times.value(row), closed: mark.saturating_sub(allowed), key });
    }
    let assigned = cut.windows.assign(&rows, late && marks.is_some(), fault);
    let pick = |rows: Vec<usize>| {
        let rows = UInt64Array::from_iter_values(rows.into_iter().map(|i| i as u64));
        take_record_batch(below, &rows).unwrap()
    };
    let moments = |of: &dyn Fn(&(usize, i64, i64)) -> i64| {
        let moments = assigned.rows.iter().map(of);
        let moments = TimestampMicrosecondArray::from_iter_values(moments);
        Arc::new(moments.with_timezone("UTC")) as ArrayRef
    };
    let (start, end) = (moments(&|(_, start, _)| *start), moments(&|(_, _, end)| *end));
    let time = moments(&|(_, _, end)| end - 1);
    let base = pick(assigned.rows.iter().map(|(i, ..)| at[*i]).collect());
    // Columns of a window below make way.
    let kept = base
        .schema()
        .fields()
        .iter()
        .enumerate()
        .filter(|(_, f)| !f.name().starts_with("window_"))
        .map(|(i, _)| i)
        .collect::<Vec<_>>();
    let base = base.project(&kept).unwrap();
    Windowed {
        rows: with(
            &base,
            vec![("window_start", start), ("window_end", end), ("window_time", time)],
        ),
        late: pick(assigned.late.iter().map(|i| at[*i]).collect()),
        timeless: pick(timeless),
    }
}
