use super::*;
use std::sync::Arc;

fn generate(options: &str) -> Result<Box<dyn Source>> {
    serde_json::from_str::<Generate>(options).unwrap().build(&Env::test("made", "."))
}

async fn text(source: &mut dyn Source) -> String {
    let mut all = Vec::new();
    while let Some(pulled) = source.pull().await.unwrap() {
        for record in pulled.records {
            all.extend_from_slice(&record.value);
        }
    }
    String::from_utf8(all).unwrap()
}

const EVERY_KIND: &str = r#"{"seed":7,"rows":500,"block_rows":33,"fields":{
    "id":{"sequence":{"start":10,"step":-3}},
    "who \"is\" it":{"choice":["a",1,null]},
    "text":{"words":{"count":2}},
    "wave":{"sine":{"amplitude":2,"period":50,"mean":10,"noise":0.5}},
    "walk":{"random_walk":{"start":1,"min":0,"max":2,"decimals":6}},
    "u":{"uniform":{"min":-5,"max":5}},
    "i":{"integer":{"min":-3,"max":3}},
    "ts":{"timestamp":{"step":"250ms"}},
    "c":{"constant":{"x":[1,2]}}}}"#;

#[tokio::test]
async fn rows_are_json_within_the_bounds_that_were_asked_for() {
    let mut source = generate(EVERY_KIND).unwrap();
    source.open(&SplitPositions::new()).await.unwrap();
    let text = text(source.as_mut()).await;
    let rows: Vec<serde_json::Value> =
        text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(rows.len(), 500);
    let float = |row: &serde_json::Value, key: &str| row[key].as_f64().unwrap();
    for (i, row) in rows.iter().enumerate() {
        assert_eq!(row["id"].as_i64().unwrap(), 10 - 3 * i64::try_from(i).unwrap());
        assert!((7.5..=12.5).contains(&float(row, "wave")), "{row}");
        assert!((0.0..=2.0).contains(&float(row, "walk")), "{row}");
        assert!((-5.0..=5.0).contains(&float(row, "u")), "{row}");
        assert_eq!(row["text"].as_str().unwrap().split(' ').count(), 2);
    }
    let seen: std::collections::BTreeSet<i64> =
        rows.iter().map(|r| r["i"].as_i64().unwrap()).collect();
    assert_eq!(seen, (-3..=3).collect());
    assert_eq!(rows[5]["ts"], "2026-01-01T00:00:01.250000Z");
    let names: Vec<_> = source.columns().unwrap().0.into_iter().map(|c| c.name).collect();
    assert_eq!(rows[0].as_object().unwrap().len(), names.len());
    assert_eq!(names[0], "id");
}

#[tokio::test]
async fn one_seed_makes_the_same_rows_and_another_makes_others() {
    let mut texts = Vec::new();
    for options in [EVERY_KIND.to_owned(), EVERY_KIND.to_owned(), EVERY_KIND.replace(":7,", ":8,")]
    {
        let mut source = generate(&options).unwrap();
        source.open(&SplitPositions::new()).await.unwrap();
        texts.push(text(source.as_mut()).await);
    }
    assert_eq!(texts[0], texts[1]);
    assert_ne!(texts[0], texts[2]);
}

#[tokio::test]
async fn a_field_makes_the_same_values_whatever_stands_beside_it() {
    let alone = r#"{"rows":3,"fields":{"u":{"uniform":{}}}}"#;
    let beside = r#"{"rows":3,"fields":{"u":{"uniform":{}},"x":{"uniform":{}}}}"#;
    let mut values = Vec::new();
    for options in [alone, beside] {
        let mut source = generate(options).unwrap();
        source.open(&SplitPositions::new()).await.unwrap();
        let text = text(source.as_mut()).await;
        let rows = text.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap());
        values.push(rows.map(|r| r["u"].clone()).collect::<Vec<_>>());
    }
    assert_eq!(values[0], values[1]);
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_kept_on_average_and_a_long_stall_is_not_made_up_for() {
    let mut source = generate(r#"{"rate":"500/s","fields":{"at":"now"}}"#).unwrap();
    source.open(&SplitPositions::new()).await.unwrap();
    let begun = Instant::now();
    let mut rows = 0;
    while begun.elapsed() < Duration::from_secs(10) {
        rows += lines(&source.pull().await.unwrap().unwrap());
    }
    assert!((4990..=5010).contains(&rows), "{rows}");
    tokio::time::sleep(Duration::from_secs(60)).await;
    let burst = lines(&source.pull().await.unwrap().unwrap());
    assert!((495..=510).contains(&burst), "{burst}");
}

fn lines(pulled: &Pulled) -> usize {
    pulled.records.iter().map(|r| r.value.iter().filter(|b| **b == b'\n').count()).sum()
}

#[tokio::test]
async fn the_field_now_follows_the_clock() {
    let clock = millstream_core::clock::ManualClock::at(millstream_core::Timestamp(0));
    let mut env = Env::test("made", ".");
    env.clock = Arc::new(clock.clone());
    let options = r#"{"rows":2,"block_rows":1,"fields":{"at":"now"}}"#;
    let mut source = serde_json::from_str::<Generate>(options).unwrap().build(&env).unwrap();
    source.open(&SplitPositions::new()).await.unwrap();
    let first = source.pull().await.unwrap().unwrap();
    assert_eq!(&first.records[0].value[..], b"{\"at\":\"1970-01-01T00:00:00Z\"}\n");
    clock.advance(Duration::from_millis(1500));
    let second = source.pull().await.unwrap().unwrap();
    assert_eq!(&second.records[0].value[..], b"{\"at\":\"1970-01-01T00:00:01.500000Z\"}\n");
    assert!(second.ended);
    assert!(source.pull().await.unwrap().is_none());
}

#[tokio::test]
async fn a_strange_position_stops_and_tells_how_to_mend_it() {
    let mut source = generate(EVERY_KIND).unwrap();
    for text in ["x", "5", "5 zz", "5 0000000000000000wrong", "5 0000000000000000walk more"] {
        let after = [("rows".into(), Position(text.into()))].into();
        let error = source.open(&after).await.unwrap_err();
        assert_eq!(error.remedy(), millstream_core::Remedy::Stop, "{text}");
    }
    let after = [("rows".into(), Position("5 0000000000000000walk".into()))].into();
    source.open(&after).await.unwrap();
}

#[test]
fn options_that_make_no_sense_are_refused_with_a_fix() {
    for field in [
        r#"{"choice":[]}"#,
        r#"{"words":{"count":0}}"#,
        r#"{"sine":{"period":0}}"#,
        r#"{"sine":{"decimals":10}}"#,
        r#"{"random_walk":{"start":5,"max":1}}"#,
        r#"{"uniform":{"min":2}}"#,
        r#"{"integer":{"min":2,"max":1}}"#,
        r#"{"timestamp":{"start":"tomorrow"}}"#,
    ] {
        let error = generate(&format!(r#"{{"fields":{{"f":{field}}}}}"#)).err().unwrap();
        assert!(error.how_to_fix().is_some() && error.place() == Some("fields.f"), "{error}");
    }
    for rate in ["\"0/s\"", "-1", "\"5/fortnight\"", "1e12"] {
        let options = format!(r#"{{"rate":{rate},"fields":{{"f":"now"}}}}"#);
        serde_json::from_str::<Generate>(&options).unwrap_err();
    }
    for rate in ["1e30", "\"2000000000/s\"", "9000000000"] {
        let options = format!(r#"{{"rate":{rate},"fields":{{"f":"now"}}}}"#);
        let error = serde_json::from_str::<Generate>(&options).unwrap_err().to_string();
        assert!(error.contains("is too high a rate: 1000000000/s at most"), "{error}");
    }
    for fields in ["{}", r#"{"a":"now","a":"now"}"#] {
        serde_json::from_str::<Generate>(&format!(r#"{{"fields":{fields}}}"#)).unwrap_err();
    }
}

#[tokio::test]
async fn made_up_rows_keep_the_laws_of_sources() {
    use millstream_testkit::laws::source as laws;
    for (seed, block_rows) in [(1, "7"), (2, "100"), (3, "null")] {
        let options = EVERY_KIND.replace(":33,", &format!(":{block_rows},"));
        laws::all(|| generate(&options).unwrap(), laws::lines, seed).await;
        let paced = options.replace("\"seed\"", "\"rate\":\"5000/s\",\"seed\"");
        laws::all(|| generate(&paced).unwrap(), laws::lines, seed).await;
    }
    let none = || generate(r#"{"rows":0,"fields":{"f":"now"}}"#).unwrap();
    laws::all(none, laws::lines, 4).await;
}
