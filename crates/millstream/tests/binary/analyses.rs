//! The examples of joins, `OVER`, rankings and sessions give what plain code makes of the same input.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::bench::{Bench, edge};
use crate::examples::{bench, once};

/// Puts the rows of an input into a table `given` of a result, in the order in which they stand there: SQLite, which knows
/// nothing of streams, says what should have come of them. Moments are written as the sink writes them, so that they compare as texts.
fn given(bench: &Bench, database: &str, input: &str, columns: &[&str]) {
    let db = rusqlite::Connection::open(bench.path(database)).unwrap();
    let value = |c: &&str| match *c {
        "ts" => {
            "replace(line ->> '$.ts', 'Z', '000Z') AS ts, unixepoch(line ->> '$.ts', 'subsec') AS s"
                .to_owned()
        }
        c => format!("line ->> '$.{c}' AS {c}"),
    };
    let columns = columns.iter().map(value).collect::<Vec<_>>().join(", ");
    db.execute_batch(
        "DROP TABLE IF EXISTS given; DROP TABLE IF EXISTS lines; CREATE TABLE lines (line TEXT)",
    )
    .unwrap();
    for line in bench.read(input).lines() {
        db.execute("INSERT INTO lines VALUES (?)", [line]).unwrap();
    }
    db.execute_batch(&format!("CREATE TABLE given AS SELECT {columns} FROM lines")).unwrap();
}

/// Ends the test unless a table has the very rows of a query over `given`.
#[track_caller]
fn has(bench: &Bench, database: &str, table: &str, wanted: &str) {
    let found = format!("SELECT * FROM {table}");
    let missing = bench.rows(database, &format!("{wanted} EXCEPT {found}"));
    let surplus = bench.rows(database, &format!("{found} EXCEPT {wanted}"));
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "{table}: missing {missing:#?}, surplus {surplus:#?}"
    );
    let count = |q: &str| bench.count(database, &format!("SELECT count(*) FROM ({q})"));
    assert_eq!(count(&found), count(wanted), "{table}: each row once");
}

/// Rows of an input, which is not in order.
fn input(bench: &Bench, file: &str) -> Vec<Value> {
    let rows: Vec<Value> =
        bench.read(file).lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let moment = |row: &Value| row["ts"].as_str().unwrap().to_owned();
    assert!(rows.windows(2).any(|w| moment(&w[0]) > moment(&w[1])), "{file} has rows out of order");
    rows
}

/// Rows of a table on stdout, behind its head.
fn table(stdout: &str, row: impl Fn(&[&str]) -> String) -> Vec<String> {
    stdout.lines().skip(2).map(|l| row(&l.split_whitespace().collect::<Vec<_>>())).collect()
}

#[test]
fn finance_has_bars_and_each_trade_its_quote() {
    let (bench, database) = (bench(), "data/finance/finance.db");
    let told = bench.run(&["test", "finance.yaml"]).with_code(0).stdout;
    assert!(told.contains("3 tests: 3 passed, 0 failed"), "{told}");
    let trades = input(&bench, "input/trades.ndjson").len();
    let done = once(&bench, "finance.yaml");
    assert_eq!(edge(&done.closed(), "view", "priced", "out"), u64::try_from(trades).unwrap());

    given(&bench, database, "input/trades.ndjson", &["id", "symbol", "price", "size", "ts"]);
    let by = "FROM given o WHERE o.symbol = g.symbol AND substr(o.ts, 1, 19) = substr(g.ts, 1, 19) ORDER BY";
    let bars = format!(
        "SELECT substr(ts, 1, 19) || '.000000Z', symbol, (SELECT price {by} ts LIMIT 1), max(price), min(price),
                (SELECT price {by} ts DESC LIMIT 1), sum(size)
         FROM given g GROUP BY 1, 2"
    );
    has(
        &bench,
        database,
        "(SELECT window_start, symbol, open, high, low, close, volume FROM bars)",
        &bars,
    );
    // Rounded to four digits; a five in the fifth may go either way.
    let wrong = "SELECT window_start, bars.symbol, vwap, sum(price * size) / sum(size) AS wanted FROM bars JOIN given
                 ON bars.symbol = given.symbol AND substr(window_start, 1, 19) = substr(ts, 1, 19)
                 GROUP BY 1, 2, 3 HAVING abs(vwap - wanted) > 0.00005 + 1e-9";
    assert_eq!(bench.rows(database, wrong), [""; 0]);

    let db = rusqlite::Connection::open(bench.path(database)).unwrap();
    db.execute_batch("CREATE TABLE trades AS SELECT * FROM given").unwrap();
    given(&bench, database, "input/quotes.ndjson", &["symbol", "bid", "ask", "ts"]);
    let priced = "SELECT t.ts, id, t.symbol, price, size, bid, ask, q.ts,
                         CASE WHEN price >= ask THEN 'buy' WHEN price <= bid THEN 'sell' END
                  FROM trades t LEFT JOIN given q ON q.rowid =
                      (SELECT rowid FROM given l WHERE l.symbol = t.symbol AND l.s <= t.s AND t.s <= l.s + 10 ORDER BY s DESC LIMIT 1)";
    has(&bench, database, "priced", priced);
    let unknown = bench.rows(database, "SELECT DISTINCT symbol FROM priced WHERE bid IS NULL");
    assert_eq!(unknown, ["Text(\"CORK\")"], "its quotes stop for longer than ten seconds");

    let wide = bench.rows(
        database,
        "SELECT substr(ts, 1, 19) || '.000000Z', symbol, count(*), round(max((ask - bid) / (ask + bid) * 20000), 1)
         FROM given GROUP BY 1, 2 HAVING max((ask - bid) / (ask + bid)) > 0.0025",
    );
    assert_eq!(edge(&done.closed(), "sink", "alarms", "out"), 2);
    let shown = table(&done.stdout, |w| {
        format!("Text({:?}) Text({:?}) Integer({}) Real({})", w[0], w[1], w[2], w[3])
    });
    assert_eq!(shown, wide, "{}", done.stdout);
}

#[test]
fn social_ranks_words_and_finds_sittings() {
    let (bench, database) = (bench(), "data/social/social.db");
    let told = bench.run(&["test", "social.yaml"]).with_code(0).stdout;
    assert!(told.contains("2 tests: 2 passed, 0 failed"), "{told}");
    once(&bench, "social.yaml").closed();

    // How often each word was used in the five minutes before the end of each minute.
    let mut uses: BTreeMap<usize, BTreeMap<String, i64>> = BTreeMap::new();
    for post in input(&bench, "input/posts.ndjson") {
        let (moment, text) = (post["ts"].as_str().unwrap(), post["text"].as_str().unwrap());
        let in_hour = moment.strip_prefix("2026-06-01T18:").unwrap();
        let minute: usize = in_hour.split(':').next().unwrap().parse().unwrap();
        for word in text.to_lowercase().split(|c: char| !c.is_ascii_lowercase()) {
            if word.len() > 3 && !["that", "they", "this", "were", "what", "with"].contains(&word) {
                for end in minute + 1..=minute + 5 {
                    *uses.entry(end).or_default().entry(word.to_owned()).or_default() += 1;
                }
            }
        }
    }
    let mut wanted = Vec::new();
    for (end, words) in &uses {
        let mut words: Vec<_> = words.iter().collect();
        words.sort_by_key(|&(word, n)| (-n, word));
        for (place, (word, n)) in words.iter().take(10).enumerate() {
            let end = format!("2026-06-01T18:{end:02}:00.000000Z");
            wanted
                .push(format!("Text({end:?}) Integer({}) Text({word:?}) Integer({n})", place + 1));
        }
    }
    assert!(uses.values().any(|w| w.len() > 20), "there is something to leave out");
    assert_eq!(bench.rows(database, "SELECT * FROM trending ORDER BY rowid"), wanted);

    given(&bench, database, "input/posts.ndjson", &["author", "text", "ts"]);
    let sittings = "
        SELECT author, min(ts), max(ts), count(*), sum(length(text))
        FROM (SELECT *, sum(first) OVER (PARTITION BY author ORDER BY s) AS sitting
              FROM (SELECT *, s - lag(s, 1, 0) OVER (PARTITION BY author ORDER BY s) >= 120 AS first FROM given))
        GROUP BY author, sitting";
    has(&bench, database, "sittings", sittings);
    assert!(bench.count(database, "SELECT count(*) FROM sittings WHERE posts > 5") > 0);
}

#[test]
fn iot_alarms_finds_jumps_and_silence() {
    let (bench, database) = (bench(), "data/iot_alarms/alarms.db");
    let told = bench.run(&["test", "iot_alarms.yaml"]).with_code(0).stdout;
    assert!(told.contains("2 tests: 2 passed, 0 failed"), "{told}");
    let readings = input(&bench, "input/machines.ndjson").len();
    let done = once(&bench, "iot_alarms.yaml");
    assert_eq!(edge(&done.closed(), "decode", "readings", "out"), u64::try_from(readings).unwrap());

    given(&bench, database, "input/machines.ndjson", &["sensor", "value", "ts"]);
    // Deviations squared, which needs no root: of each reading from the mean of the thirty before it, and the mean one of these.
    let db = rusqlite::Connection::open(bench.path(database)).unwrap();
    db.execute_batch(
        "CREATE TABLE ordered AS SELECT *, row_number() OVER (PARTITION BY sensor ORDER BY s) AS i FROM given;
         CREATE TABLE means AS SELECT a.sensor, a.i, avg(b.value) AS mean FROM ordered a
             JOIN ordered b ON a.sensor = b.sensor AND b.i BETWEEN a.i - 30 AND a.i - 1 WHERE a.i > 30 GROUP BY 1, 2;
         CREATE TABLE wanted AS SELECT a.ts, a.sensor, a.value, a.value - mean AS off,
                                       sum((b.value - mean) * (b.value - mean)) / 29 AS variance
             FROM ordered a JOIN means m ON a.sensor = m.sensor AND a.i = m.i
             JOIN ordered b ON a.sensor = b.sensor AND b.i BETWEEN a.i - 30 AND a.i - 1 GROUP BY a.sensor, a.i",
    )
    .unwrap();
    has(
        &bench,
        database,
        "(SELECT ts, sensor, value FROM scored)",
        "SELECT ts, sensor, value FROM wanted",
    );
    let wrong = "SELECT ts, sensor, z, off, variance FROM scored JOIN wanted USING (ts, sensor)
                 WHERE abs(z * z * variance - off * off) > 1e-9 * (1 + off * off) OR z * off < 0";
    assert_eq!(bench.rows(database, wrong), [""; 0]);
    let jumps = bench.rows(
        database,
        "SELECT sensor, value FROM wanted WHERE off * off > 9 * variance ORDER BY ts",
    );
    assert_eq!(jumps.len(), 4, "two blows, of two readings each: {jumps:?}");
    let shown = table(&done.stdout, |w| format!("Text({:?}) Real({})", w[1], w[2]));
    assert_eq!(shown, jumps, "{}", done.stdout);

    let silent = "SELECT sensor, ts, value FROM given r WHERE NOT EXISTS
                  (SELECT 1 FROM given n WHERE n.sensor = r.sensor AND n.s > r.s AND n.s <= r.s + 60)";
    has(&bench, database, "silent", silent);
    let within = bench.rows(database, "SELECT sensor FROM silent ORDER BY last_seen LIMIT 2");
    assert_eq!(within, ["Text(\"valve\")", "Text(\"fan\")"]);
}
