//! What keeps the house in order: layers, versions, fresh docs, live links, short files.

#![expect(clippy::unwrap_used, clippy::string_slice, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The layers of DESIGN.md: each crate and the crates of ours that it may use.
const ARROWS: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("testkit", &["core"]),
    ("engine", &["core"]),
    ("redis", &["core"]),
    ("queue", &["core", "redis"]),
    ("sql", &["core"]),
    ("connectors", &["core", "redis"]),
    ("web", &["core", "engine"]),
    ("millstream", &["core", "engine", "queue", "sql", "connectors", "web"]),
];

const FILE_LINES_MAX: usize = 500;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Files of this ending that belong to the project, by relative path.
fn files(ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let skipped = name.starts_with("target")
                || name.starts_with(".git")
                || name == "data"
                || name == "corpus";
            if path.is_dir() && !skipped {
                folders.push(path);
            } else if name.ends_with(ending) {
                found.push(path.strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// Names in a section of a Cargo.toml such as `dependencies`.
fn dependencies(manifest: &str, section: &str) -> BTreeSet<String> {
    let mut inside = false;
    let mut names = BTreeSet::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.trim() == format!("[{section}]");
        } else if inside && !line.trim().is_empty() && !line.starts_with('#') {
            let name = line.split(['=', '.', ' ']).next().unwrap();
            names.insert(name.to_owned());
        }
    }
    names
}

#[test]
fn no_crate_depends_upwards() {
    let folders: BTreeSet<String> = std::fs::read_dir(root().join("crates"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(
        folders,
        ARROWS.iter().map(|(c, _)| (*c).to_owned()).collect(),
        "crates and layers differ"
    );
    for (name, below) in ARROWS {
        let manifest = read(format!("crates/{name}/Cargo.toml"));
        for dependency in dependencies(&manifest, "dependencies") {
            let Some(ours) = dependency.strip_prefix("millstream-") else { continue };
            assert!(below.contains(&ours), "crates/{name} must not depend on {dependency}");
        }
        for dependency in dependencies(&manifest, "dev-dependencies") {
            let Some(ours) = dependency.strip_prefix("millstream-") else { continue };
            let fits = ours == "testkit" || *name == "millstream" || below.contains(&ours);
            // Laws are run on the engine with real parts beside it.
            let beside = *name == "engine" || *name == "testkit";
            assert!(fits || beside, "crates/{name} must not test with {dependency}");
        }
    }
}

#[test]
fn only_sql_names_datafusion() {
    for path in files(".rs").into_iter().chain(files("Cargo.toml")) {
        let text = path.to_string_lossy();
        let allowed = text.starts_with("crates/sql/")
            || text == "Cargo.toml"
            || text.ends_with("tests/tidy.rs");
        let code = read(&path);
        let used = code.lines().any(|l| {
            let l = l.trim_start();
            l.contains("datafusion") && !l.starts_with("//") && !l.starts_with('#')
        });
        assert!(allowed || !used, "{text} names DataFusion: only crates/sql may");
    }
}

#[test]
fn there_is_one_arrow_and_one_tls() {
    let lock = read("Cargo.lock");
    let mut versions: BTreeMap<&str, usize> = BTreeMap::new();
    for line in lock.lines() {
        if let Some(name) = line.strip_prefix("name = ") {
            *versions.entry(name.trim_matches('"')).or_default() += 1;
        }
    }
    for one in ["arrow-array", "arrow-schema", "parquet", "rustls", "tokio", "datafusion-common"] {
        assert_eq!(versions.get(one), Some(&1), "{one} has to be in Cargo.lock once");
    }
    for none in ["openssl-sys", "aws-lc-sys", "native-tls", "cmake"] {
        assert!(!versions.contains_key(none), "{none} came into Cargo.lock: see docs/decisions");
    }
}

/// What the binary prints must be what the file holds.
fn fresh(args: &[&str], file: &str) {
    let output = Command::new(env!("CARGO_BIN_EXE_millstream")).args(args).output().unwrap();
    assert!(output.status.success());
    let wanted = String::from_utf8(output.stdout).unwrap();
    let held = std::fs::read_to_string(root().join(file)).unwrap_or_default();
    // Not `assert_eq`: both are long.
    assert!(held == wanted, "{file} is stale: cargo run -- {} > {file}", args.join(" "));
}

#[test]
fn the_reference_and_the_schema_are_fresh() {
    fresh(&["docs"], "docs/reference.md");
    fresh(&["docs", "functions"], "docs/functions.md");
    fresh(&["schema"], "docs/pipeline.schema.json");
}

/// Targets of `[…](…)` outside of code.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        let mut rest = line;
        while let (false, Some(at)) = (fenced, rest.find("](")) {
            rest = &rest[at + 2..];
            if let Some(end) = rest.find(')') {
                found.push(rest[..end].split(' ').next().unwrap().to_owned());
            }
        }
    }
    found
}

/// How GitHub names the heading.
fn anchor(heading: &str) -> String {
    heading
        .trim_start_matches('#')
        .trim()
        .to_lowercase()
        .chars()
        .filter_map(|c| match c {
            ' ' => Some('-'),
            c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
            _ => None,
        })
        .collect()
}

#[test]
fn links_in_markdown_are_alive() {
    let mut dead = Vec::new();
    for path in files(".md") {
        for link in links(&read(&path)) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (file, place) = link.split_once('#').unwrap_or((&link, ""));
            let target =
                if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            if !root().join(&target).exists() {
                dead.push(format!("{}: {link}", path.display()));
            } else if !place.is_empty() && target.extension().is_some_and(|e| e == "md") {
                let text = read(&target);
                let there = text.lines().filter(|l| l.starts_with('#')).any(|h| anchor(h) == place);
                if !there {
                    dead.push(format!("{}: {link}", path.display()));
                }
            }
        }
    }
    assert!(dead.is_empty(), "dead links:\n{}", dead.join("\n"));
}

#[test]
fn files_are_short_and_leave_nothing_for_later() {
    let later = ["TO", "FIX"].map(|s| if s == "TO" { format!("{s}DO") } else { format!("{s}ME") });
    let mut wrong = Vec::new();
    for path in files(".rs") {
        let text = read(&path);
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX {
            wrong.push(format!("{}: {lines} lines, at most {FILE_LINES_MAX}", path.display()));
        }
        for (i, line) in text.lines().enumerate() {
            if later.iter().any(|l| line.contains(l.as_str())) {
                wrong.push(format!("{}:{}: {}", path.display(), i + 1, line.trim()));
            }
            // A module that several test binaries share cannot know which of them leaves what unused.
            let shared = path.ends_with("mod.rs") && line.starts_with("#![allow(dead_code, reason");
            let allows = line.trim_start().starts_with("#[allow(") || line.starts_with("#![allow(");
            if allows && !shared {
                wrong.push(format!(
                    "{}:{}: write #[expect(…, reason = \"…\")]",
                    path.display(),
                    i + 1
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_example_is_told_of() {
    let told: String = files(".md").iter().map(read).collect();
    for path in files(".yaml").into_iter().filter(|p| p.starts_with("examples")) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(
            told.contains(&name),
            "no page tells of examples/{name}: add it to examples/README.md"
        );
    }
}
