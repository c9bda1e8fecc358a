//! Pages of sandboxes: an origin of their own, what goes in and comes out of
//! it, sockets, and who may see a private one.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Stand;
use crate::support::{ANSWER_WAIT, Ferrobase, project};

/// Tells every request back as JSON, sets a cookie for everybody, and says
/// `upgraded` to who asks for that.
const PAGE: &str = r"
import http.server, json
class Page(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def log_message(self, *_): pass
    def do_GET(self):
        if self.headers.get('Upgrade'):
            self.send_response(101); self.send_header('Connection', 'Upgrade')
            self.send_header('Upgrade', self.headers['Upgrade']); self.end_headers()
            word = self.rfile.read(5); self.wfile.write(b'echo ' + word); self.wfile.flush()
            self.close_connection = True
            return
        body = json.dumps({'path': self.path, 'headers': {k.lower(): v for k, v in self.headers.items()}}).encode()
        self.send_response(200)
        self.send_header('Set-Cookie', 'theme=dark; Domain=localhost; Path=/')
        self.send_header('Set-Cookie', 'sb-access-token=evil; Path=/')
        self.send_header('Content-Length', str(len(body))); self.end_headers(); self.wfile.write(body)
http.server.ThreadingHTTPServer(('127.0.0.1', 8080), Page).serve_forever()
";

fn with_page(stand: &Stand, private: bool) -> String {
    let id = stand.make(&json!({"private": private}));
    let put = json!({"changes": [{"path": "page.py", "content": PAGE}]});
    assert_eq!(
        stand
            .ask("POST", &format!("/sandboxes/{id}/files"), &put)
            .status,
        200
    );
    stand.run(&id, "nohup python3 page.py >/dev/null 2>&1 &");
    let deadline = Instant::now() + ANSWER_WAIT;
    loop {
        let health = stand
            .ask("GET", &format!("/sandboxes/{id}/health"), &Value::Null)
            .json();
        if health["ports"]
            .as_array()
            .is_some_and(|ports| ports.contains(&json!(8080)))
        {
            return id;
        }
        assert!(Instant::now() < deadline, "{health}");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one page from all sides")]
fn a_page_has_an_origin_of_its_own() {
    let folder = project(&[]);
    let stand = Stand::new(Ferrobase::dev(folder.path()));
    let id = with_page(&stand, false);
    let host = format!("8080-{id}.localhost:54321");
    let cookies = "sb-access-token=mine; __fb_preview=mine; theme=light";
    let shown = stand.page(
        &host,
        "/a?b=c",
        &[("cookie", cookies), ("x-forwarded-for", "1.2.3.4")],
    );
    assert_eq!(shown.status, 200, "{}", shown.body);
    let seen = shown.json();
    assert_eq!(seen["path"], "/a?b=c");
    assert_eq!(seen["headers"]["host"], "localhost:8080");
    assert_eq!(seen["headers"]["cookie"], "theme=light");
    assert_eq!(seen["headers"]["x-forwarded-for"], Value::Null);
    assert!(
        shown.head.contains("set-cookie: theme=dark; path=/\r\n"),
        "{}",
        shown.head
    );
    assert!(
        !shown.head.contains("domain=") && !shown.head.contains("evil"),
        "{}",
        shown.head
    );
    // No API under a page's name, whatever the path; no page under the API's.
    let api = stand
        .page(&host, "/rest/v1/", &[("apikey", stand.server.anon_key())])
        .json();
    assert_eq!(api["path"], "/rest/v1/");
    assert_eq!(api["headers"]["apikey"], Value::Null);
    let nobody = stand.page("8080-sb0.localhost", "/rest/v1/", &[]);
    assert_eq!(
        (nobody.status, nobody.body.contains("no such sandbox")),
        (404, true)
    );
    let none = stand.page(&format!("9090-{id}.localhost"), "/", &[]);
    assert_eq!(none.status, 502, "{}", none.body);
    assert_eq!(stand.page("localhost", "/a?b=c", &[]).status, 404);
    // A socket becomes another protocol's.
    let mut socket = TcpStream::connect(stand.server.address()).unwrap();
    socket.set_read_timeout(Some(ANSWER_WAIT)).unwrap();
    let ask = format!(
        "GET /socket HTTP/1.1\r\nhost: {host}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n"
    );
    socket.write_all(ask.as_bytes()).unwrap();
    let mut said = Vec::new();
    let mut piece = [0; 1024];
    while !said.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = socket.read(&mut piece).unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&said));
        said.extend_from_slice(&piece[..read]);
    }
    assert!(
        said.starts_with(b"HTTP/1.1 101"),
        "{}",
        String::from_utf8_lossy(&said)
    );
    socket.write_all(b"hello").unwrap();
    socket.read_to_end(&mut said).unwrap();
    assert!(
        said.ends_with(b"echo hello"),
        "{}",
        String::from_utf8_lossy(&said)
    );
    // It ends with the sandbox.
    assert_eq!(
        stand
            .ask("DELETE", &format!("/sandboxes/{id}"), &Value::Null)
            .status,
        200
    );
    assert_eq!(stand.page(&host, "/", &[]).status, 404);
}

#[test]
fn a_private_page_wants_its_own_link() {
    let folder = project(&[]);
    let stand = Stand::new(Ferrobase::dev(folder.path()));
    let (id, other) = (with_page(&stand, true), with_page(&stand, true));
    let host = |id: &str| format!("8080-{id}.localhost");
    assert_eq!(stand.page(&host(&id), "/", &[]).status, 401);
    let link = |id: &str| {
        let asked = stand.ask(
            "GET",
            &format!("/sandboxes/{id}/preview?port=8080"),
            &Value::Null,
        );
        let url = asked.json()["url"].as_str().unwrap().to_owned();
        url.split_once('?').unwrap().1.to_owned()
    };
    let query = link(&id);
    assert_eq!(
        stand
            .page(&host(&id), &format!("/?{}", link(&other)), &[])
            .status,
        401
    );
    let let_in = stand.page(&host(&id), &format!("//deep?x=1&{query}"), &[]);
    assert_eq!(let_in.status, 302, "{}", let_in.body);
    assert!(
        let_in.head.contains("location: /deep?x=1\r\n"),
        "{}",
        let_in.head
    );
    for mark in ["httponly", "path=/", "samesite=none", "secure"] {
        assert!(let_in.head.contains(mark), "{}", let_in.head);
    }
    let cookie = query.as_str();
    let shown = stand.page(&host(&id), "/", &[("cookie", cookie)]);
    assert_eq!(shown.status, 200, "{}", shown.body);
    assert_eq!(shown.json()["headers"]["cookie"], Value::Null);
    assert_eq!(
        stand.page(&host(&other), "/", &[("cookie", cookie)]).status,
        401
    );
}
