//! In which shard a document lies: the server's own arithmetic, so that a document that was read by its key can be told
//! to be in the slice that it will be scanned with.
//!
//! MurmurHash3 (32 bits, x86, seed 0) over the UTF-16 code units of what a document is placed by, as in both products'
//! `OperationRouting`.

/// How an index places its documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Placing {
    /// Shards.
    pub(super) shards: u32,
    /// What the hash is taken modulo of, so that shards can be split later; a multiple of `shards`.
    pub(super) routing_shards: u32,
    /// Over how many shards one routing is spread.
    pub(super) partition: u32,
}

impl Placing {
    /// The shard of a document.
    pub(super) fn shard(&self, id: &str, routing: Option<&str>) -> u32 {
        let offset = if self.partition > 1 { modulo(murmur3(id), self.partition) } else { 0 };
        let hash = murmur3(routing.unwrap_or(id)).wrapping_add(offset.cast_signed());
        let factor = (self.routing_shards / self.shards.max(1)).max(1);
        modulo(hash, self.routing_shards.max(1)) / factor
    }
}

fn modulo(hash: i32, by: u32) -> u32 {
    // The result is below `by`, so it fits.
    i64::from(hash).rem_euclid(i64::from(by)) as u32
}

fn murmur3(text: &str) -> i32 {
    const C1: u32 = 0xcc9e_2d51;
    const C2: u32 = 0x1b87_3593;
    let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mix = |k: u32| k.wrapping_mul(C1).rotate_left(15).wrapping_mul(C2);
    let mut hash = 0_u32;
    let chunks = bytes.chunks_exact(4);
    let tail = chunks.remainder();
    for chunk in chunks {
        let k = chunk.iter().rev().fold(0_u32, |k, b| k << 8 | u32::from(*b));
        hash = (hash ^ mix(k)).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    if !tail.is_empty() {
        hash ^= mix(tail.iter().rev().fold(0_u32, |k, b| k << 8 | u32::from(*b)));
    }
    hash ^= bytes.len() as u32;
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    (hash ^ (hash >> 16)).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_server() {
        // Known answers of Murmur3HashFunctionTests (Elasticsearch, OpenSearch).
        let known: [(&str, u32); 6] = [
            ("hell", 0x5a0c_b7c3),
            ("hello", 0xd7c3_1989),
            ("hello w", 0x22ab_2984),
            ("hello wo", 0xdf0c_a123),
            ("hello wor", 0xe7744d61),
            ("The quick brown fox jumps over the lazy dog", 0xe07d_b09c),
        ];
        for (text, wanted) in known {
            assert_eq!(murmur3(text).cast_unsigned(), wanted, "{text}");
        }
    }

    #[test]
    fn a_routing_decides_and_a_partition_spreads_it() {
        let placing = Placing { shards: 5, routing_shards: 640, partition: 1 };
        assert_eq!(placing.shard("a", Some("x")), placing.shard("b", Some("x")));
        assert_eq!(placing.shard("x", None), placing.shard("b", Some("x")));
        let spread = Placing { partition: 3, ..placing };
        let mut shards: Vec<u32> = (0..50).map(|n| spread.shard(&format!("d{n}"), Some("x"))).collect();
        shards.sort_unstable();
        shards.dedup();
        assert!(shards.len() <= 2, "three places of 640 lie in one shard or two: {shards:?}");
        assert!((0..1000).all(|n| placing.shard(&n.to_string(), None) < 5));
    }
}
