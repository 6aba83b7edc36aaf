//! The keys of one queue. All have the same hash tag, so that a cluster keeps them on one node.

/// Keys by what they hold; `docs/redis-queue.md` draws what is in each.
#[derive(Debug)]
pub(crate) struct Keys {
    /// `<prefix>:{<pipeline>}`
    root: String,
    /// Numbers about the whole queue.
    pub(crate) meta: String,
    /// The stream of frames.
    pub(crate) frames: String,
    /// Where each split stands.
    pub(crate) positions: String,
    /// Checkpoints by epoch.
    pub(crate) checkpoints: String,
    /// State of operators by number.
    pub(crate) chunks: String,
    /// How far each side stream reaches.
    pub(crate) sides: String,
    /// Who has which role.
    pub(crate) roles: String,
    /// When each process was last heard of.
    pub(crate) members: String,
    /// The last append of each process.
    pub(crate) appenders: String,
    /// All appends; who waits for frames waits for the next of them.
    pub(crate) appends: String,
    /// What those who waited for frames waited for in format 1.
    pub(crate) bell: String,
}

impl Keys {
    pub(crate) fn new(prefix: &str, pipeline: &str) -> Self {
        let root = format!("{prefix}:{{{pipeline}}}");
        let key = |name: &str| format!("{root}:{name}");
        Self {
            meta: key("meta"),
            frames: key("frames"),
            positions: key("positions"),
            checkpoints: key("checkpoints"),
            chunks: key("chunks"),
            sides: key("sides"),
            roles: key("roles"),
            members: key("members"),
            appenders: key("appenders"),
            appends: key("appends"),
            bell: key("bell"),
            root,
        }
    }

    /// What all of them begin with.
    pub(crate) fn root(&self) -> &str {
        &self.root
    }

    /// The stream of a side stream.
    pub(crate) fn side(&self, name: &str) -> String {
        format!("{}:side:{name}", self.root)
    }
}
