//! A wire between the tool and a name server that loses what a test wants lost. UDP alone: over TCP nobody is there.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What happens to updates; questions always pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Updates {
    Pass,
    /// They arrive, and their answers do not.
    LoseAnswers,
    /// The first one's answer is lost; what is sent again passes.
    LoseFirstAnswer,
    /// They do not arrive.
    Lose,
}

type Before = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Wire {
    updates: Option<Updates>,
    /// Done before the next update passes.
    before: Option<Before>,
    /// Updates that came, by number.
    seen: u32,
    lost: u32,
}

pub(crate) struct Proxy {
    pub(crate) port: u16,
    wire: Arc<Mutex<Wire>>,
}

fn is_update(message: &[u8]) -> bool {
    message.get(2).is_some_and(|byte| (byte >> 3) & 0xf == 5)
}

impl Proxy {
    pub(crate) fn new(server: u16) -> Self {
        let inner = UdpSocket::bind("127.0.0.1:0").expect("binds");
        let port = inner.local_addr().expect("an address").port();
        let wire = Arc::new(Mutex::new(Wire::default()));
        let (keeps, to) = (Arc::clone(&wire), SocketAddr::from(([127, 0, 0, 1], server)));
        std::thread::spawn(move || carry(&inner, to, &keeps));
        Self { port, wire }
    }

    pub(crate) fn updates(&self, updates: Updates) {
        let mut wire = self.wire.lock().expect("not poisoned");
        wire.updates = Some(updates);
        (wire.seen, wire.lost) = (0, 0);
    }

    pub(crate) fn before_next_update(&self, before: impl FnOnce() + Send + 'static) {
        self.wire.lock().expect("not poisoned").before = Some(Box::new(before));
    }

    /// How many updates came, and how many answers or updates were lost.
    pub(crate) fn counts(&self) -> (u32, u32) {
        let wire = self.wire.lock().expect("not poisoned");
        (wire.seen, wire.lost)
    }
}

fn carry(inner: &UdpSocket, server: SocketAddr, wire: &Mutex<Wire>) {
    let mut outer: HashMap<SocketAddr, UdpSocket> = HashMap::new();
    let mut buffer = [0; 65_536];
    loop {
        let Ok((length, client)) = inner.recv_from(&mut buffer) else { return };
        let message = &buffer[..length];
        let update = is_update(message);
        let mut lose_answer = false;
        if update {
            let mut wire = wire.lock().expect("not poisoned");
            wire.seen += 1;
            if let Some(before) = wire.before.take() {
                before();
            }
            let updates = wire.updates.unwrap_or(Updates::Pass);
            lose_answer =
                updates == Updates::LoseAnswers || (updates == Updates::LoseFirstAnswer && wire.seen == 1);
            if updates == Updates::Lose {
                wire.lost += 1;
                continue;
            }
        }
        let socket = outer.entry(client).or_insert_with(|| {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("binds");
            socket.connect(server).expect("connects");
            socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a limit");
            socket
        });
        if socket.send(message).is_err() {
            continue;
        }
        let mut answer = [0; 65_536];
        let Ok(length) = socket.recv(&mut answer) else { continue };
        if lose_answer {
            wire.lock().expect("not poisoned").lost += 1;
            continue;
        }
        let _ = inner.send_to(&answer[..length], client);
    }
}
