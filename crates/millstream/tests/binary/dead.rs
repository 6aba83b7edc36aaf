//! Dead letters, listed and dealt with: by a running pipeline, and at rest.

use crate::bench::{Bench, edge};

const FILE: &str = "
sources:
  readings:
    from: { file: { path: in.ndjson, follow: FOLLOW } }
    columns: { id: int64, value: float64 }
queue: { log: { path: data } }
sinks:
  store: { rows: readings, to: { sqlite: { path: out.db, table: readings, key: [id] } } }
";

/// Two good rows, one of a wrong type, one broken, one whose id is there twice.
const INPUT: &str = "{\"id\":1,\"value\":1.5}\n{\"id\":2,\"value\":\"warm\"}\n{\"id\":3,\"value\":\n{\"id\":4,\"value\":4}\n{\"id\":1,\"value\":9}\n";

fn bench(follow: bool) -> Bench {
    let bench = Bench::new();
    bench.write("p.yaml", &FILE.replace("FOLLOW", &follow.to_string()));
    bench.write("in.ndjson", INPUT);
    bench
}

fn numbers(bench: &Bench) -> Vec<u64> {
    let text = bench.run(&["dead", "list", "p.yaml", "--json"]).with_code(0).stdout;
    text.lines()
        .map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap()["number"].as_u64().unwrap())
        .collect()
}

#[test]
fn where_there_is_no_queue_yet_nothing_is_listed_and_nothing_made() {
    let bench = bench(false);
    let before = bench.everything();
    let list = bench.run(&["dead", "list", "p.yaml"]).with_code(0);
    assert_eq!(list.stdout, "no dead letters\n");
    bench.run(&["dead", "drop", "p.yaml", "--all"]).with_code(0);
    bench.run(&["dead", "show", "p.yaml", "0"]).with_code(2);
    assert_eq!(bench.everything(), before);
}

#[test]
fn at_rest_they_are_shown_whole_replayed_and_dropped() {
    let bench = bench(false);
    let closed = bench.run(&["run", "p.yaml", "--once", "--json"]).with_code(0).closed();
    assert_eq!(edge(&closed, "decode", "readings", "set_aside"), 2);
    assert_eq!(edge(&closed, "sink", "store", "set_aside"), 1);
    let all = numbers(&bench);
    assert_eq!(all.len(), 3);
    let shown = bench.run(&["dead", "show", "p.yaml"]).with_code(0).stdout;
    for whole in
        ["{\"id\":2,\"value\":\"warm\"}", "{\"id\":3,\"value\":", "{\"id\":1,\"value\":9.0}"]
    {
        assert!(shown.contains(whole), "no `{whole}` in\n{shown}");
    }
    // The cause is mended: the same bytes fit now.
    let mended = FILE.replace("FOLLOW", "false").replace("value: float64", "value: json");
    bench.write("p.yaml", &mended.replace("out.db", "mended.db"));
    let replayed = bench.run(&["dead", "replay", "p.yaml", &all[0].to_string()]).with_code(0);
    assert_eq!(replayed.stdout, "1 replayed\n");
    assert_eq!(numbers(&bench), all[1..]);
    let dropped = bench.run(&["dead", "drop", "p.yaml", "--part", "readings"]).with_code(0);
    assert_eq!(dropped.stdout, "1 dropped\n");
    assert_eq!(numbers(&bench), all[2..]);
    // A row of a sink has no bytes of its own to be sent again.
    let left = bench.run(&["dead", "replay", "p.yaml", "--all"]).with_code(1);
    assert!(left.stderr.contains("left as they were"), "{}", left.stderr);
    bench.run(&["dead", "drop", "p.yaml", &all[2].to_string()]).with_code(0);
    bench.run(&["dead", "drop", "p.yaml", &all[2].to_string()]).with_code(2);
    assert!(numbers(&bench).is_empty());
}

#[test]
fn a_running_pipeline_deals_with_its_own() {
    let bench = bench(true);
    let running = bench.start(&["run", "p.yaml", "--json"]);
    let mut all = Vec::new();
    for _ in 0..2_000 {
        // Before it has begun there may be no queue, or one that is being opened.
        let list = bench.run(&["dead", "list", "p.yaml", "--json"]);
        all = list.stdout.lines().map(str::to_owned).collect();
        if all.len() == 3 {
            break;
        }
    }
    assert_eq!(all.len(), 3, "{all:?}");
    bench.run(&["dead", "drop", "p.yaml", "--part", "store"]).with_code(0);
    assert_eq!(numbers(&bench).len(), 2);
    running.signal("TERM");
    running.done().with_code(0).closed();
    assert_eq!(numbers(&bench).len(), 2, "what was dropped stays dropped");
}

#[test]
fn a_queue_in_memory_says_that_it_keeps_none() {
    let bench = bench(false);
    bench.write(
        "p.yaml",
        &FILE.replace("FOLLOW", "false").replace("{ log: { path: data } }", "memory"),
    );
    let done = bench.run(&["dead", "list", "p.yaml"]).with_code(1);
    assert!(done.stderr.contains("queue is memory"), "{}", done.stderr);
}

#[test]
fn a_part_that_is_not_there_is_refused_with_those_that_are() {
    let bench = bench(false);
    for _ in 0..2 {
        for verb in ["list", "show", "drop", "replay"] {
            let done = bench.run(&["dead", verb, "p.yaml", "--part", "nosuch"]).with_code(2);
            assert!(done.stderr.contains("there is no part `nosuch`"), "{}", done.stderr);
            assert!(done.stderr.contains("parts of this file: readings, store"), "{}", done.stderr);
        }
        bench.run(&["run", "p.yaml", "--once"]).with_code(0);
    }
    // What the file has no more may still have left some.
    bench.write("p.yaml", &FILE.replace("FOLLOW", "false").replace("readings", "others"));
    let list = bench.run(&["dead", "list", "p.yaml", "--part", "readings"]).with_code(0);
    assert_eq!(list.stdout.lines().count(), 3, "{}", list.stdout);
}
