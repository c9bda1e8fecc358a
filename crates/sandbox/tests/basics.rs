//! What a sandbox does when nobody attacks it.

mod support;

use std::time::Duration;

use bytes::Bytes;
use sandbox::files::{Change, Kind};
use sandbox::{Command, Layer, ProcessEvent, SandboxError, Why};
use support::{bed, both, sh, text};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

#[tokio::test]
async fn a_program_has_streams_an_environment_and_an_end() {
    let Some(bed) = bed().await else { return };
    let sandbox = bed
        .sandbox_with(|spec| spec.env.push(("COLOR".into(), "blue".into())))
        .await;
    let output = sh(
        &sandbox,
        "pwd; id -un; hostname; echo $COLOR; echo bad >&2; exit 7",
    )
    .await;
    assert_eq!(text(&output.stdout), "/home/user\nuser\nsandbox\nblue\n");
    assert_eq!(text(&output.stderr), "bad\n");
    assert_eq!((output.exit.code, output.exit.signal), (Some(7), None));
    assert_eq!(output.exit.why, Why::Itself);
    let environment = sandbox.run(Command::new("env")).await.expect("a run");
    let mut names: Vec<_> = text(&environment.stdout)
        .lines()
        .filter_map(|line| line.split_once('=').map(|(name, _)| name.to_owned()))
        .collect();
    names.sort();
    assert_eq!(names, ["COLOR", "HOME", "LANG", "PATH", "USER"]);
}

#[tokio::test]
async fn input_is_written_and_ended() {
    let Some(bed) = bed().await else { return };
    let sandbox = bed.sandbox().await;
    let mut process = sandbox
        .start(Command::new("cat").with_stdin())
        .await
        .expect("a start");
    process.write_stdin(b"one ").await.expect("a write");
    assert_eq!(
        process.events.recv().await,
        Some(ProcessEvent::Stdout(Bytes::from_static(b"one ")))
    );
    assert_eq!(sandbox.processes().len(), 1);
    process.close_stdin().await;
    let Some(ProcessEvent::Exit(exit)) = process.events.recv().await else {
        panic!("no end")
    };
    assert!(exit.success());
    // More than a pipe holds, both ways at once.
    let big = vec![b'x'; 1 << 20];
    let output = sandbox
        .run_with(Command::new("cat"), &big)
        .await
        .expect("a run");
    assert_eq!(output.stdout, big);
    // A program that does not want its input.
    let output = sandbox
        .run_with(Command::new("true"), &big)
        .await
        .expect("a run");
    assert!(output.exit.success());
    assert!(sandbox.processes().is_empty());
}

#[tokio::test]
async fn what_cannot_be_started_says_why() {
    let Some(bed) = bed().await else { return };
    let sandbox = bed.sandbox().await;
    let missing = sandbox.start(Command::new("no-such-program")).await;
    assert!(
        matches!(missing, Err(SandboxError::Start { source, .. }) if source.raw_os_error() == Some(2))
    );
    let nowhere = sandbox
        .start(Command::new("true").cwd("no/such/folder"))
        .await;
    assert!(matches!(nowhere, Err(SandboxError::Start { .. })));
    let long = sandbox
        .start(Command::new("true").arg("x".repeat(200_000)))
        .await;
    assert!(matches!(long, Err(SandboxError::TooMuch { .. })));
    assert!(sh(&sandbox, "true").await.exit.success());
}

#[tokio::test]
async fn a_terminal_is_one() {
    let Some(bed) = bed().await else { return };
    let sandbox = bed.sandbox().await;
    let mut command = Command::shell("test -t 1 && stty size && read line && echo got $line");
    command.pty = Some((132, 43));
    let mut process = sandbox.start(command).await.expect("a start");
    process.write_stdin(b"hello\n").await.expect("a write");
    let mut seen = String::new();
    while let Some(event) = process.events.recv().await {
        match event {
            ProcessEvent::Stdout(bytes) => seen.push_str(&text(&bytes)),
            ProcessEvent::Exit(exit) => assert!(exit.success(), "{exit:?} {seen}"),
            ProcessEvent::Stderr(_) => panic!("a terminal has one stream"),
        }
    }
    assert!(
        seen.contains("43 132") && seen.contains("got hello"),
        "{seen}"
    );
}

#[tokio::test]
async fn time_and_signals_end_a_program_and_its_children() {
    let Some(bed) = bed().await else { return };
    let sandbox = bed.sandbox().await;
    let late = Command::shell("sleep 1000 & sleep 1000").timeout(Duration::from_millis(200));
    let output = sandbox.run(late).await.expect("a run");
    assert_eq!((output.exit.why, output.exit.signal), (Why::Time, Some(9)));
    let mut process = sandbox
        .start(Command::shell("setsid sleep 1000 & echo on; wait"))
        .await
        .expect("a start");
    assert!(matches!(
        process.events.recv().await,
        Some(ProcessEvent::Stdout(_))
    ));
    process.signal(9).await.expect("a signal");
    let Some(ProcessEvent::Exit(exit)) = process.events.recv().await else {
        panic!("no end")
    };
    assert_eq!(exit.why, Why::Asked);
    let left = sh(&sandbox, "ps -e -o comm= | grep -c sleep").await;
    assert_eq!(text(&left.stdout).trim(), "0", "children live on");
    assert!(matches!(
        sandbox.signal(99_999, 9).await,
        Err(SandboxError::NotFound(_))
    ));
}

#[tokio::test]
async fn a_server_inside_is_found_and_reached() {
    let Some(bed) = bed().await else { return };
    let sandbox = bed.sandbox().await;
    assert_eq!(sandbox.listening().await.expect("ports"), Vec::<u16>::new());
    assert!(sandbox.connect(5173).await.is_err());
    for (address, port) in [("127.0.0.1", 5173_u16), ("::1", 5174)] {
        let server = format!("python3 -u -m http.server {port} --bind {address} >&2");
        let mut process = sandbox
            .start(Command::shell(server))
            .await
            .expect("a start");
        assert!(process.events.recv().await.is_some());
        assert!(sandbox.listening().await.expect("ports").contains(&port));
        let mut stream = sandbox.connect(port).await.expect("a connection");
        stream
            .write_all(b"GET / HTTP/1.0\r\n\r\n")
            .await
            .expect("a write");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
    }
}

#[tokio::test]
async fn files_go_in_and_out() {
    let Some(bed) = bed().await else { return };
    let sandbox = bed.sandbox().await;
    let files = sandbox.files();
    let entry = files
        .write(
            "src/app/main.sh",
            Bytes::from_static(b"echo ran"),
            Some(0o755),
        )
        .await
        .expect("a write");
    assert_eq!((entry.kind, entry.size, entry.mode), (Kind::File, 8, 0o755));
    let output = sh(&sandbox, "src/app/main.sh && echo more >> src/app/main.sh && rm -r src/app && mkdir src/made && echo x > src/made/x").await;
    assert_eq!(
        both(&output),
        "ran\n",
        "the sandbox owns what the server writes"
    );
    assert_eq!(
        files
            .read("/home/user/src/made/x", 100)
            .await
            .expect("a read"),
        "x\n"
    );
    assert!(matches!(
        files.read("src/made/x", 1).await,
        Err(SandboxError::TooMuch { .. })
    ));
    assert!(files.mkdir("a/b/c").await.expect("a folder"));
    assert!(!files.mkdir("a/b/c").await.expect("a folder"));
    files
        .rename("src/made", "a/b/c/moved")
        .await
        .expect("a move");
    let paths: Vec<_> = files
        .list("", 9)
        .await
        .expect("a list")
        .into_iter()
        .map(|entry| entry.path)
        .collect();
    assert_eq!(
        paths,
        ["a", "a/b", "a/b/c", "a/b/c/moved", "a/b/c/moved/x", "src"]
    );
    assert_eq!(files.list("", 1).await.expect("a list").len(), 2);
    files.remove("a").await.expect("a removal");
    assert!(matches!(
        files.remove("a").await,
        Err(SandboxError::NotFound(_))
    ));
    assert!(matches!(
        files.stat("a/b").await,
        Err(SandboxError::NotFound(_))
    ));
    assert_eq!(files.stat("").await.expect("the home").kind, Kind::Folder);
}

#[tokio::test]
async fn changes_are_told() {
    let Some(bed) = bed().await else { return };
    let sandbox = bed.sandbox().await;
    let files = sandbox.files();
    let mut changes = files
        .watch("", true, Duration::from_millis(20))
        .await
        .expect("a watch");
    sh(&sandbox, "mkdir deep; echo 1 > a.txt").await;
    assert_eq!(changes.recv().await, Some(Change::Folder("deep".into())));
    assert_eq!(changes.recv().await, Some(Change::Written("a.txt".into())));
    sh(&sandbox, "echo 2 > deep/b.txt; rm a.txt").await;
    let mut seen = vec![changes.recv().await, changes.recv().await];
    seen.sort_by_key(|change| format!("{change:?}"));
    assert_eq!(
        seen,
        [
            Some(Change::Removed("a.txt".into())),
            Some(Change::Written("deep/b.txt".into()))
        ]
    );
}

#[tokio::test]
async fn a_frozen_sandbox_stands_still_and_goes_on() {
    let Some(bed) = bed().await else { return };
    let sandbox = bed.sandbox().await;
    let mut process = sandbox
        .start(Command::shell("while :; do echo tick; sleep 0.02; done"))
        .await
        .expect("a start");
    assert!(process.events.recv().await.is_some());
    sandbox.freeze().await.expect("a freeze");
    // What was on its way comes; then there is nothing more.
    let still = Duration::from_millis(400);
    while let Ok(event) = tokio::time::timeout(still, process.events.recv()).await {
        assert!(event.is_some());
    }
    sandbox.thaw().await.expect("a thaw");
    assert!(process.events.recv().await.is_some());
}

#[tokio::test]
async fn a_kept_layer_is_there_for_others_and_safe_from_them() {
    let Some(bed) = bed().await else { return };
    let first = bed.sandbox().await;
    sh(&first, "mkdir -p node_modules/.bin node_modules/left; echo v1 > node_modules/left/index.js; ln -s ../left/index.js node_modules/.bin/left").await;
    assert!(
        first
            .keep_layer("node_modules", "deps-1")
            .await
            .expect("a layer")
    );
    assert!(
        !first
            .keep_layer("node_modules", "deps-1")
            .await
            .expect("the same")
    );
    assert!(bed.engine.has_layer("deps-1") && !bed.engine.has_layer("deps-2"));
    for round in ["v1", "v1"] {
        let other = bed
            .sandbox_with(|spec| {
                spec.id = "box-2".into();
                spec.layers.push(Layer {
                    name: "deps-1".into(),
                    at: "node_modules".into(),
                });
            })
            .await;
        let output = sh(&other, "cat node_modules/.bin/left; echo changed > node_modules/left/index.js; mkdir node_modules/new && cat node_modules/.bin/left").await;
        assert_eq!(both(&output), format!("{round}\nchanged\n"));
        // The server sees what programs see.
        let seen = other
            .files()
            .read("node_modules/left/index.js", 99)
            .await
            .expect("a read");
        assert_eq!(seen, "changed\n");
        bed.engine.remove("box-2").await.expect("a removal");
    }
    let whole = bed
        .engine
        .create(sandbox::Spec {
            template: Some("deps-1".into()),
            ..sandbox::Spec::new("box-3")
        })
        .await
        .expect("a sandbox");
    assert_eq!(text(&sh(&whole, "cat .bin/left").await.stdout), "v1\n");
    let missing = bed
        .engine
        .create(sandbox::Spec {
            template: Some("deps-9".into()),
            ..sandbox::Spec::new("box-4")
        })
        .await;
    assert!(matches!(missing, Err(SandboxError::NotFound(_))));
}

#[tokio::test]
async fn a_workspace_outlives_its_sandbox_and_goes_when_told() {
    let Some(bed) = bed().await else { return };
    let sandbox = bed.sandbox().await;
    let mut process = sandbox
        .start(Command::shell("echo kept > file; echo on; sleep 1000"))
        .await
        .expect("a start");
    assert!(process.events.recv().await.is_some());
    assert!(matches!(
        bed.engine.create(sandbox::Spec::new("box-1")).await,
        Err(SandboxError::Exists(_))
    ));
    assert!(bed.engine.kill("box-1").await);
    let Some(ProcessEvent::Exit(exit)) = process.events.recv().await else {
        panic!("no end")
    };
    assert_eq!(exit.why, Why::Sandbox);
    assert!(!sandbox.alive() && bed.engine.list().is_empty());
    assert!(matches!(
        sandbox.run(Command::new("true")).await,
        Err(SandboxError::Ended)
    ));
    let again = bed.sandbox().await;
    assert_eq!(text(&sh(&again, "cat file").await.stdout), "kept\n");
    bed.engine.remove("box-1").await.expect("a removal");
    assert!(!bed.folder.join("box-1").exists());
}
