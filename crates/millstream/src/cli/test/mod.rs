//! `millstream test`: plays the tests of a pipeline, each in several manners that must not show.

mod compare;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use millstream::Error;
use millstream::codec::Codec;
use millstream::plugin::Registry;
use millstream_connectors::codec::json::{Json, JsonCodec};
use millstream_engine::config::{self, TestPart};
use millstream_engine::trial::{self, Manner};

use super::failure::{Failure, load, say, say_json};
use compare::Difference;

/// Orders that are tried for each cut.
const ORDERS: u64 = 4;

/// Play the tests of a pipeline: rows in, rows expected.
///
/// Tests stand in the file under `tests`, or beside it: those of `sensors.yaml` in `sensors.test.yaml`. Nothing is opened or
/// kept. Each is played several times in manners that must not show: rows cut into other blocks, the views taken down and
/// built anew from their state after each block, keys shared among more threads, and rows in another order within the
/// `delay` of their event time.
#[derive(Debug, Args)]
pub(crate) struct Test {
    /// The pipeline file.
    file: PathBuf,
    /// Only the tests of these names.
    names: Vec<String>,
    /// Begin with this seed where rows come in another order.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print one JSON object for each test.
    #[arg(long)]
    json: bool,
}

/// What became of one test.
struct Verdict {
    name: String,
    /// How often it was played.
    played: usize,
    failed: Option<(Manner, Vec<Difference>)>,
}

impl Test {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let registry = millstream::standard();
        let loaded = load(&self.file)?;
        let mut tests = loaded.pipeline.tests.clone();
        let beside = beside(&self.file);
        if beside.exists() {
            tests.extend(config::read_tests(&beside)?);
        }
        let chosen = self.choose(tests, &beside)?;
        let plain: Arc<dyn Codec> = Arc::new(JsonCodec::new(&Json::default())?);
        let mut failed = 0;
        for test in &chosen {
            trial::check(&loaded.pipeline, test).map_err(Failure::Options)?;
        }
        for test in &chosen {
            let verdict = self.play(&loaded.pipeline, &registry, &plain, test)?;
            failed += usize::from(verdict.failed.is_some());
            if self.json {
                say_json(&verdict.to_json())?;
            } else {
                say(&verdict.text())?;
            }
        }
        if !self.json {
            let of = if chosen.len() == 1 { "1 test" } else { &format!("{} tests", chosen.len()) };
            say(&format!("{of}: {} passed, {failed} failed\n", chosen.len() - failed))?;
        }
        if failed == 0 { Ok(()) } else { Err(Failure::Told(1)) }
    }

    fn choose(&self, tests: Vec<TestPart>, beside: &Path) -> Result<Vec<TestPart>, Failure> {
        let known = tests.iter().map(|t| format!("`{}`", t.name)).collect::<Vec<_>>().join(", ");
        if tests.is_empty() {
            let error = Error::stop(format!("{} has no tests", self.file.display()));
            let fix = format!("add some under `tests` there, or in {}", beside.display());
            return Err(Failure::Options(error.fix(fix)));
        }
        if let Some(name) = self.names.iter().find(|n| !tests.iter().any(|t| t.name == **n)) {
            let error = Error::stop(format!("there is no test `{name}`"));
            return Err(Failure::Options(error.fix(format!("known: {known}"))));
        }
        let wanted = |t: &TestPart| self.names.is_empty() || self.names.contains(&t.name);
        Ok(tests.into_iter().filter(wanted).collect())
    }

    fn play(
        &self,
        pipeline: &config::Pipeline,
        registry: &Registry,
        plain: &Arc<dyn Codec>,
        test: &TestPart,
    ) -> Result<Verdict, Failure> {
        let mut verdict = Verdict { name: test.name.clone(), played: 0, failed: None };
        let spills = pipeline.views.iter().any(|view| view.windows.spill.is_some());
        for manner in self.manners(trial::expects_late(pipeline, test), spills) {
            let played = trial::play(pipeline, registry, plain, test, manner)?;
            verdict.played += 1;
            let differences = compare::all(test, &played, manner.order.is_none())?;
            if !differences.is_empty() {
                verdict.failed = Some((manner, differences));
                break;
            }
        }
        Ok(verdict)
    }

    /// As it stands first, so that what is wrong anyway is told in the plainest way.
    fn manners(&self, late: bool, spills: bool) -> Vec<Manner> {
        let mut manners = vec![Manner::PLAIN];
        manners.extend([2, 3].map(|threads| Manner { threads, ..Manner::PLAIN }));
        for (cut, threads) in [(1, 1), (2, 2), (7, 3)] {
            let plain = Manner { cut: Some(cut), threads, ..Manner::PLAIN };
            manners.extend([false, true].map(|restarts| Manner { restarts, ..plain }));
        }
        if spills {
            let plain = Manner { spill: true, ..Manner::PLAIN };
            manners.extend([plain, Manner { cut: Some(2), ..plain }]);
            manners.push(Manner { cut: Some(3), restarts: true, threads: 2, ..plain });
        }
        // Rows that are late by intent would not be so in another order.
        if !late {
            for seed in self.seed..self.seed + ORDERS {
                let order = Some(seed);
                manners.push(Manner { order, ..Manner::PLAIN });
                let cut = Some(3);
                manners.push(Manner { cut, restarts: true, order, threads: 2, spill: spills });
            }
        }
        manners
    }
}

/// Where tests may stand beside a pipeline file.
fn beside(file: &Path) -> PathBuf {
    file.with_extension("test.yaml")
}

impl Verdict {
    fn text(&self) -> String {
        let Some((manner, differences)) = &self.failed else {
            return format!("test {}: passed ({} ways)\n", self.name, self.played);
        };
        let mut out = format!("test {}: FAILED {}\n", self.name, told(manner));
        for difference in differences {
            out.push_str(&difference.text());
        }
        out
    }

    fn to_json(&self) -> serde_json::Value {
        let failed = self.failed.as_ref().map(|(manner, differences)| {
            serde_json::json!({
                "cut": manner.cut,
                "restarts": manner.restarts,
                "seed": manner.order,
                "threads": manner.threads,
                "spill": manner.spill,
                "differences": differences.iter().map(Difference::to_json).collect::<Vec<_>>(),
            })
        });
        serde_json::json!({ "test": self.name, "passed": failed.is_none(), "ways": self.played, "failed": failed })
    }
}

/// A manner for people.
fn told(manner: &Manner) -> String {
    let mut words = Vec::new();
    if let Some(seed) = manner.order {
        words.push(format!("with rows in another order within the delay (--seed {seed})"));
    }
    if let Some(cut) = manner.cut {
        words.push(format!("with {cut} rows a block").replace("1 rows", "1 row"));
    }
    if manner.restarts {
        words.push("built anew after each block".to_owned());
    }
    if manner.threads > 1 {
        words.push(format!("on {} threads", manner.threads));
    }
    if manner.spill {
        words.push("with state on disk".to_owned());
    }
    if words.is_empty() { "as it stands".to_owned() } else { words.join(", ") }
}
