//! A provider of paid work over real HTTP. It takes a token for a repetition,
//! as good providers do, and counts what it did.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What was bought: by name, the tokens that had an effect.
type Bought = Arc<Mutex<BTreeMap<String, Vec<String>>>>;

/// A running provider; it ends with the test.
pub(super) struct Provider {
    pub(super) address: String,
    bought: Bought,
}

impl Provider {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let bought = Bought::default();
        let seen = Arc::clone(&bought);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let seen = Arc::clone(&seen);
                thread::spawn(move || serve(stream, &seen));
            }
        });
        Self { address, bought }
    }

    /// Names with how often each had an effect.
    pub(super) fn effects(&self) -> BTreeMap<String, usize> {
        let bought = self.bought.lock().unwrap();
        bought
            .iter()
            .map(|(name, tokens)| (name.clone(), tokens.len()))
            .collect()
    }
}

/// `POST /<name>` with an `idempotency-key`: one effect for each key.
fn serve(stream: TcpStream, seen: &Bought) {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    let (mut token, mut length) = (String::new(), 0);
    reader.read_line(&mut first).unwrap_or_default();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or_default() <= 2 {
            break;
        }
        let line = line.trim().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("idempotency-key: ") {
            value.clone_into(&mut token);
        } else if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse().unwrap_or_default();
        }
    }
    let mut body = vec![0; length];
    if reader.read_exact(&mut body).is_err() {
        return;
    }
    let name = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut bought = seen.lock().unwrap();
    let tokens = bought.entry(name).or_default();
    if !tokens.contains(&token) {
        tokens.push(token);
    }
    drop(bought);
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
    let _ = reader.get_mut().write_all(answer.as_bytes());
}
