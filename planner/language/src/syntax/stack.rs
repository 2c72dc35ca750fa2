//! Room for recursion: the parser accepts 64 levels of nesting, and parsing, evaluating and dropping the deepest
//! tree takes up to 2 MB of stack in a debug build, which is all that some threads have.

/// Eight times what the deepest tree was measured to need.
const STACK_BYTES: usize = 16 << 20;

/// Runs work on a thread with a deep stack; here, if no thread can be had.
pub(crate) fn on_deep_stack<T: Send>(work: impl Fn() -> T + Send + Sync) -> T {
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().name("spec".to_owned()).stack_size(STACK_BYTES);
        match builder.spawn_scoped(scope, &work) {
            Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(_) => work(),
        }
    })
}
