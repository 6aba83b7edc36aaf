//! `regexp_extract(text, pattern [, group])`: what a group of a pattern has matched, as other streaming engines call it.
//!
//! PostgreSQL's `regexp_match` gives a list of all groups of each row, which has to be made; this gives the one that is wanted.

use std::sync::{Arc, LazyLock};

use arrow_array::builder::StringBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, Field, FieldRef};
use datafusion_common::{DataFusionError, Result, ScalarValue, plan_err};
use datafusion_expr::{
    ColumnarValue, DocSection, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};
use regex::{CaptureLocations, Regex, RegexBuilder};

use crate::complain::said;

/// A pattern that would take more memory than this is refused.
const PATTERN_BYTES_MAX: usize = 1 << 20;

static FUNCTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    Arc::new(ScalarUDF::new_from_impl(Extract {
        signature: Signature::user_defined(Volatility::Immutable),
        documentation: Documentation::builder(
            DocSection { include: true, label: "Regular Expression Functions", description: None },
            "What a group of the pattern has matched where the pattern first matches, null if it does not. Group 0, the default, is all of the match.",
            "regexp_extract(text, pattern[, group])",
        )
        .build(),
    }))
});

pub(crate) fn function() -> Arc<ScalarUDF> {
    FUNCTION.clone()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Extract {
    signature: Signature,
    documentation: Documentation,
}

impl ScalarUDFImpl for Extract {
    fn name(&self) -> &'static str {
        "regexp_extract"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    /// Refuses what no row could be asked: a pattern and a group that stand in the text are known before any row.
    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let given = |at: usize| args.scalar_arguments.get(at).copied().flatten();
        if let Some(Some(pattern)) = given(1).and_then(|s| s.try_as_str()) {
            let pattern = Pattern::new(pattern).map_err(|e| {
                said(e, "mend the pattern; `\\` stands before a character that is to be taken as it is: `\\(`")
            })?;
            if let Some(ScalarValue::Int64(Some(group))) = given(2) {
                let fix = "name a group of the pattern: 0 is all of the match, 1 what is in its first `(…)`";
                pattern.place(*group).map_err(|e| said(e, fix))?;
            }
        }
        Ok(Arc::new(Field::new(self.name(), DataType::Utf8, true)))
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        use DataType as T;
        let text = |t: &T| matches!(t, T::Utf8 | T::LargeUtf8 | T::Utf8View | T::Null);
        match types {
            [t, p] if text(t) && text(p) => Ok(vec![T::Utf8, T::Utf8]),
            [t, p, g] if text(t) && text(p) && (g.is_integer() || *g == T::Null) => {
                Ok(vec![T::Utf8, T::Utf8, T::Int64])
            }
            _ => plan_err!("`regexp_extract` is called as `regexp_extract(text, pattern, group)`"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let one = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let rows = if one { 1 } else { args.number_rows };
        // What is the same for all rows stays one row long.
        let columns = args.args.iter().map(|a| match a {
            ColumnarValue::Array(a) => Ok(a.clone()),
            ColumnarValue::Scalar(s) => s.to_array(),
        });
        let found = extract(&columns.collect::<Result<Vec<_>>>()?, rows)?;
        match one {
            true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&found, 0)?)),
            false => Ok(ColumnarValue::Array(found)),
        }
    }
}

/// A pattern that is ready to be looked for.
struct Pattern {
    text: String,
    regex: Regex,
    found: CaptureLocations,
}

impl Pattern {
    /// The pattern, or why there is none.
    fn new(text: &str) -> Result<Self, String> {
        let regex = RegexBuilder::new(text).size_limit(PATTERN_BYTES_MAX).build();
        let regex = regex.map_err(|e| {
            let all = e.to_string();
            let why = all.lines().last().unwrap_or_default().trim_start_matches("error: ");
            format!("the pattern `{text}` cannot be read: {why}")
        })?;
        let found = regex.capture_locations();
        Ok(Self { text: text.to_owned(), regex, found })
    }

    /// The place of a group, or why there is none.
    fn place(&self, group: i64) -> Result<usize, String> {
        let place = usize::try_from(group).ok().filter(|g| *g < self.found.len());
        place.ok_or_else(|| {
            let groups = self.found.len() - 1;
            format!("the pattern `{}` has no group {group}: it has {groups}", self.text)
        })
    }

    fn group<'t>(&mut self, text: &'t str, group: i64) -> Result<Option<&'t str>> {
        let at = self.place(group).map_err(DataFusionError::Execution)?;
        if at == 0 {
            return Ok(self.regex.find(text).map(|m| m.as_str()));
        }
        let matched = self.regex.captures_read(&mut self.found, text).is_some();
        let place = self.found.get(at).filter(|_| matched);
        Ok(place.and_then(|(from, to)| text.get(from..to)))
    }
}

fn extract(args: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
    let [texts, patterns, groups @ ..] = args else {
        return plan_err!("`regexp_extract` needs a text and a pattern");
    };
    let at = |of: &ArrayRef, row: usize| if of.len() == 1 { 0 } else { row };
    let text = |of: &'_ ArrayRef, row: usize| of.is_valid(at(of, row)).then_some(at(of, row));
    let (all, wanted) = (texts.as_string::<i32>(), patterns.as_string::<i32>());
    let numbers = groups.first();
    let mut pattern: Option<Pattern> = None;
    let mut out = StringBuilder::with_capacity(rows, rows * 8);
    for row in 0..rows {
        let group = match numbers {
            Some(g) => text(g, row).map(|i| g.as_primitive::<Int64Type>().value(i)),
            None => Some(0),
        };
        let (Some(t), Some(p), Some(group)) = (text(texts, row), text(patterns, row), group) else {
            out.append_null();
            continue;
        };
        let wanted = wanted.value(p);
        if pattern.as_ref().is_none_or(|known| known.text != wanted) {
            pattern = Some(Pattern::new(wanted).map_err(DataFusionError::Execution)?);
        }
        let found = match &mut pattern {
            Some(pattern) => pattern.group(all.value(t), group)?,
            None => None,
        };
        out.append_option(found);
    }
    Ok(Arc::new(out.finish()))
}

#[cfg(test)]
mod tests {
    use arrow_array::{Int64Array, StringArray};

    use super::*;

    fn ask(texts: &[Option<&str>], pattern: &str, group: i64) -> Result<Vec<Option<String>>> {
        let texts: ArrayRef = Arc::new(StringArray::from(texts.to_vec()));
        let pattern = Arc::new(StringArray::from(vec![pattern]));
        let found = extract(
            &[texts.clone(), pattern, Arc::new(Int64Array::from(vec![group]))],
            texts.len(),
        )?;
        Ok(found.as_string::<i32>().iter().map(|t| t.map(str::to_owned)).collect())
    }

    #[test]
    fn a_group_is_what_it_matched() -> Result<()> {
        let texts = [Some("a=1&b=22&c="), Some("b=3"), Some("x"), None, Some("b=")];
        let of = |all: [Option<&str>; 5]| all.map(|t| t.map(str::to_owned)).to_vec();
        let b = "(&|^)b=([^&]*)";
        assert_eq!(ask(&texts, b, 2)?, of([Some("22"), Some("3"), None, None, Some("")]));
        assert_eq!(ask(&texts, b, 0)?, of([Some("&b=22"), Some("b=3"), None, None, Some("b=")]));
        // A group that took no part in the match.
        assert_eq!(ask(&texts, "(q)?b=", 1)?, of([None; 5]));
        Ok(())
    }

    #[test]
    fn what_is_no_pattern_or_group_is_told() {
        let why = |pattern, group| ask(&[Some("x")], pattern, group).unwrap_err().to_string();
        assert!(why("(", 0).contains("the pattern `(` cannot be read: unclosed group"));
        assert!(why("(x)", 2).contains("has no group 2: it has 1"));
        assert!(why("x", -1).contains("has no group -1: it has 0"));
        assert!(why("(((x{999}){999}){999})", 0).contains("cannot be read"));
    }
}
