use super::*;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap as Headers, StatusCode, header};
use axum::response::{IntoResponse, Redirect};
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use millstream_core::plugin::{Act, Report};
use millstream_core::record::Position;
use millstream_testkit::laws::source::pull_with_drops;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};

#[derive(Default)]
struct Heard {
    troubles: Mutex<Vec<(String, String)>>,
    requests: AtomicUsize,
}

impl Report for Heard {
    fn trouble(&self, what: &str, error: &Error) {
        self.troubles.lock().unwrap().push((what.to_owned(), error.to_string()));
    }
    fn fine(&self, _: &str) {}
    fn took(&self, act: Act, _: Duration) {
        assert_eq!(act, Act::Request);
        self.requests.fetch_add(1, Ordering::SeqCst);
    }
}

impl Heard {
    fn of(&self, what: &str) -> Vec<String> {
        let all = self.troubles.lock().unwrap();
        all.iter().filter(|(w, _)| w == what).map(|(_, e)| e.clone()).collect()
    }

    async fn wait_for(&self, what: &str) -> String {
        let told = async {
            loop {
                if let Some(error) = self.of(what).pop() {
                    return error;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(Duration::from_secs(10), told).await.expect("a trouble should have been told")
    }
}

fn build(options: &str) -> (Result<Box<dyn Source>>, Arc<Heard>) {
    let heard = Arc::new(Heard::default());
    let mut env = Env::test("api", "/");
    env.report = heard.clone();
    (serde_json::from_str::<Http>(options).unwrap().build(&env), heard)
}

async fn open(options: &str) -> (Box<dyn Source>, Arc<Heard>) {
    let (source, heard) = build(options);
    let mut source = source.unwrap();
    source.open(&SplitPositions::new()).await.unwrap();
    (source, heard)
}

async fn next(source: &mut dyn Source) -> Pulled {
    let pull = timeout(Duration::from_secs(10), source.pull());
    pull.await.expect("an answer should come").unwrap().unwrap()
}

/// Serves until the test is over; says where, and counts connections.
async fn serve(router: Router) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = connections.clone();
    let listener = listener.tap_io(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, connections)
}

/// Answers each connection with the same bytes and closes it.
async fn serve_raw(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            drop(stream.read(&mut request).await);
            drop(stream.write_all(answer).await);
        }
    });
    address
}

fn counting() -> Router {
    let count = Arc::new(AtomicUsize::new(0));
    Router::new()
        .route("/n", get(move || async move { count.fetch_add(1, Ordering::SeqCst).to_string() }))
}

#[tokio::test]
async fn answers_come_in_order_over_one_connection_and_dropped_pulls_lose_none() {
    let (address, connections) = serve(counting()).await;
    let (mut source, heard) = open(&format!(r#"{{"url":"{address}/n","every":"2ms"}}"#)).await;
    let mut random = fastrand::Rng::with_seed(3);
    for n in 0..200 {
        let pulled = pull_with_drops(source.as_mut(), &mut random).await.unwrap();
        assert_eq!(pulled.records[0].value, n.to_string());
        assert_eq!(&*pulled.split, format!("{address}/n"));
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
    assert!(heard.requests.load(Ordering::SeqCst) >= 200);
    assert!(!source.finite() && source.replay() == Replay::Polled);
}

#[tokio::test]
async fn the_request_carries_method_body_headers_and_auth() {
    let echo = |headers: Headers, body: String| async move {
        let header = |name| headers.get(name).map_or("-", |v| v.to_str().unwrap()).to_owned();
        let (key, auth, agent) = (header("x-key"), header("authorization"), header("user-agent"));
        format!("<html>{key} {auth} {body} {agent}</html>")
    };
    let (address, _) = serve(Router::new().route("/", post(echo))).await;
    for (auth, wanted) in [
        (r#"{"bearer":"t0k"}"#, "Bearer t0k"),
        (
            r#"{"basic":{"user":"Aladdin","password":"open sesame"}}"#,
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
        ),
    ] {
        let options = format!(
            r#"{{"url":"{address}","every":"5ms","method":"POST","body":"ask","headers":{{"X-Key":"k"}},"auth":{auth}}}"#
        );
        let (mut source, _) = open(&options).await;
        let body = next(source.as_mut()).await.records.remove(0).value;
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(body, format!("<html>k {wanted} ask millstream/{version}</html>"));
    }
}

#[tokio::test]
async fn bad_urls_are_told_and_do_not_hold_up_the_good_one() {
    let slow = || async {
        tokio::time::sleep(Duration::from_secs(30)).await;
        "late"
    };
    let large = || async {
        let chunks = (0..1600).map(|_| Ok::<_, std::io::Error>(vec![b'x'; 65_536]));
        Body::from_stream(futures::stream::iter(chunks))
    };
    let router = counting()
        .route("/slow", get(slow))
        .route("/large", get(large))
        .route("/told_large", get(|| async { vec![b'x'; 2 << 20] }))
        .route("/broken", get(|| async { StatusCode::INTERNAL_SERVER_ERROR }))
        .route("/denied", get(|| async { StatusCode::UNAUTHORIZED }))
        .route("/circle", get(|| async { Redirect::temporary("/circle") }));
    let (address, _) = serve(router).await;
    let cut = serve_raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"half\":").await;
    let chunked =
        serve_raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
    let strange = serve_raw(b"what is this?\r\n\r\n").await;
    let bad = ["slow", "large", "told_large", "broken", "denied", "circle"];
    let mut urls: Vec<String> =
        bad.iter().map(|n| format!(r#"{{"url":"{address}/{n}","name":"{n}"}}"#)).collect();
    for (name, url) in [("cut", cut), ("chunked", chunked), ("strange", strange)] {
        urls.push(format!(r#"{{"url":"{url}","name":"{name}"}}"#));
    }
    urls.push(r#"{"url":"http://127.0.0.1:1/","name":"closed"}"#.into());
    urls.push(r#"{"url":"http://no-such-host.invalid/","name":"unknown"}"#.into());
    urls.push(format!(r#"{{"url":"{address}/n","name":"good"}}"#));
    let options = format!(
        r#"{{"urls":[{}],"every":"20ms","timeout":"1s","body_max":"1MiB"}}"#,
        urls.join(",")
    );
    let (mut source, heard) = open(&options).await;
    let begun = Instant::now();
    for n in 0..60 {
        let pulled = next(source.as_mut()).await;
        assert_eq!(
            (&*pulled.split, &pulled.records[0].value[..]),
            ("good", n.to_string().as_bytes())
        );
    }
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    for (name, words) in [
        ("slow", "no answer within 1s"),
        ("large", "larger than 1 MiB"),
        ("told_large", "larger than 1 MiB"),
        ("broken", "`500 Internal Server Error`"),
        ("denied", "check `auth`"),
        ("circle", "10 redirects"),
        ("cut", "broke off"),
        ("chunked", "broke off"),
        ("strange", "no answer"),
        ("closed", "refused"),
        ("unknown", "no answer"),
    ] {
        let error = heard.wait_for(name).await;
        assert!(error.contains(words) && error.contains(&format!(" at {name}")), "{error}");
    }
    // Back-off for the one, the usual pace for the other.
    assert!(heard.of("denied").len() > 3 * heard.of("broken").len());
}

#[tokio::test]
async fn what_a_server_asks_for_or_leads_to_is_told_in_the_right_words() {
    let later = |status: StatusCode, wait: &'static str| {
        get(move || async move { (status, [(header::RETRY_AFTER, wait)]) })
    };
    let drips = || async {
        let drops = futures::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            Some((Ok::<_, std::io::Error>(vec![b'x'; 1]), ()))
        });
        Body::from_stream(drops)
    };
    let router = Router::new()
        .route("/broken", get(|| async { StatusCode::INTERNAL_SERVER_ERROR }))
        .route("/drips", get(drips))
        .route("/file", get(|| async { Redirect::temporary("file:///etc/passwd") }))
        .route("/nowhere", get(|| async { StatusCode::FOUND }))
        .route("/circle", get(|| async { Redirect::temporary("/circle") }))
        .route("/later", later(StatusCode::TOO_MANY_REQUESTS, "86400"))
        .route("/never", later(StatusCode::SERVICE_UNAVAILABLE, "99999999999999999999"));
    let (address, _) = serve(router).await;
    let words = [
        ("broken", "`500 Internal Server Error`"),
        ("drips", "the answer was not whole within 1s"),
        ("file", "leads to a URL of scheme `file`, which is not polled"),
        ("nowhere", "leads nowhere"),
        ("circle", "leads in circles"),
        ("later", "to be asked again in 1d, which is cut: the next try is in 1h"),
        ("never", "to be asked again in more than a year, which is cut: the next try is in 1h"),
    ];
    let urls = words.map(|(n, _)| format!(r#"{{"url":"{address}/{n}","name":"{n}"}}"#));
    let options = format!(r#"{{"urls":[{}],"every":"20ms","timeout":"1s"}}"#, urls.join(","));
    let (_source, heard) = open(&options).await;
    for (name, words) in words {
        let error = heard.wait_for(name).await;
        assert!(error.contains(words), "{name}: {error}");
    }
    // At the usual pace, since asking later would change nothing.
    for name in ["file", "nowhere", "circle"] {
        assert!(heard.of(name).len() > 3 * heard.of("broken").len(), "{name}");
    }
    for name in ["later", "never"] {
        assert_eq!(heard.of(name).len(), 1, "{name}");
    }
}

#[tokio::test]
async fn a_server_that_comes_back_is_polled_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = listener.local_addr().unwrap();
    drop(listener);
    let (mut source, heard) =
        open(&format!(r#"{{"url":"http://{place}/n","every":"10ms"}}"#)).await;
    heard.wait_for(&format!("http://{place}/n")).await;
    let listener = TcpListener::bind(place).await.unwrap();
    tokio::spawn(async move { axum::serve(listener, counting()).await });
    assert_eq!(next(source.as_mut()).await.records[0].value, "0");
}

#[tokio::test]
async fn retry_after_is_honoured() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let times = asked.clone();
    let router = Router::new().route(
        "/",
        get(move || async move {
            let mut times = times.lock().unwrap();
            times.push(Instant::now());
            if times.len() == 1 {
                return (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "1")])
                    .into_response();
            }
            "fine".into_response()
        }),
    );
    let (address, _) = serve(router).await;
    let (mut source, heard) = open(&format!(r#"{{"url":"{address}","every":"5ms"}}"#)).await;
    assert_eq!(next(source.as_mut()).await.records[0].value, "fine");
    let asked = asked.lock().unwrap().clone();
    assert!(asked[1].duration_since(asked[0]) >= Duration::from_secs(1));
    assert!(heard.wait_for(&format!("{address}/")).await.contains("raise `every`"));
}

/// Answers with its state and an `ETag`, or with 304; counts the latter.
fn tagged(state: Arc<Mutex<String>>, same: Arc<AtomicUsize>) -> Router {
    let answer = move |headers: Headers| async move {
        let state = state.lock().unwrap().clone();
        let tag = format!("\"{state}\"");
        if headers.get(header::IF_NONE_MATCH).is_some_and(|v| v.to_str().unwrap() == tag) {
            same.fetch_add(1, Ordering::SeqCst);
            return StatusCode::NOT_MODIFIED.into_response();
        }
        ([(header::ETAG, tag)], state).into_response()
    };
    Router::new().route("/", get(answer))
}

#[tokio::test]
async fn what_has_not_changed_comes_once_also_after_a_restart() {
    let (state, same) = (Arc::new(Mutex::new("a".to_owned())), Arc::new(AtomicUsize::new(0)));
    let (address, _) = serve(tagged(state.clone(), same.clone())).await;
    let options = format!(r#"{{"url":"{address}","every":"2ms"}}"#);
    let (mut source, _) = open(&options).await;
    let first = next(source.as_mut()).await;
    assert_eq!(first.records[0].value, "a");
    let after: SplitPositions = [(first.split, first.position.unwrap())].into();
    while same.load(Ordering::SeqCst) < 5 {
        assert!(timeout(Duration::from_millis(5), source.pull()).await.is_err());
    }
    drop(source);
    let mut source = build(&options).0.unwrap();
    source.open(&after).await.unwrap();
    same.store(0, Ordering::SeqCst);
    while same.load(Ordering::SeqCst) < 5 {
        assert!(timeout(Duration::from_millis(5), source.pull()).await.is_err());
    }
    "b".clone_into(&mut state.lock().unwrap());
    let second = next(source.as_mut()).await;
    assert_eq!(second.records[0].value, "b");
    assert_ne!(second.position, Some(Position::default()));
    let (mut source, _) = open(&options.replace('}', r#","conditional":false}"#)).await;
    next(source.as_mut()).await;
    assert_eq!(next(source.as_mut()).await.records[0].value, "b");
}

#[tokio::test]
async fn packed_answers_are_unpacked_within_the_bound() {
    let pack = |bytes: &[u8]| {
        use std::io::Write;
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(bytes).unwrap();
        packer.finish().unwrap()
    };
    let small = pack(b"packed");
    let bomb = pack(&vec![0; 8 << 20]);
    let torn = small[..small.len() - 6].to_vec();
    let gzip =
        |bytes: Vec<u8>| get(move || async move { ([(header::CONTENT_ENCODING, "gzip")], bytes) });
    let router = Router::new()
        .route("/small", gzip(small))
        .route("/bomb", gzip(bomb))
        .route("/torn", gzip(torn));
    let (address, _) = serve(router).await;
    let urls =
        ["bomb", "torn", "small"].map(|n| format!(r#"{{"url":"{address}/{n}","name":"{n}"}}"#));
    let options = format!(r#"{{"urls":[{}],"every":"5ms","body_max":"1MiB"}}"#, urls.join(","));
    let (mut source, heard) = open(&options).await;
    let pulled = next(source.as_mut()).await;
    assert_eq!((&*pulled.split, &pulled.records[0].value[..]), ("small", &b"packed"[..]));
    assert!(heard.wait_for("bomb").await.contains("larger than 1 MiB"));
    assert!(heard.wait_for("torn").await.contains("broke off"));
}

#[tokio::test]
async fn secrets_are_sent_to_their_host_only_and_never_told() {
    let (elsewhere, visits) = serve(counting()).await;
    let (here, _) = serve(Router::new().route(
        "/away",
        get(move |headers: Headers| async move {
            assert_eq!(headers["authorization"], "Basic bWU6aHVudGVyMg==");
            Redirect::temporary(&format!("{elsewhere}/n"))
        }),
    ))
    .await;
    let secret = here.replace("http://", "http://me:hunter2@");
    let options = format!(
        r#"{{"urls":["{secret}/away?token=hunter2","http://me:hunter2@127.0.0.1:1/?token=hunter2","http://127.0.0.1:1/?hunter2"],
            "every":"5ms","headers":{{"X-Key":"hunter2"}}}}"#
    );
    let parsed: Http = serde_json::from_str(&options).unwrap();
    assert!(!format!("{parsed:?}").contains("hunter2"), "{parsed:?}");
    let (source, heard) = open(&options).await;
    let away = format!("{here}/away?token=***");
    assert!(heard.wait_for(&away).await.contains("not sent on to another host"));
    heard.wait_for("http://127.0.0.1:1/?token=***").await;
    heard.wait_for("http://127.0.0.1:1/?***").await;
    let told = format!("{:?} {}", heard.troubles.lock().unwrap(), source.describe());
    assert!(!told.contains("hunter2"), "{told}");
    assert_eq!(visits.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_certificate_is_trusted_when_it_is_named_and_not_before() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_no_client_auth()
    .with_single_cert(vec![made.cert.der().clone()], key)
    .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = [0; 4096];
            drop(stream.read(&mut request).await);
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nsafe").await);
            drop(stream.shutdown().await);
        }
    });
    let (_source, heard) = open(&format!(r#"{{"url":"{url}","every":"5ms"}}"#)).await;
    let error = heard.wait_for(&url).await;
    assert!(error.contains("certificate"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let pem = folder.path().join("ca.pem");
    std::fs::write(&pem, made.cert.pem()).unwrap();
    for tls in [format!(r#"{{"ca":"{}"}}"#, pem.display()), r#"{"insecure":true}"#.into()] {
        let (mut source, heard) =
            open(&format!(r#"{{"url":"{url}","every":"5ms","tls":{tls}}}"#)).await;
        let pulled = timeout(Duration::from_secs(10), source.pull()).await;
        let pulled = pulled.unwrap_or_else(|_| panic!("{:?}", heard.troubles.lock().unwrap()));
        assert_eq!(pulled.unwrap().unwrap().records[0].value, "safe");
    }
    for ca in ["missing.pem", "dev/null"] {
        let (source, _) = build(&format!(r#"{{"url":"{url}","tls":{{"ca":"{ca}"}}}}"#));
        let error = source.unwrap().open(&SplitPositions::new()).await.unwrap_err();
        assert!(error.place().unwrap().contains(ca) && error.how_to_fix().is_some(), "{error}");
    }
}

#[tokio::test]
async fn sources_that_want_the_same_share_a_client() {
    let wanted =
        client::Wanted { ca: None, insecure: false, gzip: true, sealed: false, https: false };
    let first = client::shared(&wanted).await.unwrap();
    assert!(Arc::ptr_eq(&first, &client::shared(&wanted).await.unwrap()));
    let other = client::Wanted { gzip: false, ..wanted };
    assert!(!Arc::ptr_eq(&first, &client::shared(&other).await.unwrap()));
}

#[test]
fn options_that_make_no_sense_are_refused_with_a_fix() {
    for options in [
        r#"{}"#,
        r#"{"url":"http://a","urls":["http://b"]}"#,
        r#"{"url":"ftp://a"}"#,
        r#"{"url":"no url"}"#,
        r#"{"url":"http://a","every":"0s"}"#,
        r#"{"url":"http://a","requests_max":0}"#,
        r#"{"url":"http://a","timeout":"0s"}"#,
        r#"{"url":"http://a","body_max":"0B"}"#,
        r#"{"url":"http://a","body":"x"}"#,
        r#"{"url":"http://a","headers":{"a b":"c"}}"#,
        r#"{"url":"http://a","headers":{"a":"line\nbreak"}}"#,
        r#"{"url":"http://a","headers":{"authorization":"x"},"auth":{"bearer":"y"}}"#,
        r#"{"urls":[{"url":"http://a","name":"n"},{"url":"http://b","name":"n"}]}"#,
        r#"{"urls":[{"url":"http://a","name":""}]}"#,
    ] {
        let error = build(options).0.err().unwrap();
        assert!(error.how_to_fix().is_some(), "{options}: {error}");
    }
    serde_json::from_str::<Http>(r#"{"urls":[{"url":"http://a","nmae":"x"}]}"#).unwrap_err();
}
