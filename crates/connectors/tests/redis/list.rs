//! What comes off a list, and what is left there.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use fastrand::Rng;
use millstream_core::Remedy;
use millstream_core::source::{Pulled, Source, SplitPositions};
use millstream_testkit::laws::source::pull_with_drops;
use millstream_testkit::redis::{RedisServer, has_redis};
use serde_json::json;

use super::*;

const PROCESSING: &str = "{data_queue}:millstream:test.input";

fn read() -> Value {
    json!({ "list": { "key": "data_queue" } })
}

#[tokio::test]
async fn elements_come_in_order_and_stay_until_they_are_settled() {
    if !has_redis("elements_come_in_order_and_stay_until_they_are_settled") {
        return;
    }
    let server = RedisServer::forgetful();
    for (how, end) in [("LPUSH", "right"), ("RPUSH", "left")] {
        let read = json!({ "list": { "key": end, "end": end } });
        let processing = format!("{{{end}}}:millstream:test.input");
        let all = numbered("", 0..9_000);
        push(&server, how, end, &all);
        let (mut source, mut queue) = (source(&server, read), Queue::default());
        source.open(&queue.positions).await.unwrap();
        while queue.rows.len() < all.len() {
            queue.append(&pull(source.as_mut()).await);
        }
        assert_eq!(queue.rows, all);
        assert_eq!(ask::<usize>(&server, &["LLEN", end]), 0);
        assert_eq!(ask::<usize>(&server, &["LLEN", &processing]), all.len());
        source.settle(&queue.positions).await.unwrap();
        assert_eq!(ask::<usize>(&server, &["EXISTS", &processing, end]), 0);
        // One that comes while it waits.
        let waiting = tokio::spawn(async move { (pull(source.as_mut()).await, source) });
        tokio::time::sleep(Duration::from_millis(100)).await;
        push(&server, how, end, &["late".into()]);
        let (pulled, mut source) = waiting.await.unwrap();
        assert_eq!(texts(&pulled), ["late"]);
        queue.append(&pulled);
        source.settle(&queue.positions).await.unwrap();
        assert_eq!(ask::<usize>(&server, &["LLEN", &processing]), 0);
    }
}

#[tokio::test]
async fn large_elements_come_in_small_answers() {
    if !has_redis("large_elements_come_in_small_answers") {
        return;
    }
    let server = RedisServer::forgetful();
    let all: Vec<String> = (0..40).map(|i| format!("{i:02}").repeat(100_000)).collect();
    push(&server, "LPUSH", "data_queue", &numbered("", 0..3_000));
    push(&server, "LPUSH", "data_queue", &all);
    let (mut source, mut queue) = (source(&server, read()), Queue::default());
    source.open(&queue.positions).await.unwrap();
    let mut most = 0;
    while queue.rows.len() < 3_040 {
        let pulled = pull(source.as_mut()).await;
        most = most.max(pulled.records.iter().map(|r| r.value.len()).sum());
        queue.append(&pulled);
        source.settle(&queue.positions).await.unwrap();
    }
    assert_eq!(queue.rows[3_000..], all);
    assert!(most <= 300_000, "a block of {most} bytes");
}

#[tokio::test]
async fn bytes_of_any_kind_come_as_they_are() {
    if !has_redis("bytes_of_any_kind_come_as_they_are") {
        return;
    }
    let server = RedisServer::forgetful();
    let odd: &[u8] = &[0, 255, b'\r', b'\n', 0xc3, 0x28];
    cmd("LPUSH").arg("data_queue").arg(odd).arg("").exec(&mut client(&server)).unwrap();
    let mut source = source(&server, read());
    source.open(&SplitPositions::new()).await.unwrap();
    let pulled = pull(source.as_mut()).await;
    let values: Vec<&[u8]> = pulled.records.iter().map(|r| &*r.value).collect();
    assert_eq!(values, [odd, b""]);
}

/// Where a process ends as `kill -9` would end it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kill {
    Opened,
    Asked,
    Pulled,
    Appended,
    Settled,
}

#[tokio::test]
async fn killed_at_every_step_it_brings_each_element_once() {
    if !has_redis("killed_at_every_step_it_brings_each_element_once") {
        return;
    }
    let server = RedisServer::forgetful();
    let kills = [Kill::Opened, Kill::Asked, Kill::Pulled, Kill::Appended, Kill::Settled];
    let all = numbered(&"x".repeat(150), 0..25 * 3 * 2_000);
    let mut queue = Queue::default();
    let mut given = all.chunks(2_000);
    for first in kills {
        for second in kills {
            for kill in [first, second, Kill::Settled] {
                push(&server, "LPUSH", "data_queue", given.next().unwrap());
                let mut source = source(&server, read());
                // Before the first append there is no position to know the predecessor by: it is waited for.
                if queue.positions.is_empty() {
                    server.ask(&["DEL", &format!("{PROCESSING}:at")]);
                }
                source.open(&queue.positions).await.unwrap();
                one_life(source.as_mut(), &mut queue, kill).await;
                // No good end: nothing is given back.
                std::mem::forget(source);
            }
        }
    }
    let mut source = source(&server, read());
    source.open(&queue.positions).await.unwrap();
    queue.fill(source.as_mut(), all.len()).await;
    assert_eq!(queue.rows, all);
    assert_eq!(ask::<usize>(&server, &["LLEN", PROCESSING]), 0);
}

async fn one_life(source: &mut dyn Source, queue: &mut Queue, kill: Kill) {
    let mut pulled: Vec<Pulled> = Vec::new();
    if kill >= Kill::Asked {
        // The script is under way, or has run and its answer is still to be taken.
        let asked = tokio::time::timeout(Duration::from_millis(1), source.pull()).await;
        pulled.extend(asked.into_iter().flat_map(Result::unwrap));
    }
    if kill >= Kill::Pulled {
        while pulled.len() < 3 {
            pulled.push(pull(source).await);
        }
        if kill >= Kill::Appended {
            // All but the last, which is lost with the process.
            pulled[..2].iter().for_each(|pulled| queue.append(pulled));
        }
        if kill >= Kill::Settled {
            source.settle(&queue.positions).await.unwrap();
        }
    }
}

/// As a script does it: one `LPUSH` after the other on a bare socket, in batches without waiting.
fn produce(port: u16, name: char, count: usize) {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut answers = socket.try_clone().unwrap();
    let reader = std::thread::spawn(move || std::io::copy(&mut answers, &mut std::io::sink()));
    let mut random = Rng::with_seed(u64::from(name));
    let mut at = 0;
    while at < count {
        let upto = count.min(at + random.usize(1..120));
        let mut text = String::new();
        for i in at..upto {
            text.push_str(&format!(
                "*3\r\n$5\r\nLPUSH\r\n$10\r\ndata_queue\r\n$207\r\n{name}{i:06}{:200}\r\n",
                ""
            ));
        }
        socket.write_all(text.as_bytes()).unwrap();
        at = upto;
        std::thread::sleep(Duration::from_millis(random.u64(0..12)));
    }
    socket.shutdown(std::net::Shutdown::Write).unwrap();
    reader.join().unwrap().unwrap();
}

/// Pulls, appends, settles, and dies at random.
async fn live_at_random(
    server: &RedisServer,
    read: Value,
    total: impl Fn() -> usize,
    random: &mut Rng,
) -> Queue {
    let mut queue = Queue::default();
    while total() > queue.rows.len() {
        let mut source = source(server, read.clone());
        open_patiently(source.as_mut(), &queue.positions).await;
        let mut ahead: Vec<Pulled> = Vec::new();
        let acts = random.usize(1..12);
        for _ in 0..acts {
            match random.u8(0..10) {
                0..=5 => {
                    let wait = Duration::from_millis(20);
                    let pulled =
                        tokio::time::timeout(wait, pull_with_drops(source.as_mut(), random));
                    ahead.extend(pulled.await.ok().flatten());
                }
                6..=7 => ahead.drain(..).for_each(|pulled| queue.append(&pulled)),
                8 => source.settle(&queue.positions).await.unwrap(),
                _ => {
                    if let Some(pulled) = (!ahead.is_empty()).then(|| ahead.remove(0)) {
                        queue.append(&pulled);
                    }
                }
            }
        }
        // One that is forgotten goes on holding its list: only a successor with a position need not wait for it.
        if random.bool() && !queue.positions.is_empty() {
            std::mem::forget(source);
        }
    }
    queue
}

async fn open_patiently(source: &mut dyn Source, after: &SplitPositions) {
    for _ in 0..1_500 {
        match source.open(after).await {
            Ok(()) => return,
            Err(e) => assert_eq!(e.remedy(), Remedy::Retry, "{e}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it was not given free");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_producers_and_a_source_that_dies_at_random_lose_and_repeat_nothing() {
    if !has_redis("three_producers_and_a_source_that_dies_at_random_lose_and_repeat_nothing") {
        return;
    }
    for seed in 1..4 {
        let server = RedisServer::forgetful();
        let port = server.port();
        let producers: Vec<_> = "abc"
            .chars()
            .map(|name| std::thread::spawn(move || produce(port, name, 10_000)))
            .collect();
        let mut random = Rng::with_seed(seed);
        let queue = live_at_random(&server, read(), || 30_000, &mut random).await;
        producers.into_iter().for_each(|p| p.join().unwrap());
        for name in "abc".chars() {
            let of: Vec<String> = queue
                .rows
                .iter()
                .map(|r| r.trim_end().to_owned())
                .filter(|r| r.starts_with(name))
                .collect();
            assert_eq!(of, numbered(&name.to_string(), 0..10_000), "seed {seed}");
        }
        assert_eq!(queue.rows.len(), 30_000, "seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_with_names_of_their_own_share_a_list() {
    if !has_redis("processes_with_names_of_their_own_share_a_list") {
        return;
    }
    let server = RedisServer::forgetful();
    let prefix = "x".repeat(300);
    push(&server, "LPUSH", "data_queue", &numbered(&prefix, 0..20_000));
    let mut queues = vec![Queue::default(), Queue::default()];
    let mut random = Rng::with_seed(7);
    while queues.iter().map(|q| q.rows.len()).sum::<usize>() < 20_000 {
        for (queue, name) in queues.iter_mut().zip(["one", "two"]) {
            let read = json!({ "list": { "key": "data_queue", "consumer": name } });
            let mut source = source(&server, read);
            open_patiently(source.as_mut(), &queue.positions).await;
            for _ in 0..random.usize(1..6) {
                let wait = Duration::from_millis(200);
                if let Ok(pulled) = tokio::time::timeout(wait, source.pull()).await {
                    queue.append(&pulled.unwrap().unwrap());
                }
            }
        }
    }
    assert!(queues.iter().all(|q| q.rows.len() > 1_000), "both have a share");
    let mut all: Vec<String> = queues.into_iter().flat_map(|q| q.rows).collect();
    all.sort();
    assert_eq!(all, numbered(&prefix, 0..20_000));
}

#[tokio::test]
async fn a_name_is_held_by_one_process_until_it_is_gone() {
    if !has_redis("a_name_is_held_by_one_process_until_it_is_gone") {
        return;
    }
    let server = RedisServer::forgetful();
    push(&server, "LPUSH", "data_queue", &numbered("", 0..10));
    let (mut first, mut queue) = (source(&server, read()), Queue::default());
    first.open(&queue.positions).await.unwrap();
    queue.append(&pull(first.as_mut()).await);
    // Another queue's process of the same name.
    let mut other = source(&server, read());
    let held = other.open(&SplitPositions::new()).await.unwrap_err();
    assert_eq!(held.remedy(), Remedy::Retry, "{held}");
    assert!(held.to_string().contains("another process holds"), "{held}");
    assert!(held.how_to_fix().unwrap().contains("consumer"), "{held}");
    // The same queue's process need not wait: its position shows who it is.
    let mut successor = source(&server, read());
    successor.open(&queue.positions).await.unwrap();
    assert_eq!(ask::<usize>(&server, &["LLEN", PROCESSING]), 0, "what is appended is gone");
    // In good order it gives it free, and what is left goes to the other.
    push(&server, "LPUSH", "data_queue", &numbered("x", 0..3));
    assert_eq!(texts(&pull(successor.as_mut()).await), numbered("x", 0..3));
    drop((first, successor));
    open_patiently(other.as_mut(), &SplitPositions::new()).await;
    assert_eq!(texts(&pull(other.as_mut()).await), numbered("x", 0..3));
    // And whoever comes back is told so.
    let (told, heard) = env();
    let mut back = source_in(&server, read(), &told);
    back.open(&queue.positions).await.unwrap_err();
    drop(other);
    open_patiently(back.as_mut(), &queue.positions).await;
    assert!(heard.has("another process of this name took over"), "{:?}", heard.0);
}

#[tokio::test]
async fn one_that_stalls_is_told_when_another_has_taken_over() {
    if !has_redis("one_that_stalls_is_told_when_another_has_taken_over") {
        return;
    }
    let server = RedisServer::forgetful();
    push(&server, "LPUSH", "data_queue", &numbered("", 0..10));
    let (mut first, mut queue) = (source(&server, read()), Queue::default());
    first.open(&queue.positions).await.unwrap();
    queue.append(&pull(first.as_mut()).await);
    server.ask(&["HSET", &format!("{PROCESSING}:at"), "until", "0"]);
    let mut other = source(&server, read());
    other.open(&SplitPositions::new()).await.unwrap();
    assert_eq!(first.settle(&queue.positions).await.unwrap_err().remedy(), Remedy::Reopen);
    push(&server, "LPUSH", "data_queue", &numbered("y", 0..1));
    let told = tokio::time::timeout(Duration::from_secs(5), async {
        loop {
            if let Err(e) = first.pull().await {
                return e;
            }
        }
    });
    let told = told.await.unwrap();
    assert_eq!(told.remedy(), Remedy::Reopen, "{told}");
    let mut of_other = Queue::default();
    of_other.fill(other.as_mut(), 11).await;
    assert_eq!(of_other.rows[10], "y000000");
}
