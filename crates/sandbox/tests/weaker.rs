//! Machines that cannot isolate with namespaces: Landlock where it is enough,
//! refusal where it is not. Runs everywhere, by policy.

mod support;

use std::time::Duration;

use sandbox::{Ceiling, Command, Network, SandboxError, Spec, Wall};
use support::{bed_with, both, python, sh, text};

#[tokio::test]
async fn without_isolation_nothing_runs_unless_allowed() {
    let bed = bed_with(|config| config.policy.at_most = Some(Ceiling::Nothing)).await;
    let strength = bed.engine.strength();
    assert_eq!((strength.wall, strength.word()), (Wall::Nothing, "none"));
    assert!(!strength.isolated() && !strength.notes.is_empty());
    let refused = bed.engine.create(Spec::new("box")).await;
    assert!(
        matches!(&refused, Err(SandboxError::NotIsolated(why)) if why.contains("policy")),
        "{refused:?}"
    );
    assert!(!bed.folder.join("box").exists(), "nothing was made");
    let bed = bed_with(|config| {
        config.policy.at_most = Some(Ceiling::Nothing);
        config.policy.insecure_allowed = true;
    })
    .await;
    let sandbox = bed.sandbox().await;
    assert!(!sandbox.strength().isolated());
    assert_eq!(text(&sh(&sandbox, "echo $((6 * 7))").await.stdout), "42\n");
}

#[tokio::test]
async fn landlock_denies_what_namespaces_would_hide() {
    let bed = bed_with(|config| config.policy.at_most = Some(Ceiling::Landlock)).await;
    if bed.engine.strength().wall != Wall::Landlock {
        eprintln!("SKIPPED: no Landlock here: {:?}", bed.engine.strength());
        let refused = bed.engine.create(Spec::new("box")).await;
        assert!(matches!(refused, Err(SandboxError::NotIsolated(_))));
        return;
    }
    std::fs::write(bed.folder.join("hosts-own"), "mine").expect("a file");
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = tcp.local_addr().expect("an address").port();
    let sandbox = bed
        .sandbox_with(|spec| spec.network = Network::Registries)
        .await;
    let first = sh(
        &sandbox,
        "echo in > file && cat /home/user/../../etc/hostname; cat file",
    )
    .await;
    assert!(text(&first.stdout).ends_with("in\n"), "{}", both(&first));
    let me = std::process::id();
    let code = format!(
        "
import os, socket
def attempt(name, what):
    try:
        what()
        print(name, 'open')
    except Exception as error:
        print(name, type(error).__name__)
for place in ['{folder}/hosts-own', '/etc/shadow', '/proc/{me}/environ', '/proc/self/environ', '/etc/hostname']:
    attempt(place, lambda: open(place).read())
for place in ['/tmp/x', '/usr/x', '{folder}/x', '/dev/shm/x']:
    attempt(place, lambda: open(place, 'w'))
attempt('tcp', lambda: socket.create_connection(('127.0.0.1', {port}), 3))
attempt('unix', lambda: socket.socket(socket.AF_UNIX))
attempt('signal', lambda: os.kill({me}, 0))
print('end')
",
        folder = bed.folder.display()
    );
    let output = python(&sandbox, &code).await;
    let words = both(&output);
    assert!(output.exit.success() && words.ends_with("end\n"), "{words}");
    assert!(!words.contains(" open"), "{words}");
    assert!(matches!(
        sandbox.connect(80).await,
        Err(SandboxError::Unsupported(_))
    ));
    assert!(matches!(
        sandbox.listening().await,
        Err(SandboxError::Unsupported(_))
    ));
    assert_eq!(
        sandbox.files().read("file", 99).await.expect("a read"),
        "in\n"
    );
}

/// Without a namespace a program that leaves its session leaves its family;
/// the end of the sandbox finds it all the same.
#[tokio::test]
async fn the_whole_tree_ends_without_a_namespace() {
    let bed = bed_with(|config| config.policy.at_most = Some(Ceiling::Landlock)).await;
    if bed.engine.strength().wall != Wall::Landlock {
        eprintln!("SKIPPED: no Landlock here");
        return;
    }
    let sandbox = bed.sandbox().await;
    let code = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        time.sleep(1000)\n    os._exit(0)\nprint('on', flush=True)\ntime.sleep(1000)";
    let mut process = sandbox
        .start(Command::new("python3").arg("-c").arg(code))
        .await
        .expect("a start");
    assert!(process.events.recv().await.is_some());
    while sandbox.stats().await.expect("stats").pids < 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    sandbox.kill().await;
    let mark = bed.folder.join("box-1/home");
    let left = std::fs::read_dir("/proc")
        .expect("/proc")
        .flatten()
        .filter(|entry| std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == mark));
    assert_eq!(left.count(), 0, "somebody lives on");
}

/// Everything above once more, without root's rights.
#[test]
fn the_same_as_a_normal_user() {
    support::as_a_normal_user();
}
