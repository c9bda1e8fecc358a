//! Code that wants all there is: processes, memory, disk, output.
//!
//! As in `escape`: each test was seen failing without its defence.

mod support;

use sandbox::Why;
use support::{assert_all_closed, bed, both, probe, python, sh, small, text};

#[tokio::test]
async fn a_fork_bomb() {
    let Some(bed) = bed().await else { return };
    let sandbox = bed.sandbox_with(|spec| spec.limits = small()).await;
    let code = "
import os, time, sys
count = 0
try:
    while count < 2000:
        if os.fork() == 0:
            time.sleep(1000)
        count += 1
except OSError:
    pass
print(count, flush=True)
";
    let output = python(&sandbox, code).await;
    let count: u32 = text(&output.stdout).trim().parse().expect("a count");
    assert!((1..=64).contains(&count), "{count} processes");
    // They live on, and are ended with the sandbox. Each process of a bomb
    // is in the host's list below init.
    let pids = sandbox.stats().await.expect("stats").pids;
    assert!(pids > 1 && pids <= 66, "{pids}");
    sandbox.kill().await;
    let again = bed.sandbox_with(|spec| spec.limits = small()).await;
    assert!(sh(&again, "true").await.exit.success());
}

#[tokio::test]
async fn a_memory_bomb_in_one_process_and_in_many() {
    let Some(bed) = bed().await else { return };
    let sandbox = bed.sandbox_with(|spec| spec.limits = small()).await;
    let one = python(&sandbox, "x = []\nwhile True: x.append(bytearray(1 << 20))").await;
    assert!(!one.exit.success());
    assert!(one.exit.max_rss < 300 << 20, "{} bytes", one.exit.max_rss);
    let many = "
import os, time
for n in range(8):
    if os.fork() == 0:
        x = bytearray(100 << 20)
        for i in range(0, len(x), 4096): x[i] = 1
        time.sleep(1000)
bad = [os.waitstatus_to_exitcode(os.wait()[1]) for n in range(6)]
raise SystemExit(3)
";
    let many = python(&sandbox, many).await;
    assert_eq!(
        many.exit.why,
        Why::Memory,
        "{:?} {}",
        many.exit,
        both(&many)
    );
    assert!(
        sh(&sandbox, "true").await.exit.success(),
        "the sandbox itself lives"
    );
}

#[tokio::test]
async fn memory_that_belongs_to_no_process() {
    let Some(bed) = bed().await else { return };
    let sandbox = bed.sandbox_with(|spec| spec.limits = small()).await;
    // /tmp and /dev/shm end at their size; the rest is counted or refused.
    let code = r"
def fill(path):
    with open(path, 'wb') as f:
        for n in range(400): f.write(bytes(1 << 20))
attempt('/tmp', lambda: fill('/tmp/x'))
os.remove('/tmp/x')
attempt('/dev/shm', lambda: fill('/dev/shm/x'))
os.remove('/dev/shm/x')
print('end')
";
    assert_all_closed(&probe(&sandbox, code).await);
    let code = r"
fds = [os.memfd_create(str(n)) for n in range(20)]
for fd in fds:
    for n in range(60): os.write(fd, bytes(1 << 20))
print('memfd open')
";
    let output = probe(&sandbox, code).await;
    assert!(!output.exit.success(), "{}", both(&output));
}

#[tokio::test]
async fn filling_the_disk() {
    let Some(bed) = bed().await else { return };
    let sandbox = bed.sandbox_with(|spec| spec.limits = small()).await;
    let one = sh(&sandbox, "cat /dev/zero > big").await;
    assert!(
        !one.exit.success(),
        "a file has a size limit: {:?}",
        one.exit
    );
    sh(&sandbox, "rm big").await;
    let many = "
import time
n = 0
while True:
    with open('f%d' % n, 'wb') as f: f.write(bytes(1 << 20))
    n += 1
    if n > 200: time.sleep(1000)
";
    let many = python(&sandbox, many).await;
    assert_eq!(many.exit.why, Why::Disk, "{:?} {}", many.exit, both(&many));
    sh(&sandbox, "rm -f f*").await;
    // Files that are open and have no name.
    let nameless = "
import os, time
kept = []
while True:
    kept.append(open('x', 'wb', 0))
    os.remove('x')
    kept[-1].write(bytes(1 << 20))
    if len(kept) > 200: time.sleep(1000)
";
    let nameless = python(&sandbox, nameless).await;
    assert_eq!(
        nameless.exit.why,
        Why::Disk,
        "{:?} {}",
        nameless.exit,
        both(&nameless)
    );
    bed.engine.remove("box-1").await.expect("a removal");
    // Deeper than anybody looks: counts as full, and can be removed.
    let sandbox = bed.sandbox_with(|spec| spec.limits = small()).await;
    let deep = "
import os, time
for n in range(3000):
    os.mkdir('d'); os.chdir('d')
open('file', 'w').write('x')
time.sleep(1000)
";
    let deep = python(&sandbox, deep).await;
    assert_eq!(deep.exit.why, Why::Disk, "{:?} {}", deep.exit, both(&deep));
    sandbox.files().remove("d").await.expect("a removal");
    assert!(
        sandbox
            .files()
            .list("", 9)
            .await
            .expect("a list")
            .iter()
            .all(|entry| !entry.path.starts_with('d'))
    );
}

/// What was started has ended; what it left behind has not.
#[tokio::test]
async fn who_is_left_behind_is_watched_too() {
    let Some(bed) = bed().await else { return };
    let sandbox = bed.sandbox_with(|spec| spec.limits = small()).await;
    let filler = "import time\nfor n in range(200): open('f%d' % n, 'wb').write(bytes(1 << 20))\ntime.sleep(1000)\n";
    sandbox
        .files()
        .write("fill.py", filler.into(), None)
        .await
        .expect("a file");
    let left = "setsid python3 fill.py >/dev/null 2>&1 </dev/null & echo $!";
    assert!(sh(&sandbox, left).await.exit.success());
    let alive = "for p in /proc/[0-9]*; do grep -qs fill.py $p/cmdline && exit 0; done; exit 1";
    for _ in 0..300 {
        if !sh(&sandbox, alive).await.exit.success() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("it fills the disk unwatched");
}

#[tokio::test]
async fn a_flood_of_output() {
    let Some(bed) = bed().await else { return };
    let sandbox = bed.sandbox_with(|spec| spec.limits = small()).await;
    let output = sh(&sandbox, "yes & yes >&2").await;
    assert_eq!(output.exit.why, Why::Output);
    assert_eq!(output.stdout.len() + output.stderr.len(), 1 << 20);
}

/// Everything above once more, without root's rights.
#[test]
fn the_same_as_a_normal_user() {
    support::as_a_normal_user();
}
