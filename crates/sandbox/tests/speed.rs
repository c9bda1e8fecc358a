//! How long starts take. Measures, asserts no time; run by hand:
//! `cargo test -p sandbox --profile bench-fast --test speed -- --ignored --nocapture`.

mod support;

use std::time::{Duration, Instant};

use sandbox::{Command, ProcessEvent, Spec};
use support::bed;

fn say(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |part: usize| {
        times
            .get(times.len() * part / 100)
            .copied()
            .unwrap_or_default()
    };
    eprintln!(
        "{what:32} p50 {:>9.2?}  p95 {:>9.2?}  of {}",
        at(50),
        at(95),
        times.len()
    );
}

#[tokio::test]
#[ignore = "measures"]
async fn starts() {
    let Some(bed) = bed().await else { return };
    eprintln!("{}", bed.engine.strength());
    let (mut make, mut end) = (Vec::new(), Vec::new());
    for round in 0..40 {
        let id = format!("speed-{round}");
        let began = Instant::now();
        let sandbox = bed.engine.create(Spec::new(&id)).await.expect("a sandbox");
        make.push(began.elapsed());
        let began = Instant::now();
        sandbox.kill().await;
        end.push(began.elapsed());
    }
    say("create", make);
    say("kill", end);
    let sandbox = bed.sandbox().await;
    for (what, rounds, command) in [
        ("echo: first byte", 300, Command::new("echo").arg("x")),
        ("sh -c echo: first byte", 300, Command::shell("echo x")),
        (
            "python3 print: first byte",
            20,
            Command::new("python3").arg("-c").arg("print(1)"),
        ),
        (
            "node print: first byte",
            20,
            Command::new("node").arg("-p").arg("1"),
        ),
    ] {
        let mut times = Vec::new();
        for _ in 0..rounds {
            let began = Instant::now();
            let Ok(mut process) = sandbox.start(command.clone()).await else {
                break;
            };
            let first = process.events.recv().await;
            times.push(began.elapsed());
            assert!(matches!(first, Some(ProcessEvent::Stdout(_))), "{first:?}");
            while process.events.recv().await.is_some() {}
        }
        say(what, times);
    }
}
