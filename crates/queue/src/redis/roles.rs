//! Who does what: roles with tokens that only grow, leased by the server's clock.
//!
//! What a process does in a role carries its token, and is refused once another one has a newer token: a process
//! that was frozen for an hour does no harm when it wakes. The lease only says when another one may take over. So
//! a role counts as lost when the server says so, and not when the server cannot be asked: while it is down,
//! nobody else can have taken it. What died on the same machine is seen to be dead, and not waited for.

use std::sync::Arc;
use std::time::Duration;

use millstream_core::record::Name;
use millstream_core::role::{Holder, Role};
use millstream_core::{Error, Remedy, Result, Timestamp};

use super::call::{Answer, Call};
use super::state::{Claim, Shared};

/// How long a role stays with a process that is not heard of.
pub(crate) const LEASE: Duration = Duration::from_secs(6);
/// How often it is heard of.
const BEAT: Duration = Duration::from_secs(2);

fn lease() -> u64 {
    LEASE.as_secs() * 1000
}

/// A name for this process that no other has had: `<host>:<process id>:<place>-<random>`. Two with the same place
/// see each other's process ids.
pub(crate) fn process_name() -> String {
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy().replace([' ', ':'], "-");
    format!("{host}:{}:{:08x}-{:08x}", std::process::id(), place(), fastrand::u32(..))
}

/// This boot of this machine, and the namespace that process ids are of.
fn place() -> u32 {
    let boot = std::fs::read("/proc/sys/kernel/random/boot_id");
    let space = std::fs::read_link("/proc/self/ns/pid");
    match (boot, space) {
        (Ok(boot), Ok(space)) => {
            crc32c::crc32c_append(crc32c::crc32c(&boot), space.as_os_str().as_encoded_bytes())
        }
        // Like no other.
        _ => fastrand::u32(..),
    }
}

/// Whether a process of this name has ended, which can be told only where its process id would be seen.
fn has_died(name: &str) -> bool {
    let mut parts = name.rsplitn(3, ':');
    let (Some(last), Some(id)) = (parts.next(), parts.next()) else { return false };
    let here = last.split_once('-').is_some_and(|(at, _)| at == format!("{:08x}", place()));
    let known = std::path::Path::new("/proc/self").exists();
    here && known
        && id.parse::<u32>().is_ok_and(|id| !std::path::Path::new(&format!("/proc/{id}")).exists())
}

/// What came of asking for a role.
pub(crate) enum Taken {
    Token(String),
    /// This process has it.
    By(String),
}

/// Which holders are passed over.
#[derive(Clone)]
pub(crate) enum Over {
    /// Those whose lease has ended.
    Expired,
    /// Those that have none: they act without having asked for the role.
    Unleased,
    /// This one, which has died.
    Dead(String),
}

impl Shared {
    /// Asks for a role, with or without a lease.
    pub(crate) async fn ask_role(&self, role: &str, leased: bool, over: Over) -> Result<Taken> {
        let keys = [self.keys.meta.as_str(), self.keys.roles.as_str()];
        let over = &match over {
            Over::Expired => "expired".to_owned(),
            Over::Unleased => "unleased".to_owned(),
            Over::Dead(process) => format!("dead {process}"),
        };
        let lease = if leased { lease() } else { 0 };
        let answer = self
            .steady("roles", || async {
                let call = |life: &str| {
                    let call = Call::new("take", &keys).arg(life).arg(role).arg(&self.process);
                    call.arg(lease).arg(over)
                };
                Ok(self.call(&self.beats, call).await?)
            })
            .await?;
        let text = answer.text(0).to_owned();
        Ok(if answer.word == "HELD" { Taken::By(text) } else { Taken::Token(text) })
    }

    pub(crate) async fn take_role(&self, role: &Role) -> Result<bool> {
        let name = role.to_string();
        if *role != Role::Process && !std::mem::replace(&mut self.state.lock().collects, true) {
            // Others shall count it from now on.
            self.steady("roles", || self.beat()).await?;
        }
        let mut taken = self.ask_role(&name, true, Over::Expired).await?;
        if let Taken::By(process) = &taken
            && has_died(process)
        {
            // It will not renew its lease: no need to wait for the end of that.
            taken = self.ask_role(&name, true, Over::Dead(process.clone())).await?;
        }
        let Taken::Token(token) = taken else { return Ok(false) };
        if *role == Role::Process {
            self.take_over(&token).await?;
        }
        self.state.lock().roles.insert(name, token);
        Ok(true)
    }

    pub(crate) async fn role_lost(&self, role: &Role) {
        let name = role.to_string();
        loop {
            let changed = self.roles_changed.notified();
            let kept = {
                let state = self.state.lock();
                state.sound().is_ok() && state.roles.contains_key(&name)
            };
            if !kept {
                return;
            }
            changed.await;
        }
    }

    pub(crate) async fn give_up_role(&self, role: &Role) -> Result<()> {
        let name = role.to_string();
        let token = {
            let mut state = self.state.lock();
            if *role == Role::Process {
                state.claim = Claim::None;
            }
            state.roles.remove(&name)
        };
        self.roles_changed.notify_waiters();
        let Some(token) = token else { return Ok(()) };
        let keys = [self.keys.meta.as_str(), self.keys.roles.as_str()];
        let call = |life: &str| Call::new("give_up", &keys).arg(life).arg(&name).arg(&token);
        self.call(&self.beats, call).await?;
        Ok(())
    }

    /// Another process has the role: nothing more is done in it.
    pub(crate) fn lose(&self, role: &str, holder: &str) {
        {
            let mut state = self.state.lock();
            let had = state.roles.remove(role).is_some();
            if role == Role::Process.to_string() && matches!(state.claim, Claim::Held(_)) {
                state.claim = Claim::Lost(holder.to_owned());
            } else if !had {
                return;
            }
        }
        tracing::warn!(queue = self.keys.root(), role, holder, "another process took over");
        self.roles_changed.notify_waiters();
    }

    /// Why an append was refused.
    pub(crate) async fn refusal(&self, roles: &[(String, String)]) -> Error {
        let holders = self.holders().await.unwrap_or_default();
        for (role, token) in roles {
            let holder = holders.iter().find(|h| h.role.to_string() == *role);
            let by = holder.map_or("another process", |h| h.process.as_str());
            if by == self.process {
                continue;
            }
            if !token.is_empty() {
                self.lose(role, by);
            } else if holder.is_none() {
                continue;
            }
            if *role == Role::Process.to_string() {
                return taken_over(by);
            }
            return Error::reopen(format!("{by} has the role `{role}` now: nothing was appended"))
                .fix("that process goes on with it; this one stands by");
        }
        Error::reopen("another process had the role of this append for a moment")
    }

    pub(crate) async fn holders(&self) -> Result<Vec<Holder>> {
        let keys = [self.keys.roles.as_str()];
        let ask = || async { Ok(Call::new("who", &keys).send::<Answer>(&self.main).await?) };
        let answer = self.steady("roles", ask).await?;
        let mut holders = Vec::new();
        for holder in answer.rest.chunks_exact(3) {
            let [role, process, ends] = holder else { continue };
            let role = match role.strip_prefix("collect/") {
                Some(source) => Role::Collect(Name::from(source)),
                None => Role::Process,
            };
            let until = Timestamp(ends.parse::<i64>().unwrap_or(0).saturating_mul(1000));
            holders.push(Holder { role, process: process.clone(), until });
        }
        Ok(holders)
    }

    pub(crate) async fn collectors(&self) -> Result<usize> {
        self.state.lock().collects = true;
        let keys =
            [self.keys.meta.as_str(), self.keys.members.as_str(), self.keys.appenders.as_str()];
        let answer = self
            .steady("roles", || async {
                self.beat().await?;
                let call = |life: &str| Call::new("members", &keys).arg(life).arg(lease());
                Ok(self.call(&self.beats, call).await?)
            })
            .await?;
        Ok(usize::try_from(answer.number(0)).unwrap_or(1).max(1))
    }

    /// Says that this process lives, and renews its roles.
    async fn beat(&self) -> Result<()> {
        let (roles, collects) = {
            let state = self.state.lock();
            (state.roles.clone(), state.collects)
        };
        let keys = [self.keys.meta.as_str(), self.keys.roles.as_str(), self.keys.members.as_str()];
        let call = |life: &str| {
            let call = Call::new("beat", &keys).arg(life).arg(&self.process).arg(lease());
            let call = call.arg(if collects { "1" } else { "0" });
            roles.iter().fold(call, |call, (role, token)| call.arg(role).arg(token))
        };
        let answer = self.call(&self.beats, call).await?;
        for (i, (role, token)) in roles.iter().enumerate() {
            // It may have been given up, or taken anew, meanwhile.
            let same = self.state.lock().roles.get(role) == Some(token);
            if !answer.text(i).is_empty() && same {
                self.lose(role, answer.text(i));
            }
        }
        Ok(())
    }

    pub(crate) async fn beat_on(self: Arc<Self>) {
        let mut every = tokio::time::interval(BEAT);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut failed = false;
        loop {
            every.tick().await;
            match self.beat().await {
                Ok(()) if failed => {
                    self.env.report.fine("roles");
                    failed = false;
                }
                Ok(()) => {}
                Err(e) if e.remedy() == Remedy::Retry => {
                    failed = true;
                    self.env.report.trouble("roles", &e);
                }
                Err(_) => return,
            }
        }
    }

    /// Gives everything up that this process has.
    pub(crate) async fn leave(&self) -> Result<()> {
        let keys = [self.keys.meta.as_str(), self.keys.roles.as_str(), self.keys.members.as_str()];
        let call = |life: &str| Call::new("leave", &keys).arg(life).arg(&self.process);
        self.call(&self.beats, call).await?;
        let mut state = self.state.lock();
        state.roles.clear();
        state.claim = Claim::None;
        Ok(())
    }
}

/// The text for a process that may not process any more.
pub(crate) fn taken_over(by: &str) -> Error {
    Error::stop(format!("another process took over: {by} processes this pipeline now")).fix(
        "let that one go on; this one was frozen or cut off for too long, or both were started",
    )
}
