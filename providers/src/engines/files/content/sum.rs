//! The hash of a content, in which zeros cost nothing where a hole has them: blocks of zeros are left out of what is
//! hashed, and where they lie is hashed apart. So a hole and written zeros are the same, and a content without such a
//! block has the plain XXH3-128 of its bytes, as in ledgers of layout 1.

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

/// Blocks of this size, aligned, are left out when they are zero as a whole.
pub(crate) const BLOCK: u64 = 256 * 1024;
/// Zeros to feed from, and how far a look for something else goes at once.
static ZEROS: [u8; 4096] = [0; 4096];

/// A hash being made; the content comes in order.
pub(crate) struct Sum {
    data: Xxh3,
    /// Of each run of blocks that were left out: where it begins, and how long it is.
    runs: Xxh3,
    run: Option<(u64, u64)>,
    any: bool,
    at: u64,
    /// Zeros of this block that were not fed: nothing else came in it.
    zeros: u64,
    /// Nothing is left out.
    plain: bool,
}

impl Sum {
    /// With `plain`, every byte is hashed.
    pub(crate) fn new(plain: bool) -> Self {
        Self { data: Xxh3::new(), runs: Xxh3::new(), run: None, any: false, at: 0, zeros: 0, plain }
    }

    /// Takes bytes.
    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        if self.plain {
            return self.data.update(bytes);
        }
        while !bytes.is_empty() {
            let room = BLOCK - self.at % BLOCK;
            let (part, rest) = bytes.split_at(bytes.len().min(room as usize));
            bytes = rest;
            if self.is_zero_so_far() && is_zero(part) {
                self.zeros += part.len() as u64;
            } else {
                self.feed_zeros();
                self.data.update(part);
            }
            self.go(part.len() as u64);
        }
    }

    /// Takes so many zeros; false as soon as `go_on` says so, which is asked now and then.
    pub(crate) fn zeros(&mut self, mut len: u64, go_on: impl Fn() -> bool) -> bool {
        while len > 0 {
            let into = self.at % BLOCK;
            let part = if !self.plain && into == 0 && len >= BLOCK {
                // Many blocks at once.
                let part = len - len % BLOCK;
                self.left_out(part);
                part
            } else {
                let part = len.min(BLOCK - into);
                if !self.plain && self.is_zero_so_far() {
                    self.zeros += part;
                } else {
                    self.feed(part);
                }
                self.go(part);
                part
            };
            len -= part;
            if !go_on() {
                return false;
            }
        }
        true
    }

    pub(crate) fn finish(mut self) -> u128 {
        self.feed_zeros();
        self.end_run();
        let data = self.data.digest128();
        if !self.any {
            return data;
        }
        let mut both = data.to_le_bytes().to_vec();
        both.extend_from_slice(&self.runs.digest128().to_le_bytes());
        xxh3_128(&both)
    }

    /// Whether this block holds nothing but zeros up to here.
    fn is_zero_so_far(&self) -> bool {
        self.zeros == self.at % BLOCK
    }

    /// Goes on by what was counted or fed of this block.
    fn go(&mut self, len: u64) {
        self.at += len;
        if self.plain || !self.at.is_multiple_of(BLOCK) {
            return;
        }
        if std::mem::take(&mut self.zeros) == BLOCK {
            self.at -= BLOCK;
            self.left_out(BLOCK);
        }
    }

    /// Whole blocks of zeros from here.
    fn left_out(&mut self, len: u64) {
        match &mut self.run {
            Some((start, long)) if *start + *long == self.at => *long += len,
            _ => {
                self.end_run();
                self.run = Some((self.at, len));
            }
        }
        self.at += len;
    }

    fn end_run(&mut self) {
        if let Some((start, len)) = self.run.take() {
            self.any = true;
            self.runs.update(&start.to_le_bytes());
            self.runs.update(&len.to_le_bytes());
        }
    }

    fn feed_zeros(&mut self) {
        let zeros = std::mem::take(&mut self.zeros);
        self.feed(zeros);
    }

    fn feed(&mut self, mut len: u64) {
        while len > 0 {
            let part = len.min(ZEROS.len() as u64);
            self.data.update(ZEROS.get(..part as usize).unwrap_or_default());
            len -= part;
        }
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(ZEROS.len()).all(|chunk| ZEROS.get(..chunk.len()) == Some(chunk))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(content: &[u8], piece: usize) -> u128 {
        let mut sum = Sum::new(false);
        content.chunks(piece).for_each(|part| sum.update(part));
        sum.finish()
    }

    /// A content of (value, length) pieces, zeros given as a hole.
    fn holes(pieces: &[(u8, u64)]) -> u128 {
        let mut sum = Sum::new(false);
        for (value, len) in pieces {
            if *value == 0 {
                assert!(sum.zeros(*len, || true));
            } else {
                sum.update(&vec![*value; *len as usize]);
            }
        }
        sum.finish()
    }

    fn written(pieces: &[(u8, u64)]) -> Vec<u8> {
        pieces.iter().flat_map(|(value, len)| vec![*value; *len as usize]).collect()
    }

    #[test]
    fn a_hole_and_written_zeros_are_the_same_however_they_come() {
        let block = BLOCK;
        for pieces in [
            vec![(0, block)],
            vec![(0, 3 * block + 5)],
            vec![(1, 10), (0, 2 * block), (2, 10)],
            vec![(1, block), (0, block), (2, block), (0, 7 * block), (3, 1)],
            vec![(0, 10), (1, 1), (0, 2 * block - 11)],
            vec![(1, block - 1), (0, 1), (0, block), (0, block - 1), (9, 1)],
            vec![(0, block / 2), (1, block), (0, block)],
        ] {
            let content = written(&pieces);
            let whole = holes(&pieces);
            for piece in [content.len(), 4096, BLOCK as usize, 100_000] {
                assert_eq!(hash(&content, piece), whole, "{pieces:?} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn where_zeros_lie_and_how_many_there_are_counts() {
        let block = BLOCK;
        let mut all = vec![
            holes(&[(0, block)]),
            holes(&[(0, 2 * block)]),
            holes(&[(1, block), (0, block)]),
            holes(&[(0, block), (1, block)]),
            holes(&[(1, block), (0, block), (1, block)]),
            holes(&[(1, 2 * block), (0, block)]),
            holes(&[(1, block)]),
            holes(&[]),
        ];
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 8);
    }

    #[test]
    fn a_content_without_a_block_of_zeros_has_the_plain_hash() {
        for pieces in [vec![], vec![(1, 100)], vec![(0, BLOCK - 1)], vec![(1, BLOCK - 1), (0, BLOCK), (1, 1)]]
        {
            let content = written(&pieces);
            assert_eq!(hash(&content, 4096), xxh3_128(&content), "{pieces:?}");
        }
        let content = vec![0; 3 * BLOCK as usize];
        let mut plain = Sum::new(true);
        assert!(plain.zeros(BLOCK, || true));
        plain.update(&content[..2 * BLOCK as usize]);
        assert_eq!(plain.finish(), xxh3_128(&content));
    }
}
