//! Opening: what kind of server it is, whether the queue is there, whether something of it was lost.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use millstream_core::queue::LogId;
use millstream_core::role::Role;
use millstream_core::{Error, Remedy, Result};
use millstream_redis::Session;
use millstream_redis::redis::{Value, cmd, pipe};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::Redis;
use super::append::Waiting;
use super::call::{Answer, Call, is_missing};
use super::entry;
use super::keys::Keys;
use super::life::Look;
use super::options::RedisOpener;
use super::read::BLOCK;
use super::roles::{LEASE, Over, Taken, process_name};
use super::server::Found;
use super::state::{Bounds, Pause, Shared, State};
use super::sync::Syncing;

/// The layout of keys and entries.
const FORMAT: u32 = 2;

/// Opens the queue, making it if it is not there.
pub(crate) async fn open(opener: &RedisOpener) -> Result<Redis> {
    let folder = opener.data_folder();
    tokio::fs::create_dir_all(&folder).await.map_err(|e| {
        Error::stop("cannot make the folder for the socket")
            .at(folder.display().to_string())
            .because(e)
            .fix("check its permissions, or name another one in `queue.redis.folder`")
    })?;
    let deadline = tokio::time::Instant::now() + opener.options.timeout.0;
    let mut pause = Pause::default();
    loop {
        // A server that is just being started shall not keep a pipeline from starting beside it.
        match try_open(opener).await {
            Err(e) if e.remedy() == Remedy::Retry && tokio::time::Instant::now() < deadline => {
                opener.env.report.trouble("open", &e);
                pause.wait().await;
            }
            Err(e) => return Err(e),
            Ok(redis) => {
                if pause.tried() {
                    opener.env.report.fine("open");
                }
                return Ok(redis);
            }
        }
    }
}

async fn try_open(opener: &RedisOpener) -> Result<Redis> {
    let keys = Keys::new(&opener.options.prefix, &opener.env.pipeline);
    let session = || Session::new(opener.server.clone());
    let main = session();
    let at = |e: Error| match e.place() {
        Some(_) => e,
        None => e.at(opener.server.place()),
    };
    let found = Found::of(&main, &keys.meta).await?;
    found.check().map_err(at)?;
    for warning in found.warnings(opener.options.durability) {
        tracing::warn!(queue = keys.root(), server = opener.server.place(), "{warning}");
    }
    can_transact(&main, &keys).await.map_err(at)?;
    let process = process_name();
    let look = greet(opener, &main, &keys, &process, &found).await.map_err(at)?;
    let log = LogId(u128::from_str_radix(look.text("id"), 16).map_err(|_| {
        Error::stop(format!("`{}` in `{}` is no id of a queue", look.text("id"), keys.meta))
            .fix("something else wrote to this queue's keys: restore them from a backup")
    })?);
    let waits = found.waits(opener.options.durability);
    let short = LEASE.div_f64(2.0).min(opener.options.timeout.0);
    let shared = Arc::new(Shared {
        env: opener.env.clone(),
        keys,
        bounds: Bounds {
            bytes_max: opener.options.bytes_max.0,
            frames_max: opener.options.frames_max,
            side_bytes_max: opener.options.side_bytes_max.0,
        },
        place: opener.server.place(),
        process,
        log,
        seed: entry::seed(log),
        main,
        appends: session(),
        beats: Session::new(opener.server.clone().timeout(short)),
        sync: Syncing::new(waits.then(session), opener.options.timeout.0),
        state: Mutex::new(State {
            life: look.text("life").to_owned(),
            incarnation: look.incarnation(),
            first: look.number("first"),
            end: look.number("end"),
            bytes: look.bytes(),
            generation: look.number("generation"),
            frame_bytes: 64 << 10,
            ..State::default()
        }),
        sides: Mutex::default(),
        moved: Notify::new(),
        room: Notify::new(),
        waiting: Waiting::default(),
        followers: watch::channel(0).0,
        roles_changed: Notify::new(),
        looking: tokio::sync::Mutex::default(),
        acting: tokio::sync::Mutex::default(),
        looked: AtomicU64::new(0),
    });
    begin(&shared).await?;
    Ok(Redis { tasks: start(&shared, opener), shared })
}

/// A user who may add entries but not begin a transaction would add them, and have nothing count them in.
async fn can_transact(main: &Session, keys: &Keys) -> Result<()> {
    let mut nothing = pipe();
    // Not as a transaction of the library's: that panics in a debug build when `MULTI` is refused.
    nothing.cmd("MULTI").cmd("XLEN").arg(&keys.frames).cmd("EXEC");
    main.ask_all::<Value>("cannot begin a transaction", &nothing).await?;
    Ok(())
}

/// Makes the queue known to the server, and the server's state known to us.
async fn greet(
    opener: &RedisOpener,
    main: &Session,
    keys: &Keys,
    process: &str,
    found: &Found,
) -> Result<Look> {
    let names = [keys.meta.as_str(), &keys.appenders, &keys.frames];
    let life = format!("{:016x}", fastrand::u64(..));
    let log = LogId(fastrand::u128(..));
    let hello = || {
        let hello = Call::new("hello", &names).arg(process).arg(&life).arg(log.to_string());
        hello.arg(FORMAT).send::<Answer>(main)
    };
    let mut answer = hello().await?;
    if answer.word == "FORMAT" && answer.text(0) == "1" {
        upgrade(main, keys, answer.text(1), &life).await?;
        answer = hello().await?;
    }
    match answer.word.as_str() {
        "LEFT" => {
            return Err(Error::stop(format!(
                "`{}` is gone, and `{}` is still there: half of a queue",
                keys.meta, keys.frames
            ))
            .fix("put a backup of the server back, or delete the other keys of this queue to begin a new one"));
        }
        "FORMAT" => {
            return Err(Error::stop(format!(
                "the queue has format {}, this version knows format {FORMAT}",
                answer.text(0)
            ))
            .fix("run the version that wrote it, or a newer one"));
        }
        _ => {}
    }
    let look = look(main, keys, process).await?;
    let waited = look.text("relaxed") != "1";
    if !found.answers_from_disk(opener.options.durability) {
        // From now on the server may have answered for what is not on its disk.
        relax(main, keys, &look).await?;
    }
    if look.alive {
        return Ok(look);
    }
    let lost = !found.is_safe(waited);
    let fresh = format!("{:016x}", fastrand::u64(..));
    let names = [keys.meta.as_str(), &keys.frames, &keys.appends];
    let revive = Call::new("revive", &names).arg(look.text("life")).arg(fresh);
    revive.arg(if lost { look.text("life") } else { "" }).send::<Answer>(main).await?;
    let now = self::look(main, keys, process).await?;
    if now.incarnation() > look.incarnation() {
        let what = format!(
            "the server was restarted or replaced since, and may have lost what came last: incarnation {} of the \
             queue begins at offset {}",
            now.incarnation(),
            now.text("end")
        );
        tracing::warn!(queue = keys.root(), server = opener.server.place(), "{what}");
        let trouble = Error::retry(what).at(opener.server.place()).fix(
            "what sinks hold is compared with it; to be sure, let the server keep what it takes \
             (docs/redis-queue.md)",
        );
        opener.env.report.trouble("incarnation", &trouble);
        opener.env.report.fine("incarnation");
    }
    Ok(now)
}

/// Makes a queue of format 1 one of this format, unless processes of that version still work with it.
async fn upgrade(main: &Session, keys: &Keys, life: &str, fresh: &str) -> Result<()> {
    // Whether the server was restarted since is known to the functions of that version only, if they are there.
    let (number, mut link) = main.link().await?;
    let mut look = cmd("FCALL");
    look.arg("millstream_1_look").arg(2).arg(&keys.meta).arg(&keys.appenders).arg("");
    let alive = match look.query_async::<Answer>(&mut link).await {
        Ok(answer) => answer.word == "ALIVE",
        Err(e) if is_missing(&e) => false,
        Err(e) => return Err(main.failed("cannot open the queue", number, e).await),
    };
    let names = [keys.meta.as_str(), &keys.frames, &keys.members, &keys.bell];
    let upgrade = Call::new("upgrade", &names).arg(life).arg(if alive { fresh } else { "" });
    let answer: Answer = upgrade.arg(LEASE.as_millis().to_string()).send(main).await?;
    if answer.word == "OLDER" {
        let what = format!(
            "{} works with this queue, which is a process of an older version",
            answer.text(0)
        );
        return Err(Error::retry(what)
            .fix("stop all processes of the older version first: what they took stays, and is gone on from"));
    }
    tracing::info!(queue = keys.root(), "a queue of format 1 was made one of format {FORMAT}");
    Ok(())
}

async fn look(main: &Session, keys: &Keys, process: &str) -> Result<Look> {
    let call = Call::new("look", &[&keys.meta, &keys.appenders]).arg(process);
    let look = Look::of(call.send(main).await?);
    look.ok_or_else(|| Error::retry("the queue was deleted while it was opened"))
}

async fn relax(main: &Session, keys: &Keys, look: &Look) -> Result<()> {
    if look.text("relaxed") == "1" {
        return Ok(());
    }
    Call::new("relax", &[&keys.meta]).send::<Answer>(main).await?;
    Ok(())
}

/// Becomes the processor, until somebody asks for that, if nobody has asked for it: then what was not committed
/// goes now. Otherwise side streams are shown as the last checkpoint has them.
async fn begin(shared: &Arc<Shared>) -> Result<()> {
    match shared.ask_role(&Role::Process.to_string(), false, Over::Unleased).await? {
        Taken::Token(token) => shared.take_over(&token).await,
        Taken::By(_) => {
            let last = shared.checkpoints().await?.pop().unwrap_or_default();
            let there: BTreeMap<String, String> = shared
                .ask(&shared.main, |commands| {
                    commands.cmd("HGETALL").arg(&shared.keys.sides);
                })
                .await?;
            for (name, extent) in last.sides {
                let mut record = there.get(&name).map_or("", String::as_str).split(' ').skip(2);
                let mut number = || record.next().and_then(|n| n.parse().ok()).unwrap_or(0);
                shared.side_named(&name).set(extent, number(), number());
            }
            Ok(())
        }
    }
}

fn start(shared: &Arc<Shared>, opener: &RedisOpener) -> Vec<JoinHandle<()>> {
    // The server answers after `BLOCK` at the latest.
    let patience = opener.options.timeout.0 + BLOCK + Duration::from_secs(1);
    let follows = Session::new(opener.server.clone().timeout(patience));
    vec![
        tokio::spawn(shared.clone().append_on()),
        tokio::spawn(shared.clone().beat_on()),
        tokio::spawn(shared.clone().follow_on(follows)),
    ]
}
