//! Broken files, and exactly what is said about each.

use std::path::Path;

use crate::parse;

/// `BLESS=1` writes what is said now; then read it like a person who has made that error.
#[test]
fn every_broken_file_is_told_what_is_wrong_where_and_how_to_mend_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/broken");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .collect();
    files.sort();
    assert!(files.len() >= 30, "only {} broken files", files.len());
    let mut differ = Vec::new();
    for path in files {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let Err(problems) = parse(&text) else {
            panic!("{name} is taken, but it is broken");
        };
        let said = format!("{problems}\n");
        assert!(!said.contains("hunter2"), "{name} tells a secret: {said}");
        let golden = path.with_extension("txt");
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&golden, &said).unwrap();
        }
        let wanted = std::fs::read_to_string(&golden).unwrap_or_default();
        if said != wanted {
            differ.push(format!("== {name}: said\n{said}\n== wanted\n{wanted}"));
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

#[test]
fn a_problem_tells_its_place_to_programs_too() {
    let problems = parse("sources:\n  a: { from: stdn }\nsinks:\n  out: { rows: a, to: stdout }\n")
        .unwrap_err();
    let json = problems.to_json();
    assert_eq!(
        json,
        serde_json::json!([{
            "what": "unknown source type `stdn`",
            "path": "sources.a.from",
            "file": "pipeline.yaml",
            "line": 2,
            "col": 14,
            "fix": "did you mean `stdin`? known: generate, http, stdin",
        }])
    );
}

#[test]
fn colour_comes_only_when_asked_for() {
    let problems = parse("sources: 5\n").unwrap_err();
    assert!(!problems.render(false).contains('\u{1b}'));
    assert!(problems.render(true).contains('\u{1b}'));
}
