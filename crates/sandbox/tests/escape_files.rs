//! Traps for the server, laid in a workspace: links, pipes, races.
//!
//! As in `escape`: each test was seen failing without its defence.

mod support;

use sandbox::Command;
use support::{bed, both, sh};

#[tokio::test]
async fn links_pipes_and_sparse_files_for_the_server() {
    let Some(bed) = bed().await else { return };
    let outside = bed.folder.join("outside");
    std::fs::create_dir(&outside).expect("a folder");
    std::fs::write(outside.join("secret"), "mine").expect("a file");
    let sandbox = bed.sandbox().await;
    let at = outside.display();
    let made = sh(&sandbox, &format!("ln -s {at}/secret link; ln -s {at} dir; ln -s /proc/self/root magic; mkfifo pipe; truncate -s 3G sparse; mkdir real; echo in > real/secret; ln real/secret hard; ln -s loop loop")).await;
    assert!(made.exit.success(), "{}", both(&made));
    let files = sandbox.files();
    for path in [
        "link",
        "dir/secret",
        "magic/etc/passwd",
        "pipe",
        "loop",
        "real",
        "dir",
    ] {
        let read = files.read(path, 1 << 20).await;
        assert!(read.is_err(), "{path}: {read:?}");
    }
    assert!(files.read("sparse", 1 << 20).await.is_err());
    assert_eq!(files.read("hard", 99).await.expect("its own"), "in\n");
    for path in ["dir/new", "dir/secret", "magic/tmp/x"] {
        assert!(
            files.write(path, "theirs".into(), None).await.is_err(),
            "{path}"
        );
        assert!(files.mkdir(path).await.is_err(), "{path}");
        assert!(files.remove(path).await.is_err(), "{path}");
        assert!(files.rename("real/secret", path).await.is_err(), "{path}");
        assert!(files.rename(path, "stolen").await.is_err(), "{path}");
    }
    assert!(files.list("dir", 3).await.is_err() && files.list("magic", 1).await.is_err());
    assert!(
        files
            .list("", 9)
            .await
            .expect("a list")
            .iter()
            .all(|entry| !entry.path.starts_with("dir/"))
    );
    // A link in the file's own place is replaced, not written through.
    files
        .write("link", "theirs".into(), None)
        .await
        .expect("a write");
    files.remove("dir").await.expect("a removal");
    assert_eq!(
        std::fs::read_to_string(outside.join("secret")).expect("a file"),
        "mine"
    );
    assert!(sandbox.keep_layer("real", "kept").await.expect("a layer"));
}

/// A folder that is a link every other moment: between a check and a use
/// there must be no time.
#[tokio::test]
async fn a_folder_that_changes_into_a_link() {
    let Some(bed) = bed().await else { return };
    let outside = bed.folder.join("outside");
    std::fs::create_dir(&outside).expect("a folder");
    std::fs::write(outside.join("file"), "mine").expect("a file");
    let sandbox = bed.sandbox().await;
    let code = format!(
        "
import ctypes, os
libc = ctypes.CDLL(None)
os.mkdir('a'); open('a/file', 'w').write('in'); os.symlink('{}', 'b')
print('on', flush=True)
while True:
    libc.renameat2(-100, b'a', -100, b'b', 2)
",
        outside.display()
    );
    let mut process = sandbox
        .start(Command::new("python3").arg("-c").arg(code))
        .await
        .expect("a start");
    assert!(process.events.recv().await.is_some());
    let files = sandbox.files();
    let (mut inside, mut refused) = (0, 0);
    for round in 0..5000 {
        match files.read("a/file", 99).await {
            Ok(bytes) => {
                assert_eq!(bytes, "in", "left the workspace in round {round}");
                inside += 1;
            }
            Err(_) => refused += 1,
        }
        if inside > 20 && refused > 20 {
            break;
        }
    }
    assert!(inside > 0, "never read");
    let _ = files.write("a/file", "theirs".into(), None).await;
    assert_eq!(
        std::fs::read_to_string(outside.join("file")).expect("a file"),
        "mine"
    );
}

/// Everything above once more, without root's rights.
#[test]
fn the_same_as_a_normal_user() {
    support::as_a_normal_user();
}
