//! Where the lab watches durable writes, and kills the process before or after any of them.

use super::Seq;

/// Called on the writer's thread around every durable write. The product's is [`NoTap`].
pub trait Tap: Send + 'static {
    /// Nothing of this event has been written.
    fn before(&mut self, seq: Seq, payload: &[u8]);

    /// This event is durable; nobody has been told yet.
    fn after(&mut self, seq: Seq);
}

/// Watches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTap;

impl Tap for NoTap {
    fn before(&mut self, _seq: Seq, _payload: &[u8]) {}

    fn after(&mut self, _seq: Seq) {}
}
