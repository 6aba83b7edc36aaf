//! What breaks the YAML, in plain words.

use std::ops::Range;

use granit_parser::{ErrorKind, ScanError};

use super::problem::Problem;
use super::yaml::DEPTH_MAX;

/// What the parser cannot read; `opened` is where the innermost list or map begins.
#[expect(clippy::wildcard_enum_match_arm, reason = "the parser's own text serves for the rest")]
pub(super) fn broken(text: &str, error: &ScanError, opened: Option<usize>) -> Problem {
    let mut start = error.marker().byte_offset().unwrap_or(0).min(text.len());
    let line_start = text.get(..start).and_then(|t| t.rfind('\n')).map_or(0, |i| i + 1);
    let line = text.get(line_start..).and_then(|rest| rest.lines().next()).unwrap_or("");
    let (what, fix) = match error.kind() {
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabInPlainScalar
        | ErrorKind::TabAtBlockScalarStart => {
            start = line.find('\t').map_or(start, |tab| line_start + tab);
            ("a tab cannot indent YAML", "indent with spaces")
        }
        ErrorKind::UnexpectedEofFlowSequence | ErrorKind::ExpectedFlowSequenceSeparator => {
            ("a list in brackets is not closed", "put `,` between its items and `]` at its end")
        }
        ErrorKind::UnexpectedEofFlowMapping
        | ErrorKind::UnexpectedEofImplicitFlowMapping
        | ErrorKind::ExpectedFlowMappingSeparator => {
            ("a map in braces is not closed", "put `,` between its entries and `}` at its end")
        }
        ErrorKind::UnclosedQuotedScalar => {
            ("a quoted text is not closed", "put the same quote at its end")
        }
        ErrorKind::MappingValueNotAllowed | ErrorKind::InvalidColonPlacement => (
            "a `:` stands where no key can be",
            "check the indentation, whether the line above lacks its `:`, or put the text into quotes",
        ),
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => (
            "this is neither a key nor a value",
            "write `key: value`, with a space after the colon",
        ),
        ErrorKind::ExpectedBlockMappingKey | ErrorKind::InvalidIndentation => {
            ("this line fits none of the levels above", "indent it like its neighbours")
        }
        ErrorKind::RecursionLimitExceeded => return too_deep(&(start..start + 1)),
        other => {
            let what = other.to_string();
            let what = what.trim().trim_end_matches('.');
            return Problem::new(format!("this is no YAML: {what}"), start..start + 1);
        }
    };
    let problem = Problem::new(what, start..start + 1);
    let opened = opened.filter(|at| text.get(*at..).is_some_and(|t| t.starts_with(['{', '['])));
    match opened {
        // What is meant by it is no map in a map.
        Some(_) if line.contains("${") => problem
            .fix("inside of braces and brackets, `${…}` needs quotes around it: `\"${NAME}\"`"),
        Some(at) if what.ends_with("is not closed") && !what.contains("quoted") => {
            problem.fix(fix).see(at..at + 1, "opened here")
        }
        _ => problem.fix(fix),
    }
}

pub(super) fn too_deep(at: &Range<usize>) -> Problem {
    Problem::new(format!("the file is nested deeper than {DEPTH_MAX}"), at.clone())
        .fix("no option nests that deep: look for brackets that are not closed")
}
