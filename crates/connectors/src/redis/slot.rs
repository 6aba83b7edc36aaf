//! Where keys are in a cluster.

/// The slot of a key in a cluster: <https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/>.
pub(super) fn slot(key: &[u8]) -> u16 {
    let tag = || {
        let (_, after) = key.split_at_checked(key.iter().position(|b| *b == b'{')? + 1)?;
        let (tag, _) = after.split_at_checked(after.iter().position(|b| *b == b'}')?)?;
        (!tag.is_empty()).then_some(tag)
    };
    let crc = tag().unwrap_or(key).iter().fold(0u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    });
    crc % 16_384
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_redis() {
        // From the specification, and from `CLUSTER KEYSLOT`.
        assert_eq!(slot(b"123456789"), 0x31c3);
        assert_eq!(slot(b"foo"), 12_182);
        assert_eq!(slot(b"{user1000}.following"), slot(b"user1000"));
        assert_eq!(slot(b"foo{}{bar}"), slot(b"foo{}{bar}"));
        assert_ne!(slot(b"foo{}{bar}"), slot(b"bar"));
        assert_eq!(slot(b"foo{{bar}}zap"), slot(b"{bar"));
    }
}
