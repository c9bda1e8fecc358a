//! From the session's log to the original's frames. Pure.
//!
//! Ids are those of jobs and of events, so every socket gives a frame the same
//! id: growing text replaces itself, whoever shows it.

use std::collections::{HashMap, HashSet, VecDeque};

use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// Lines that a build's progress shows.
const LINES: usize = 20;

/// An event of the log.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Event {
    pub(super) seq: i64,
    pub(super) job_id: Option<Uuid>,
    pub(super) kind: String,
    pub(super) data: Value,
}

/// A job of a turn.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Known {
    pub(super) id: Uuid,
    pub(super) name: String,
    pub(super) turn: Uuid,
}

/// What is to be sent.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Frame {
    pub(super) id: Uuid,
    pub(super) kind: &'static str,
    pub(super) data: Value,
}

/// What an event asks of the socket.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Says {
    /// Frames.
    Frames(Vec<Frame>),
    /// The app is up: only the database knows where.
    Built,
}

/// The turns of a session, as far as they were told.
#[derive(Debug, Default)]
pub(super) struct Teller {
    jobs: HashMap<Uuid, (String, Uuid)>,
    turns: HashMap<Uuid, Told>,
}

#[derive(Debug, Default)]
struct Told {
    begun: bool,
    plan: String,
    files: HashSet<String>,
    lines: VecDeque<String>,
    over: bool,
}

impl Teller {
    /// Jobs to listen to.
    pub(super) fn learn(&mut self, jobs: Vec<Known>) {
        for job in jobs {
            self.turns.entry(job.turn).or_default();
            self.jobs.insert(job.id, (job.name, job.turn));
        }
    }

    pub(super) fn knows(&self, job: Uuid) -> bool {
        self.jobs.contains_key(&job)
    }

    /// The frames of an event.
    pub(super) fn tell(&mut self, event: &Event) -> Says {
        let mut frames = Vec::new();
        let known = event
            .job_id
            .and_then(|id| Some((id, self.jobs.get(&id)?.clone())));
        let Some((job, (name, turn))) = known else {
            return Says::Frames(frames);
        };
        let told = self.turns.entry(turn).or_default();
        let single = |kind, data| Frame {
            id: id_of(turn, event.seq, kind),
            kind,
            data,
        };
        match (name.as_str(), event.kind.as_str()) {
            ("plan", "job.started") if !told.begun => {
                told.begun = true;
                frames.push(single("update_in_progress", json!({})));
            }
            ("plan", "job.chunk") => {
                if event.data.get("reset").is_some() {
                    told.plan.clear();
                }
                if let Some(text) = event.data.get("text").and_then(Value::as_str) {
                    told.plan.push_str(text);
                    let data = json!({"text": told.plan});
                    frames.push(Frame {
                        id: job,
                        kind: "agent_partial",
                        data,
                    });
                }
            }
            ("plan", "job.completed") => {
                let data = json!({"text": told.plan});
                frames.push(Frame {
                    id: job,
                    kind: "agent_final",
                    data,
                });
            }
            ("generate", "job.chunk") => {
                let path = event.data.get("file").and_then(Value::as_str);
                if let Some(path) = path.filter(|path| told.files.insert((*path).to_owned())) {
                    let data = json!({"text": format!("Working on {path}")});
                    frames.push(Frame {
                        id: job,
                        kind: "update_file",
                        data,
                    });
                }
            }
            ("apply", "job.completed") => {
                frames.push(single("update_completed", json!({})));
                frames.push(single("build_started", json!({"message": "Build started"})));
            }
            ("install", "job.log") => {
                let lines = told.log(&event.data);
                let message = lines.last().cloned().unwrap_or_default();
                let data = json!({"type": "build_progress", "message": message, "logs": lines});
                frames.push(single("build_progress", data));
            }
            ("preview", "job.completed") => return Says::Built,
            (name, "job.failed" | "job.cancelled") if !told.over => {
                told.over = true;
                frames.push(failure(name, event, &single));
            }
            _ => {}
        }
        Says::Frames(frames)
    }

    /// The frames of a build that is over. `seq` is the event that said so.
    pub(super) fn built(session: Uuid, seq: i64, end: &Built) -> Vec<Frame> {
        let single = |kind, data| Frame {
            id: id_of(session, seq, kind),
            kind,
            data,
        };
        let Some(url) = &end.url else {
            let error = end.error.as_deref();
            let error = error.unwrap_or("The preview could not be started");
            let data = json!({"status": "error", "error": error});
            return vec![single("build_error", data)];
        };
        let completed = json!({
            "status": "success", "build_time": end.build_time, "message": "Build completed"
        });
        let ready = json!({
            "message": "Preview is ready", "url": url, "session_id": end.session_id
        });
        vec![
            single("build_completed", completed),
            single("preview_ready", ready),
        ]
    }
}

/// A build that is over.
#[derive(Clone, Debug, Default)]
pub(super) struct Built {
    pub(super) url: Option<String>,
    pub(super) error: Option<String>,
    pub(super) build_time: Option<f64>,
    /// The client's name for the session.
    pub(super) session_id: String,
}

impl Told {
    fn log(&mut self, data: &Value) -> Vec<String> {
        let said = data
            .get("message")
            .and_then(Value::as_str)
            .unwrap_or_default();
        self.lines.extend(said.lines().map(str::to_owned));
        while self.lines.len() > LINES {
            self.lines.pop_front();
        }
        self.lines.iter().cloned().collect()
    }
}

/// A turn that came to nothing: the build's own word where it was the build.
fn failure(name: &str, event: &Event, single: &impl Fn(&'static str, Value) -> Frame) -> Frame {
    let error = event
        .data
        .pointer("/error/message")
        .or_else(|| event.data.get("reason"));
    let error = error
        .and_then(Value::as_str)
        .unwrap_or(match event.kind.as_str() {
            "job.cancelled" => "The turn was stopped",
            _ => "The turn failed",
        });
    if matches!(name, "install" | "preview") {
        return single("build_error", json!({"status": "error", "error": error}));
    }
    single("error", json!({"error": error}))
}

/// An id that is the same wherever the frame is made.
fn id_of(of: Uuid, seq: i64, kind: &str) -> Uuid {
    let hash = Sha256::new()
        .chain_update(of.as_bytes())
        .chain_update(seq.to_be_bytes())
        .chain_update(kind.as_bytes())
        .finalize();
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    const TURN: Uuid = Uuid::from_u128(1);
    const NAMES: [&str; 6] = [
        "plan",
        "generate",
        "apply",
        "install",
        "preview",
        "checkpoint",
    ];

    fn job(name: &str) -> Uuid {
        let place = NAMES
            .iter()
            .position(|known| *known == name)
            .expect("it is one of them");
        Uuid::from_u128(10 + place as u128)
    }

    fn teller() -> Teller {
        let mut teller = Teller::default();
        let known = |name: &&str| Known {
            id: job(name),
            name: (*name).to_owned(),
            turn: TURN,
        };
        teller.learn(NAMES.iter().map(known).collect());
        teller
    }

    fn tell(teller: &mut Teller, name: &str, kind: &str, data: Value) -> Vec<Frame> {
        let event = Event {
            seq: 7,
            job_id: Some(job(name)),
            kind: kind.to_owned(),
            data,
        };
        match teller.tell(&event) {
            Says::Frames(frames) => frames,
            Says::Built => panic!("the app is not up"),
        }
    }

    #[test]
    fn a_turn_has_the_original_s_frames_in_its_order() {
        let mut teller = teller();
        let mut frames = Vec::new();
        for (name, kind, data) in [
            ("plan", "job.started", json!({})),
            ("plan", "job.chunk", json!({"reset": true})),
            ("plan", "job.chunk", json!({"text": "A "})),
            ("plan", "job.chunk", json!({"text": "plan"})),
            ("plan", "job.completed", json!({})),
            ("generate", "job.started", json!({})),
            (
                "generate",
                "job.chunk",
                json!({"file": "src/App.tsx", "at": 0, "text": "x"}),
            ),
            (
                "generate",
                "job.chunk",
                json!({"file": "src/App.tsx", "at": 1, "text": "y"}),
            ),
            (
                "generate",
                "job.chunk",
                json!({"file": "src/b.css", "at": 0, "text": "z"}),
            ),
            ("generate", "job.completed", json!({})),
            ("apply", "job.completed", json!({})),
            ("install", "job.log", json!({"message": "one\ntwo"})),
        ] {
            frames.extend(tell(&mut teller, name, kind, data));
        }
        let kinds: Vec<_> = frames.iter().map(|frame| frame.kind).collect();
        assert_eq!(
            kinds,
            [
                "update_in_progress",
                "agent_partial",
                "agent_partial",
                "agent_final",
                "update_file",
                "update_file",
                "update_completed",
                "build_started",
                "build_progress",
            ]
        );
        let ids = |kind: &str| -> HashSet<Uuid> {
            frames
                .iter()
                .filter(|frame| frame.kind.starts_with(kind))
                .map(|frame| frame.id)
                .collect()
        };
        assert_eq!(
            ids("agent").len(),
            1,
            "partials and the final text have one id"
        );
        assert_eq!(ids("update_file").len(), 1);
        assert_eq!(frames[3].data, json!({"text": "A plan"}));
        assert_eq!(frames[8].data["logs"], json!(["one", "two"]));
    }

    #[test]
    fn a_second_try_begins_its_text_anew() {
        let mut teller = teller();
        tell(&mut teller, "plan", "job.started", json!({}));
        tell(&mut teller, "plan", "job.chunk", json!({"text": "half"}));
        assert!(tell(&mut teller, "plan", "job.started", json!({})).is_empty());
        tell(&mut teller, "plan", "job.chunk", json!({"reset": true}));
        let frames = tell(&mut teller, "plan", "job.chunk", json!({"text": "whole"}));
        assert_eq!(frames[0].data, json!({"text": "whole"}));
    }

    #[test]
    fn a_failure_is_told_once_in_its_own_word() {
        let mut teller = teller();
        let data = json!({"error": {"message": "no such version"}});
        let frames = tell(&mut teller, "install", "job.failed", data);
        assert_eq!(frames[0].kind, "build_error");
        assert_eq!(frames[0].data["error"], "no such version");
        assert!(tell(&mut teller, "preview", "job.cancelled", json!({})).is_empty());
    }
}
