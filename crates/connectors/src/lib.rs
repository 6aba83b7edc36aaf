//! Where data comes from and goes to: one file per technology.

pub mod codec;
mod discard;
mod file;
mod folder;
mod generate;
mod host;
mod http;
mod lane;
mod redis;
pub mod render;
mod sqlite;
mod stdin;
mod stdout;
mod table;

use millstream_core::codec::Codec;
use millstream_core::lookup::Lookup;
use millstream_core::plugin::Plugin;
use millstream_core::reference::TableReader;
use millstream_core::sink::Sink;
use millstream_core::source::Source;

pub use discard::Discard;
pub use file::{Begin, FileSink, FileSource};
pub use generate::{Field, Fields, Generate, Rate};
pub use host::{Host, Metric};
pub use http::{Address, Auth, Http, Method, Target, Tls};
pub use redis::{RedisLookup, RedisSink, RedisSource};
pub use sqlite::Sqlite;
pub use stdin::Stdin;
pub use stdout::{Format as StdoutFormat, Stdout, StdoutSink};
pub use table::{CsvTable, ParquetTable, SqliteTable};

/// How bytes become rows.
pub const CODECS: &[Plugin<dyn Codec>] =
    &[Plugin::of::<codec::csv::Csv>(), Plugin::of::<codec::json::Json>()];

/// Where records come from.
pub const SOURCES: &[Plugin<dyn Source>] = &[
    Plugin::of::<FileSource>(),
    Plugin::of::<Generate>(),
    Plugin::of::<Host>(),
    Plugin::of::<Http>(),
    Plugin::of::<RedisSource>(),
    Plugin::of::<Stdin>(),
];

/// Where rows go.
pub const SINKS: &[Plugin<dyn Sink>] = &[
    Plugin::of::<Discard>(),
    Plugin::of::<FileSink>(),
    Plugin::of::<RedisSink>(),
    Plugin::of::<Sqlite>(),
    Plugin::of::<Stdout>(),
];

/// What is asked for columns by a key.
pub const LOOKUPS: &[Plugin<dyn Lookup>] = &[Plugin::of::<RedisLookup>()];

/// What reference tables are read from.
pub const TABLES: &[Plugin<dyn TableReader>] =
    &[Plugin::of::<CsvTable>(), Plugin::of::<ParquetTable>(), Plugin::of::<SqliteTable>()];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use schemars::SchemaGenerator;

    use super::*;

    /// Modules that several technologies share.
    const SHARED: &[&str] = &["codec", "folder", "lane", "lib", "render", "table"];

    /// The modules in a folder of this crate.
    fn modules(folder: &str) -> BTreeSet<String> {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let entries = std::fs::read_dir(folder).unwrap();
        let stem =
            |path: std::path::PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
        entries.map(|e| stem(e.unwrap().path())).collect()
    }

    /// Name, kind and options of each row of each table.
    fn rows() -> Vec<(&'static str, &'static str, schemars::Schema)> {
        fn of<Part: ?Sized>(
            kind: &'static str,
            table: &'static [Plugin<Part>],
        ) -> impl Iterator<Item = (&'static str, &'static str, schemars::Schema)> {
            table.iter().map(move |plugin| {
                let mut generator = SchemaGenerator::default();
                let schema = (plugin.schema)(&mut generator);
                let name = schema.get("$ref").and_then(|r| r.as_str()?.rsplit('/').next());
                let schema = name.and_then(|name| generator.definitions().get(name)).cloned();
                (plugin.name, kind, schema.and_then(|s| s.try_into().ok()).unwrap_or_default())
            })
        }
        let all = of("source", SOURCES).chain(of("sink", SINKS)).chain(of("codec", CODECS));
        all.chain(of("lookup", LOOKUPS)).chain(of("table", TABLES)).collect()
    }

    #[test]
    fn every_technology_has_its_row() {
        let named: BTreeSet<&str> = rows()
            .iter()
            .filter(|(_, kind, _)| !matches!(*kind, "codec" | "table"))
            .map(|(name, ..)| *name)
            .collect();
        for module in modules("src") {
            let known = named.contains(module.as_str()) || SHARED.contains(&module.as_str());
            assert!(
                known,
                "`src/{module}` has no row: add `Plugin::of::<{module}::…>(),` to SOURCES, SINKS or LOOKUPS in src/lib.rs"
            );
        }
        for name in named {
            assert!(modules("src").contains(name), "`{name}` should be in a file of its name");
        }
        for plugin in CODECS {
            let name = plugin.name;
            assert!(modules("src/codec").contains(name), "`{name}` should be in src/codec/{name}");
        }
    }

    #[test]
    fn every_lookup_has_its_row() {
        let named: BTreeSet<&str> = LOOKUPS.iter().map(|p| p.name).collect();
        for folder in &modules("src") {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(folder);
            if path.join("lookup.rs").exists() || path.join("lookup").exists() {
                let known = named.contains(folder.as_str());
                assert!(known, "`src/{folder}/lookup` has no row: add it to LOOKUPS in src/lib.rs");
            }
        }
        assert!(!named.is_empty());
    }

    #[test]
    fn every_kind_of_table_has_its_row() {
        let named: BTreeSet<String> = TABLES.iter().map(|p| p.name.to_owned()).collect();
        let files =
            modules("src/table").into_iter().filter(|m| !matches!(m.as_str(), "mod" | "tests"));
        assert_eq!(
            named,
            files.collect(),
            "each file of src/table has a row in TABLES in src/lib.rs"
        );
    }

    #[test]
    fn names_are_unique_and_in_order() {
        for kind in ["source", "sink", "codec", "lookup", "table"] {
            let all = rows();
            let names: Vec<_> = all.iter().filter(|r| r.1 == kind).map(|r| r.0).collect();
            assert!(names.is_sorted_by(|a, b| a < b), "{kind}s out of order: {names:?}");
            let snake = |n: &&str| n.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            assert!(names.iter().all(snake), "{names:?}");
        }
    }

    #[test]
    fn every_option_says_what_it_does() {
        for (name, kind, schema) in rows() {
            assert!(schema.get("description").is_some(), "{kind} `{name}` has no doc comment");
            let options = schema.get("properties").and_then(|p| p.as_object());
            for (option, of) in options.into_iter().flatten() {
                assert!(
                    of.get("description").is_some(),
                    "{kind} `{name}`: option `{option}` has no doc comment"
                );
            }
        }
    }
}
