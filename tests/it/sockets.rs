//! Many streams on one web socket.

use serde_json::json;

use crate::live::{Said, Socket};
use crate::streams::{EXPOSED, nodes, path, piece, send, session};

#[test]
fn one_socket_watches_many_and_a_key_may_come_in_the_address() {
    let (nodes, _cluster) = nodes(1, EXPOSED);
    let server = &nodes[0].0;
    let ann = server.token("ann", &json!({}));
    let streams: Vec<_> = (0..3).map(|_| session(server, &ann)).collect();
    for stream in &streams {
        let line = format!("POST {}", path(stream));
        assert_eq!(send(server, &line, &ann, &piece(0, 5)).unwrap().status, 200);
    }
    // Browsers cannot give headers to a web socket.
    let address = format!("{}?apikey={ann}&after=4", path(&streams[0]));
    let mut socket = Socket::open(server.address(), &address, &[]).unwrap();
    let mut said = || match socket.next().unwrap() {
        Said::Json(said) => said,
        Said::Closed(code) => panic!("closed: {code}"),
    };
    assert_eq!(
        (said()["seq"].take(), said()["seq"].take()),
        (json!(5), json!(6))
    );
    for (wish, code) in [
        (json!({"watch": streams[0]}), "invalid"),
        (json!({"watch": streams[1], "after": 7}), "invalid"),
        (json!({"watch": streams[1], "after": -1}), "invalid"),
        (
            json!({"watch": streams[1], "unwatch": streams[1]}),
            "invalid",
        ),
        (json!(["watch"]), "invalid"),
        (json!({"watch": "x"}), "not_found"),
    ] {
        socket.say(&wish.to_string()).unwrap();
        let Said::Json(answer) = socket.next().unwrap() else {
            panic!("closed");
        };
        assert_eq!(answer["error"]["code"], code, "{wish} {answer}");
    }
    socket
        .say(&json!({"watch": streams[1], "after": 5}).to_string())
        .unwrap();
    let mut next = || match socket.next().unwrap() {
        Said::Json(said) => said,
        Said::Closed(code) => panic!("closed: {code}"),
    };
    assert_eq!(next(), json!({"watching": streams[1], "after": 5}));
    let event = next();
    assert_eq!(
        (&event["stream_id"], &event["seq"]),
        (&json!(streams[1]), &json!(6))
    );
    socket
        .say(&json!({"unwatch": streams[0]}).to_string())
        .unwrap();
    let Said::Json(ended) = socket.next().unwrap() else {
        panic!("closed");
    };
    assert_eq!(ended, json!({"ended": streams[0], "code": "unwatched"}));
    for stream in &streams {
        let line = format!("POST {}", path(stream));
        assert_eq!(send(server, &line, &ann, &piece(5, 1)).unwrap().status, 200);
    }
    let Said::Json(event) = socket.next().unwrap() else {
        panic!("closed");
    };
    assert_eq!(
        (&event["stream_id"], &event["seq"]),
        (&json!(streams[1]), &json!(7))
    );
}
