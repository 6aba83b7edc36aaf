//! From the plan to what keeps the best.

use std::sync::Arc;

use arrow_row::{RowConverter, SortField};
use arrow_schema::{DataType, Field, Schema, SchemaRef, SortOptions};
use datafusion_common::Result;
use datafusion_expr::expr::Sort;
use datafusion_sql::sqlparser::keywords::Keyword;

use super::{Closing, RankNode, Ranking};
use crate::chain::{Chain, Feed, To};
use crate::complain::{plain_types, said_at};
use crate::explain::show;
use crate::grown::{Grown, Spec};
use crate::lower::Lower;
use crate::sample::fails_always;
use crate::state::{typed, unnamed};

impl Lower<'_> {
    /// The best of each partition.
    pub(crate) fn rank(&mut self, node: &RankNode) -> Result<Vec<Chain>> {
        let input = &node.input;
        let facts = self.known.facts(input)?;
        let closing = node.closing(&facts);
        let grouped = std::mem::replace(&mut self.grouped, false);
        let chains = self.plan(input);
        self.grouped = grouped;
        let mut chains = chains?;
        self.answers_are_recorded(&chains, &facts)?;
        let columns: SchemaRef =
            chains.first().map_or_else(|| Arc::new(Schema::empty()), |c| c.schema.clone());
        for field in columns.fields() {
            let sort = SortField::new(field.data_type().clone());
            if !RowConverter::supports_fields(&[sort]) {
                return Err(cannot_keep(field));
            }
        }
        let columns_of = input.schema();
        let partition = node.partition.iter().map(|e| {
            let of = self.expr(e, columns_of)?;
            fails_always(&of, &columns)?;
            let (kind, nullable) = (of.data_type(&columns)?, of.nullable(&columns)?);
            Ok((of, Arc::new(Field::new(show(e), kind, nullable))))
        });
        let partition = partition.collect::<Result<Vec<_>>>()?;
        let order = node.order.iter().map(|o| {
            let options = SortOptions { descending: !o.asc, nulls_first: o.nulls_first };
            let of = self.expr(&o.expr, columns_of)?;
            fails_always(&of, &columns)?;
            Ok((of, options))
        });
        let order = order.collect::<Result<Vec<_>>>()?;
        let last = node.schema.fields().last();
        let place = Field::new(last.map_or("n", |f| f.name()), DataType::UInt64, false);
        let fields = columns.fields().iter().cloned().chain([Arc::new(place)]);
        let schema: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let spec = Ranking {
            input: columns,
            partition,
            order,
            count: usize::try_from(node.count).unwrap_or(usize::MAX),
            closing,
            schema: schema.clone(),
            state_bytes: self.windows.state_bytes,
            whole_from: i64::MIN,
        };
        let number = self.grown.len();
        for chain in &mut chains {
            chain.to = Some(To { node: number, input: 0 });
        }
        self.closed.append(&mut chains);
        let (explain, state) = (explain(&spec, node), state(&spec)?);
        let names = last.map(|f| (f.name().clone(), "row_number()".to_owned()));
        let names = names.into_iter().collect();
        self.grown.push(Grown { spec: Spec::Rank(spec), explain, state, names });
        let chain = Chain {
            from: Feed::Node(number),
            scan: schema.clone(),
            steps: vec![],
            schema,
            explain: vec![],
            to: None,
        };
        Ok(vec![chain])
    }
}

fn cannot_keep(field: &Field) -> datafusion_common::DataFusionError {
    let kind = plain_types(&field.data_type().to_string());
    let what = format!("`{}` is of type {kind}, of which no rows can be kept", field.name());
    said_at(what, "leave the column out in an inner `SELECT`", &[Keyword::OVER])
}

fn explain(spec: &Ranking, node: &RankNode) -> Vec<String> {
    let list = |all: Vec<String>| all.join(", ");
    let orders = list(node.order.iter().map(order_words).collect());
    let parts = list(node.partition.iter().map(show).collect());
    let best = match (spec.count, orders.is_empty()) {
        (1, false) => format!("the first row by {orders}"),
        (1, true) => "the first row as they come".to_owned(),
        (count, false) => format!("the first {count} rows by {orders}"),
        (count, true) => format!("the first {count} rows as they come"),
    };
    let first = if parts.is_empty() { best } else { format!("{best}, of each {parts}") };
    let bytes = millstream_core::fields::Bytes(spec.state_bytes);
    let each = if parts.is_empty() { "them" } else { "them for each" };
    let rest = match &spec.closing {
        Some(Closing { by, .. }) => {
            let by = node.partition.get(*by).map(show).unwrap_or_default();
            vec![format!(
                "keep {each} until event time has passed {by}, {bytes} at most (`state_bytes`)"
            )]
        }
        None => vec![
            "give the places that changed, at the end of each frame".to_owned(),
            format!("keep {each} for ever, {bytes} at most (`state_bytes`)"),
        ],
    };
    std::iter::once(first).chain(rest).collect()
}

fn order_words(o: &Sort) -> String {
    let down = if o.asc { "" } else { " DESC" };
    // Nulls come last going up and first going down, if nothing else is said.
    let nulls = match (o.asc == o.nulls_first, o.nulls_first) {
        (false, _) => "",
        (true, true) => " NULLS FIRST",
        (true, false) => " NULLS LAST",
    };
    format!("{}{down}{nulls}", show(&o.expr))
}

fn state(spec: &Ranking) -> Result<String> {
    let mut text = format!("first {} until {:?}\n", spec.count, spec.closing);
    for (of, _) in &spec.partition {
        text.push_str(&format!("key {}\n", typed(of, &spec.input)?));
    }
    for (of, options) in &spec.order {
        text.push_str(&format!("order {} {options:?}\n", unnamed(of)?));
    }
    let kinds = spec.input.fields().iter().map(|f| f.data_type().to_string());
    text.push_str(&format!("rows of {}\n", kinds.collect::<Vec<_>>().join(", ")));
    Ok(text)
}
