//! Errors of SQL, at their places in the file.

use millstream_core::Error;
use millstream_core::operator::ViewError;

use crate::parse;

const VIEWS: &str = r#"sources: { t: { from: stdin } }
views:
  literal: |  # a comment
    SELECT id,
      naame

    FROM t
  indented: |2-
      SELECT é,
    naame
  folded: >
    SELECT id,
    more text
      naame
    FROM t

    WHERE x
  plain: SELECT id, naame FROM t
  several: SELECT id,
    naame
    FROM t
  single: 'SELECT ''a'', naame FROM t'
  double: "SELECT \"a\"\t, \u00e9, \U0001F600, \uD83D\uDE00, \x41 , \
    naame\nFROM t"
  block_in_block:
    |
    SELECT naame
  filled: SELECT naame, '${HOST}', naame FROM t
sinks: { out: { rows: t, to: stdout } }
"#;

/// Line and column, both from 1, of the n-th `naame` in a text.
fn naame(text: &str, n: usize) -> (usize, usize) {
    let (at, _) = text.match_indices("naame").nth(n).unwrap();
    let before = &text[..at];
    let col = before.rsplit('\n').next().unwrap().chars().count() + 1;
    (before.matches('\n').count() + 1, col)
}

#[test]
fn a_place_in_sql_is_found_in_the_file_however_it_is_written() {
    let pipeline = parse(VIEWS).unwrap();
    let mut seen = 0;
    for (i, view) in pipeline.views.iter().enumerate() {
        let (line, col) = naame(&view.sql, 0);
        let wanted = naame(VIEWS, i);
        let found = pipeline.text.place_in_view(&view.name, line, col);
        assert_eq!(found, Some(wanted), "{}: {:?}", view.name, view.sql);
        seen += 1;
    }
    assert_eq!(seen, 9);
    // What comes after `${…}` has moved.
    let filled = &pipeline.views[8];
    let (line, col) = naame(&filled.sql, 1);
    assert_eq!(pipeline.text.place_in_view("filled", line, col), None);
    // Places beyond the text are at its end.
    assert_eq!(pipeline.text.place_in_view("plain", 99, 1), Some((18, 32)));
    assert_eq!(pipeline.text.place_in_view("plain", 1, 999), Some((18, 32)));
    assert_eq!(pipeline.text.place_in_view("nothing", 1, 1), None);
}

#[test]
fn an_error_of_sql_has_its_caret_in_the_file() {
    let pipeline = parse(VIEWS).unwrap();
    let error = |view: &str, place| ViewError {
        view: view.into(),
        place,
        error: Error::stop("unknown column `naame`").at("view").fix("did you mean `name`?"),
    };
    let problems = pipeline.check_views(vec![
        error("literal", Some((2, 3))),
        error("folded", None),
        error("plain", None),
    ]);
    assert_eq!(
        problems.to_string(),
        "\
unknown column `naame` at views.literal (pipeline.yaml:5:7)
  |
5 |       naame
  |       ^^^^^
  fix: did you mean `name`?

unknown column `naame` at views.folded (pipeline.yaml:11:3)
   |
11 |   folded: >
   |   ^^^^^^
  fix: did you mean `name`?

unknown column `naame` at views.plain (pipeline.yaml:18:10)
   |
18 |   plain: SELECT id, naame FROM t
   |          ^^^^^^^^^^^^^^^^^^^^^^^
  fix: did you mean `name`?

3 errors in pipeline.yaml"
    );
}
