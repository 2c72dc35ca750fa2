//! Numbers and names in as few bytes as they need: seven bits a byte, the highest bit for "more follows".

/// Appends a number.
pub(crate) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends bytes behind their length.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a name as what it shares with the one before, and the rest; it is the one before then.
pub(crate) fn put_after(out: &mut Vec<u8>, before: &mut Vec<u8>, name: &[u8]) {
    let shared = before.iter().zip(name).take_while(|(a, b)| a == b).count();
    put(out, shared as u64);
    put_bytes(out, name.get(shared..).unwrap_or_default());
    before.clear();
    before.extend_from_slice(name);
}

/// Where bytes are taken from; everything is `None` where they make no sense.
pub(crate) struct Cursor<'a>(pub(crate) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub(crate) fn number(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.number()?).ok()?;
        self.take(len)
    }

    /// What [`put_after`] wrote, into `before`.
    pub(crate) fn after(&mut self, before: &mut Vec<u8>) -> Option<()> {
        let shared = usize::try_from(self.number()?).ok()?;
        if shared > before.len() {
            return None;
        }
        before.truncate(shared);
        before.extend_from_slice(self.bytes()?);
        Some(())
    }

    pub(crate) fn wide(&mut self) -> Option<u128> {
        Some(u128::from_le_bytes(self.take(16)?.try_into().ok()?))
    }
}
