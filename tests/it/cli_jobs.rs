//! `ferrobase jobs`: what is listed, shown, followed, drawn and changed on the
//! command line is what the rooms say; and what others wrote into a job moves
//! no cursor. The test is the worker, over HTTP.

use std::io::{BufRead as _, BufReader};

use serde_json::{Value, json};

use crate::support::{Done, Ferrobase, command, project, run};

const NOBODYS: &str = "01a1ffe1-0000-7000-8000-000000000000";

struct Scene {
    folder: tempfile::TempDir,
    server: Ferrobase,
}

impl Scene {
    fn start() -> Self {
        let folder = project(&[]);
        let server = Ferrobase::dev(folder.path());
        Self { folder, server }
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let path = format!("/jobs/v1{path}");
        let answer = self
            .server
            .send("POST", &path, self.server.service_key(), &body.to_string());
        assert!(
            answer.status < 300,
            "{path}: {} {}",
            answer.status,
            answer.body
        );
        answer.json()
    }

    /// Ids of what is submitted, in its order.
    fn submit(&self, jobs: &Value) -> Vec<String> {
        let made = self.post("/jobs", &json!({ "jobs": jobs }));
        let ids = made["jobs"].as_array().unwrap().iter();
        ids.map(|job| text(job, "id").to_owned()).collect()
    }

    /// Claims a job of the type: its id, and the claim's number.
    fn claim(&self, kind: &str) -> (String, Value) {
        let asked = json!({"queues": ["default"], "types": [kind], "slots": 1, "wait_ms": 20000, "lease_ms": 60000});
        let claimed = self.post("/workers/hand/claim", &asked);
        let job = &claimed["jobs"][0];
        (text(job, "id").to_owned(), job["epoch"].clone())
    }

    fn finish(&self, kind: &str) {
        let (id, epoch) = self.claim(kind);
        self.post(
            &format!("/jobs/{id}/finish"),
            &json!({"epoch": epoch, "output": {"by": "hand"}}),
        );
    }

    fn jobs(&self, arguments: &[&str]) -> Done {
        let mut all = vec!["jobs"];
        all.extend(arguments);
        run(self.folder.path(), &all)
    }

    /// What a verb prints that must succeed.
    fn said(&self, arguments: &[&str]) -> String {
        let done = self.jobs(arguments);
        assert_eq!(done.code, Some(0), "{done:?}");
        done.stdout
    }

    fn value(&self, arguments: &[&str]) -> Value {
        let mut all = vec!["--json"];
        all.extend(arguments);
        serde_json::from_str(&self.said(&all)).unwrap()
    }

    /// The code of a failure.
    fn refused(&self, arguments: &[&str]) -> String {
        let mut all = vec!["--json"];
        all.extend(arguments);
        let done = self.jobs(&all);
        assert_eq!(done.code, Some(1), "{done:?}");
        text(&done.error(), "code").to_owned()
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn film() -> Value {
    json!([
        {"ref": "film", "type": "film", "group": true},
        {"ref": "script", "parent_ref": "film", "type": "script", "name": "script", "input": {"title": "dune"}},
        {"ref": "clip", "parent_ref": "film", "type": "clip", "name": "clip \u{1b}[2J\"1\"", "depends_on": [{"ref": "script"}]},
    ])
}

#[test]
fn jobs_are_listed_shown_and_drawn() {
    let scene = Scene::start();
    assert_eq!(scene.said(&["list"]), "There are no such jobs\n");
    let ids = scene.submit(&film());
    let (film, script, clip) = (&ids[0], &ids[1], &ids[2]);

    let listed = scene.said(&["list"]);
    assert_eq!(listed.lines().count(), 1, "roots alone: {listed}");
    assert!(
        listed.starts_with(film.as_str()) && listed.contains("film  running"),
        "{listed}"
    );
    assert_eq!(scene.said(&["list", "--all"]).lines().count(), 3);
    let waiting = scene.value(&[
        "list",
        "--all",
        "--state",
        "queued,paused",
        "--waiting-on",
        "dependencies",
    ]);
    assert_eq!(waiting.as_array().unwrap().len(), 1);
    assert_eq!(text(&waiting[0], "id"), clip);
    assert_eq!(scene.value(&["list", "--type", "a,b)&x"]), json!([]));

    let shown = scene.said(&["show", clip]);
    assert!(
        shown.contains("it waits for 1 more of the jobs it depends on"),
        "{shown}"
    );
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
    assert!(
        scene
            .said(&["show", script])
            .contains("it is ready and waits for a worker")
    );
    let drawn = "\
film  running
├─ script  queued
└─ clip  [2J\"1\"  queued: dependencies  after script
";
    assert_eq!(scene.said(&["graph", film]), drawn);
    assert!(scene.said(&["show", film]).contains(drawn));
    let dot = scene.said(&["graph", film, "--format", "dot"]);
    assert!(
        dot.contains(&format!("\"{script}\" -> \"{clip}\";")),
        "{dot}"
    );
    let mermaid = scene.said(&["graph", film, "--format", "mermaid"]);
    assert!(
        mermaid.starts_with("flowchart LR\n") && mermaid.contains("j1 --> j2"),
        "{mermaid}"
    );

    let (id, epoch) = scene.claim("script");
    let step = format!("/jobs/{id}/steps/write");
    let begin = json!({"epoch": epoch, "version": "1", "unit": "usd", "estimate": 1});
    assert_eq!(
        text(&scene.post(&format!("{step}/begin"), &begin), "verdict"),
        "run"
    );
    scene.post(
        &format!("{step}/end"),
        &json!({"epoch": epoch, "result": 7, "cost": 0.5}),
    );
    let fail =
        json!({"epoch": epoch, "error": {"code": "busy", "message": "try again"}, "delay_ms": 0});
    scene.post(&format!("/jobs/{id}/fail"), &fail);
    let shown = scene.value(&["show", script]);
    assert_eq!(text(&shown["steps"][0], "state"), "done");
    assert_eq!(text(&shown["attempts"][0]["error"], "message"), "try again");
    let shown = scene.said(&["show", script]);
    assert!(shown.contains("write  call  done  0.5 usd"), "{shown}");
    assert!(shown.contains("1 of 3 failed"), "{shown}");
}

#[test]
fn a_job_is_followed_to_its_end() {
    let scene = Scene::start();
    let ids = scene.submit(&film());
    let film = ids[0].as_str();
    let mut tail = command(scene.folder.path(), &["jobs", "tail", film])
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    assert!(first.contains("job.queued"), "{first}");
    // It follows by now: the rest happens before its eyes.
    scene.finish("script");
    scene.finish("clip");
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert!(tail.wait().unwrap().success());
    let last = rest.last().unwrap();
    assert!(
        last.contains("job.completed") && last.ends_with("film"),
        "{rest:?}"
    );
    assert!(rest.iter().all(|line| !line.contains('\u{1b}')), "{rest:?}");

    let events = scene.said(&["--json", "tail", film, "--no-follow"]);
    let seqs: Vec<u64> = events
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["seq"]
                .as_u64()
                .unwrap()
        })
        .collect();
    let all: Vec<u64> = (1..=seqs.len() as u64).collect();
    assert_eq!(seqs, all, "each once and in order");
    assert_eq!(rest.len() + 1, seqs.len());
    let after = (seqs.len() - 1).to_string();
    assert_eq!(
        scene
            .said(&["tail", film, "--after", &after])
            .lines()
            .count(),
        1
    );
}

#[test]
fn jobs_are_changed() {
    let scene = Scene::start();
    let ids = scene.submit(&film());
    let film = ids[0].as_str();
    let told = |state: &str| format!("{film}  {state}, and 2 other jobs\n");
    assert_eq!(scene.said(&["pause", film]), told("paused"));
    assert!(scene.said(&["show", film]).contains("it is paused"));
    assert_eq!(scene.said(&["resume", film]), told("running"));
    assert_eq!(
        scene.said(&["cancel", film, "--reason", "no more"]),
        told("cancelled")
    );
    assert!(
        scene
            .said(&["show", film])
            .contains("it was cancelled: no more")
    );
    assert_eq!(
        scene.said(&["cancel", film]),
        format!("{film}  as it was\n")
    );
    let changed = scene.value(&["retry", film]);
    assert_eq!(changed.as_array().unwrap().len(), 3, "{changed}");
    scene.finish("script");
    scene.finish("clip");
    let done = scene.value(&["list", "--state", "completed"]);
    assert_eq!(text(&done[0], "id"), film);

    assert_eq!(scene.refused(&["show", "7"]), "FB4016");
    assert_eq!(scene.refused(&["show", NOBODYS]), "FB4015");
    assert_eq!(scene.refused(&["cancel", NOBODYS]), "FB4015");
    let many = scene.jobs(&["pause"]);
    assert_eq!(many.code, Some(2), "{many:?}");
}

#[test]
fn another_server_is_asked_with_its_own_key() {
    let scene = Scene::start();
    let film = scene.submit(&film()).remove(0);
    let elsewhere = project(&[]);
    let ask = |arguments: &[&str]| {
        let mut all = vec!["jobs", "list", "--json"];
        all.extend(arguments);
        run(elsewhere.path(), &all)
    };
    let code = |done: &Done| text(&done.error(), "code").to_owned();
    let (url, key) = (scene.server.url(), scene.server.service_key());
    let listed = ask(&["--url", url, "--key", key]);
    assert!(listed.stdout.contains(&film), "{listed:?}");
    assert_eq!(code(&ask(&[])), "FB4001");
    assert_eq!(code(&ask(&["--url", url])), "FB4013");
    assert_eq!(code(&ask(&["--url", "nowhere", "--key", key])), "FB4013");
    assert_eq!(
        code(&ask(&["--url", "http://127.0.0.1:9", "--key", key])),
        "FB4014"
    );
    assert_eq!(
        code(&ask(&["--url", url, "--key", scene.server.anon_key()])),
        "FB4015"
    );
    // Of a user's jobs a user sees its own.
    let bob = scene
        .server
        .token("22222222-2222-4222-8222-222222222222", &json!({}));
    let hidden = run(
        elsewhere.path(),
        &["jobs", "list", "--json", "--url", url, "--key", &bob],
    );
    assert_eq!(
        (hidden.code, hidden.stdout.trim()),
        (Some(0), "[]"),
        "{hidden:?}"
    );
}
