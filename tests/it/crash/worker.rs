//! A worker over HTTP that can die anywhere: before a message, while it is on
//! its way, or after its answer. What it held and knew is gone then, and only
//! its late messages come back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::provider::Provider;
use crate::support::{Answer, request};
use crate::wire::Line;

/// The shortest that a claim can be.
const LEASE_MS: u64 = 2_000;
/// How long a claim waits for work.
const WAIT_MS: u64 = 300;
/// Of three workers.
const SLEEPERS_MAX: usize = 2;
/// Starts of a killed server and PostgreSQL's recovery, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);
/// Who was refused tries again after this, as any client would.
const PAUSE: Duration = Duration::from_millis(25);

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Message {
    Claim,
    Begin,
    End,
    Spawn,
    Suspend,
    Finish,
}

/// Where in a message it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    Before,
    /// Sent, and its answer never heard.
    During,
    After,
}

/// What happens there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The worker dies, once in every job.
    Death,
    /// The worker stands still until somebody else has its job, and goes on.
    Sleep,
    /// The servers are killed, once; the worker says it again until it is
    /// heard.
    Kill,
}

/// A point of the matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) message: Message,
    pub(super) moment: Moment,
    pub(super) fault: Fault,
}

/// What all workers of one graph share.
pub(super) struct Crew<'a> {
    /// The graph's name, which is its queue's.
    pub(super) graph: String,
    pub(super) point: Option<Point>,
    pub(super) address: &'a Mutex<String>,
    pub(super) key: String,
    pub(super) provider: &'a Provider,
    /// Asks for the servers to be killed, and returns when they are.
    pub(super) kill: &'a (dyn Fn() + Sync),
    pub(super) over: AtomicBool,
    /// Jobs in which it happened.
    struck: Mutex<BTreeSet<String>>,
    /// The last claim of each job.
    epochs: Mutex<BTreeMap<String, u64>>,
    /// Claims of the dead, for their late messages.
    ghosts: Mutex<Vec<(String, u64)>>,
    said: AtomicU64,
    asleep: AtomicUsize,
}

/// The worker has nothing more to do with the job.
struct Gone;

impl<'a> Crew<'a> {
    pub(super) fn new(
        graph: String,
        point: Option<Point>,
        address: &'a Mutex<String>,
        (key, provider): (&str, &'a Provider),
        kill: &'a (dyn Fn() + Sync),
    ) -> Self {
        Self {
            graph,
            point,
            address,
            key: key.to_owned(),
            provider,
            kill,
            over: AtomicBool::new(false),
            struck: Mutex::default(),
            epochs: Mutex::default(),
            ghosts: Mutex::default(),
            said: AtomicU64::new(0),
            asleep: AtomicUsize::new(0),
        }
    }

    /// How often it struck.
    pub(super) fn strikes(&self) -> usize {
        self.struck.lock().unwrap().len()
    }

    /// One worker's life, and its successors'.
    pub(super) fn work(&self, name: &str) {
        while !self.over.load(Ordering::Relaxed) {
            self.haunt();
            let body = json!({
                "queues": [self.graph], "slots": 1, "wait_ms": WAIT_MS, "lease_ms": LEASE_MS,
            });
            let path = format!("/jobs/v1/workers/{name}-{}/claim", self.graph);
            // Whose job it would be is not known yet; three are lost at most.
            let nobody = format!("claim {}", self.strikes().min(3));
            let Ok(answer) = self.tell(Message::Claim, &nobody, &path, &body) else {
                continue;
            };
            for job in answer.json()["jobs"].as_array().into_iter().flatten() {
                let (id, epoch) = (text(&job["id"]), job["epoch"].as_u64().unwrap());
                let mut epochs = self.epochs.lock().unwrap();
                let before = epochs.entry(id.clone()).or_default();
                assert!(epoch > *before, "claim {epoch} of {id} after {before}");
                *before = epoch;
                drop(epochs);
                if self.run(job, &id, epoch).is_err() {
                    self.ghosts.lock().unwrap().push((id, epoch));
                }
            }
        }
    }

    fn run(&self, job: &Value, id: &str, epoch: u64) -> Result<(), Gone> {
        let label = text(&job["input"]["label"]);
        if job["type"] == "act" {
            self.pay(id, epoch, &label, "plan")?;
            let mut kids = leaves(&label, None);
            for kid in &mut kids {
                kid["queue"] = self.graph.as_str().into();
            }
            self.by(
                Message::Spawn,
                &label,
                (id, "spawn"),
                &json!({ "epoch": epoch, "jobs": kids }),
            )?;
            let waits = json!([{ "key": "kids", "kind": "children" }]);
            let body = json!({ "epoch": epoch, "waits": waits });
            let told = self
                .by(Message::Suspend, &label, (id, "suspend"), &body)?
                .json();
            if told["state"] == "suspended" {
                return Ok(());
            }
        } else {
            self.pay(id, epoch, &label, "buy")?;
            self.pay(id, epoch, &label, "make")?;
        }
        let body = json!({ "epoch": epoch, "output": { "made": label } });
        self.by(Message::Finish, &label, (id, "finish"), &body)?;
        Ok(())
    }

    /// A paid step: asked, bought, and told.
    fn pay(&self, id: &str, epoch: u64, label: &str, key: &str) -> Result<(), Gone> {
        let question = json!({ "epoch": epoch, "version": "1", "idempotent": true });
        let path = format!("steps/{key}/begin");
        let begun = self
            .by(Message::Begin, label, (id, &path), &question)?
            .json();
        match begun["verdict"].as_str() {
            Some("hit") => return Ok(()),
            Some("run") => {}
            Some("stale") => return Err(Gone),
            other => panic!("step {key} of {label}: {other:?} {begun}"),
        }
        let token = text(&begun["idempotency_token"]);
        let name = format!("/{}/{label}/{key}", self.graph);
        let headers = [("idempotency-key", token.as_str())];
        let paid = request(&self.provider.address, "POST", &name, &headers, b"{}").unwrap();
        assert_eq!(paid.status, 200);
        let end = json!({ "epoch": epoch, "result": { "bought": format!("{label}/{key}") } });
        let path = format!("steps/{key}/end");
        self.by(Message::End, label, (id, &path), &end)?;
        Ok(())
    }

    /// A message about a job.
    fn by(
        &self,
        message: Message,
        label: &str,
        to: (&str, &str),
        body: &Value,
    ) -> Result<Answer, Gone> {
        let path = format!("/jobs/v1/jobs/{}/{}", to.0, to.1);
        let answer = self.tell(message, label, &path, body)?;
        match (answer.status, answer.json()["code"].as_str()) {
            (200..=299, _) => Ok(answer),
            (409, Some("stale")) => Err(Gone),
            _ => panic!("{message:?} of {label}: {answer:?}"),
        }
    }

    /// Says something, unless this is the point at which it must not be.
    fn tell(
        &self,
        message: Message,
        label: &str,
        path: &str,
        body: &Value,
    ) -> Result<Answer, Gone> {
        self.strike(message, Moment::Before, label, path)?;
        if self.is_due(message, Moment::During, label) {
            let address = self.address.lock().unwrap().clone();
            let line = Line::open(&address);
            if let Ok(mut line) = line {
                let _ = line.say("POST", path, &self.headers(), body.to_string().as_bytes());
                if self.point.is_some_and(|point| point.fault == Fault::Kill) {
                    (self.kill)();
                    let _ = line.hear(false);
                } else {
                    return Err(Gone);
                }
            }
        }
        let answer = self.ask(path, body);
        // Every third message is delivered twice; a claim twice is two claims.
        if message != Message::Claim && self.said.fetch_add(1, Ordering::Relaxed).is_multiple_of(3)
        {
            let again = self.ask(path, body);
            let repeats = again.status == answer.status || again.status == 409;
            assert!(repeats, "{message:?}: {answer:?} and then {again:?}");
        }
        self.strike(message, Moment::After, label, path)?;
        Ok(answer)
    }

    /// Whether the point is here, the first time in this job.
    fn is_due(&self, message: Message, moment: Moment, label: &str) -> bool {
        let Some(point) = self.point else {
            return false;
        };
        if (point.message, point.moment) != (message, moment) {
            return false;
        }
        let mut struck = self.struck.lock().unwrap();
        (point.fault != Fault::Kill || struck.is_empty()) && struck.insert(label.to_owned())
    }

    fn strike(
        &self,
        message: Message,
        moment: Moment,
        label: &str,
        path: &str,
    ) -> Result<(), Gone> {
        if !self.is_due(message, moment, label) {
            return Ok(());
        }
        match self.point.map(|point| point.fault) {
            Some(Fault::Kill) => (self.kill)(),
            Some(Fault::Sleep) => self.oversleep(path),
            Some(Fault::Death) => return Err(Gone),
            None => {}
        }
        Ok(())
    }

    /// Until somebody else has claimed the job that the path names.
    fn oversleep(&self, path: &str) {
        let id = path.split('/').nth(4).unwrap_or_default();
        let own = self.epochs.lock().unwrap().get(id).copied();
        let until = Instant::now() + PATIENCE;
        // One of them must be awake to take over.
        if self.asleep.fetch_add(1, Ordering::Relaxed) < SLEEPERS_MAX {
            while self.epochs.lock().unwrap().get(id).copied() == own {
                assert!(Instant::now() < until, "nobody takes {id} over");
                thread::sleep(PAUSE);
            }
        }
        self.asleep.fetch_sub(1, Ordering::Relaxed);
    }

    /// Late messages of the dead, once their jobs are others': a heartbeat and
    /// an end. Neither may count.
    fn haunt(&self) {
        let late: Vec<(String, u64)> = {
            let epochs = self.epochs.lock().unwrap();
            let mut ghosts = self.ghosts.lock().unwrap();
            let taken =
                |(id, epoch): &(String, u64)| epochs.get(id).is_some_and(|last| last > epoch);
            let (late, rest) = ghosts.drain(..).partition(taken);
            *ghosts = rest;
            late
        };
        for (id, epoch) in late {
            let beat = json!({ "jobs": [{ "id": id, "epoch": epoch }], "lease_ms": 60_000 });
            let told = self.ask("/jobs/v1/workers/ghost/heartbeat", &beat).json();
            assert_eq!(
                told["directives"],
                json!([{ "id": id, "directive": "lost" }])
            );
            let end = json!({ "epoch": epoch, "output": "of a ghost" });
            let told = self.ask(&format!("/jobs/v1/jobs/{id}/finish"), &end);
            assert_eq!(told.status, 409, "{told:?}");
        }
    }

    /// Asks until there is an answer: a server that is down comes back.
    fn ask(&self, path: &str, body: &Value) -> Answer {
        let until = Instant::now() + PATIENCE;
        loop {
            let address = self.address.lock().unwrap().clone();
            let line = Line::open(&address);
            let body = body.to_string();
            let answer =
                line.and_then(|mut line| line.ask("POST", path, &self.headers(), body.as_bytes()));
            match answer {
                Ok(answer) if answer.status < 500 => return answer,
                other => assert!(Instant::now() < until, "{path}: {other:?}"),
            }
            thread::sleep(PAUSE);
        }
    }

    fn headers(&self) -> [(&str, &str); 3] {
        [
            ("apikey", &self.key),
            ("authorization", &self.key),
            ("content-type", "application/json"),
        ]
    }
}

/// Two leaves and who joins them, below an act: by reference when the act is of
/// the same submission.
pub(super) fn leaves(act: &str, parent: Option<&str>) -> Vec<Value> {
    let leaf = |name: &str| {
        let mut job = json!({
            "ref": format!("{act}/{name}"), "name": name, "type": "leaf",
            "input": { "label": format!("{act}/{name}") },
        });
        if let Some(parent) = parent {
            job["parent_ref"] = parent.into();
        }
        job
    };
    let mut join = leaf("join");
    join["depends_on"] = json!([{ "ref": format!("{act}/one") }, { "ref": format!("{act}/two") }]);
    vec![leaf("one"), leaf("two"), join]
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value}"))
        .to_owned()
}
