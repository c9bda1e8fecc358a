//! From inside a sandbox: none of this works.
//!
//! Every test is about one defence and was seen failing without it. All run
//! as whoever runs the tests, and again as a normal user when that is root
//! (`the_same_as_a_normal_user`). Where a machine cannot isolate, they say so
//! and pass; that code is refused there is tested everywhere.

mod support;

use std::io::{BufRead as _, Write as _};

use sandbox::{Command, Network};
use support::{assert_all_closed, bed, bed_with, both, probe, sh, text};

#[tokio::test]
async fn files_of_the_host_and_of_other_sandboxes() {
    let Some(bed) = bed().await else { return };
    let other = bed.sandbox_with(|spec| spec.id = "other".into()).await;
    sh(
        &other,
        "echo mine > /home/user/secret; echo mine > /tmp/secret; chmod 777 /home/user",
    )
    .await;
    std::fs::write(bed.folder.join("hosts-own"), "mine").expect("a file");
    let sandbox = bed.sandbox().await;
    let places = [
        bed.folder.join("hosts-own"),
        bed.folder.join("other/home/secret"),
        std::env::current_exe().expect("a path"),
        "/etc/shadow".into(),
        "/root".into(),
        "/tmp/secret".into(),
        "/var/lib".into(),
        "/sys/kernel".into(),
        "/proc/1/root/etc/shadow".into(),
        "/proc/1/cwd".into(),
        "/proc/self/root/../../etc/shadow".into(),
    ];
    for place in places {
        let place = place.to_string_lossy().into_owned();
        let output = sandbox
            .run(Command::new("ls").arg(&place))
            .await
            .expect("a run");
        assert_ne!(
            output.exit.code,
            Some(0),
            "{place} is seen: {}",
            both(&output)
        );
    }
    let root = text(&sh(&sandbox, "ls -A /").await.stdout);
    let expected = [
        "bin", "dev", "etc", "home", "lib", "lib32", "lib64", "libx32", "proc", "run", "sbin",
        "tmp", "usr", "var",
    ];
    assert!(root.lines().all(|name| expected.contains(&name)), "{root}");
}

#[tokio::test]
async fn what_is_shown_cannot_be_changed() {
    let Some(bed) = bed().await else { return };
    let sandbox = bed.sandbox().await;
    for place in [
        "/x",
        "/etc/x",
        "/usr/x",
        "/bin/x",
        "/dev/x",
        "/run/x",
        "/var/x",
        "/home/user/../x",
        "/proc/x",
    ] {
        let output = sh(&sandbox, &format!("echo 1 > {place}")).await;
        assert_ne!(output.exit.code, Some(0), "{place} is writable");
    }
    let output = sh(
        &sandbox,
        "echo 1 > /tmp/x && echo 1 > /dev/shm/x && echo 1 > /home/user/x",
    )
    .await;
    assert!(output.exit.success(), "{}", both(&output));
}

#[tokio::test]
async fn the_servers_environment_and_processes() {
    assert!(
        std::env::vars().any(|(name, _)| name.starts_with("CARGO")),
        "run by cargo"
    );
    let Some(bed) = bed().await else { return };
    let sandbox = bed.sandbox().await;
    let output = sh(&sandbox, "cat /proc/*/environ /proc/*/task/*/environ | tr '\\0' '\\n' | grep -c CARGO; ls -d /proc/[0-9]*").await;
    let words = text(&output.stdout);
    let mut lines = words.lines();
    assert_eq!(lines.next(), Some("0"), "{words}");
    // Its own processes: a shell and ls, nothing of the host, not even init.
    assert!(lines.clone().count() <= 3, "{words}");
    assert!(lines.all(|line| line != "/proc/1"), "{words}");
    for file in ["environ", "maps", "mem", "fd/0", "cmdline"] {
        let output = sh(&sandbox, &format!("cat /proc/1/{file}")).await;
        assert_ne!(
            output.exit.code,
            Some(0),
            "/proc/1/{file}: {}",
            both(&output)
        );
    }
    let me = std::process::id();
    let output = sh(
        &sandbox,
        &format!("kill -0 {me} || kill -9 1 && sleep 0.1 && echo still"),
    )
    .await;
    assert_eq!(
        text(&output.stdout),
        "still\n",
        "init is not ended from inside"
    );
}

/// A service of this host, as PostgreSQL would be: TCP, a socket file, an
/// abstract socket.
#[tokio::test]
async fn services_of_the_host() {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixListener};
    let tcp = std::net::TcpListener::bind("0.0.0.0:0").expect("a port");
    let port = tcp.local_addr().expect("an address").port();
    let name = format!("ferrobase-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("a name");
    let _abstract = UnixListener::bind_addr(&address).expect("a socket");
    let Some(bed) = bed().await else { return };
    let path = bed.folder.join(".s.PGSQL.5432");
    let _file = UnixListener::bind(&path).expect("a socket");
    let sandbox = bed.sandbox().await;
    let code = format!(
        "
def tcp(host):
    socket.create_connection((host, {port}), 3)
def unix(path):
    socket.socket(socket.AF_UNIX).connect(path)
for host in ['127.0.0.1', '::1', '10.0.0.1', '169.254.169.254', '1.1.1.1']:
    attempt('tcp ' + host, lambda: tcp(host))
attempt('udp', lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('1.1.1.1', 53)))
attempt('dns', lambda: socket.getaddrinfo('example.com', 80))
attempt('file', lambda: unix('{}'))
attempt('abstract', lambda: unix('\\0{name}'))
print('end')
",
        path.display()
    );
    assert_all_closed(&probe(&sandbox, &code).await);
}

/// The way out asks for a name; that a name is on the list does not make its
/// address public. `localhost` stands for any name whose owner points it to
/// the inside.
#[tokio::test]
async fn private_addresses_and_metadata_through_the_proxy() {
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = tcp.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for stream in tcp.incoming().flatten() {
            let mut stream = stream;
            let _ = stream.write_all(b"reached");
        }
    });
    let bed = bed_with(|config| {
        // The operator's word opens a private address, never metadata.
        config.egress.mirrors = vec![
            "127.0.0.1".to_owned() + &format!(":{port}"),
            "169.254.169.254:80".into(),
        ];
    })
    .await;
    if !bed.engine.strength().has_network() {
        eprintln!("SKIPPED: no namespaces here");
        return;
    }
    let allow = [
        "localhost",
        "169.254.169.254",
        "10.0.0.1",
        "2130706433",
        "0x7f000001",
        "127.1",
    ];
    let sandbox = bed
        .sandbox_with(|spec| {
            spec.network = Network::Allow(
                allow
                    .iter()
                    .flat_map(|host| [format!("{host}:{port}"), format!("{host}:80")])
                    .collect(),
            );
        })
        .await;
    let hosts: Vec<_> = allow
        .iter()
        .map(|host| format!("'{host}:{port}', '{host}:80'"))
        .collect();
    let code = format!(
        "
def ask(target):
    s = socket.create_connection(('127.0.0.1', 3128), 20)
    s.sendall(('CONNECT %s HTTP/1.1\\r\\n\\r\\n' % target).encode())
    got = s.makefile('rb').read(200).decode()
    assert '200' in got.split('\\r\\n')[0], got.replace('\\r\\n', ' ')
    return got
for target in [{}, 'example.com:443', '[::1]:{port}', '[::ffff:127.0.0.1]:{port}', 'localhost:22']:
    attempt(target, lambda: ask(target))
print('vouched', 'reached' if 'reached' in ask('127.0.0.1:{port}') else 'no')
",
        hosts.join(",")
    );
    let output = probe(&sandbox, &code).await;
    assert_all_closed(&output);
    assert!(
        both(&output).contains("vouched reached"),
        "the proxy works: {}",
        both(&output)
    );
}

#[tokio::test]
async fn a_sandbox_without_network_has_no_proxy() {
    let Some(bed) = bed().await else { return };
    let sandbox = bed.sandbox().await;
    let output = probe(
        &sandbox,
        "attempt('proxy', lambda: socket.create_connection(('127.0.0.1', 3128), 3))\nprint('end')",
    )
    .await;
    assert_all_closed(&output);
}

#[tokio::test]
async fn rare_sockets_and_system_calls() {
    let Some(bed) = bed().await else { return };
    let sandbox = bed.sandbox().await;
    let code = r"
import platform, fcntl, termios
x86 = platform.machine() == 'x86_64'
for name, family, kind in [('vsock', 40, 1), ('alg', 38, 5), ('packet', 17, 3), ('bluetooth', 31, 3), ('xdp', 44, 3), ('key', 15, 3), ('rds', 21, 5), ('tipc', 30, 1), ('raw', 2, 3), ('netlink audit', 16, 3)]:
    attempt(name, lambda: socket.socket(family, kind, 9 if family == 16 else 255 if name == 'raw' else 0))
attempt('sctp', lambda: socket.socket(2, 1, 132))
attempt('vsock pair', lambda: socket.socketpair(40, 1, 0))
n = dict(ptrace=101, unshare=272, setns=308, mount=165, umount=166, pivot=155, chroot=161, keyctl=250, add_key=248, request_key=249, bpf=321, perf=298, userfaultfd=323, vm_read=310, kexec=246, init_module=175, reboot=169, handle=304, fanotify=300, open_tree=428, fsopen=430, clone3=435, io_uring=425, pidfd_getfd=438, memfd_secret=447, newest=467, x32_read=0x40000000, unknown=4000)
if not x86:
    n = dict(ptrace=117, unshare=97, setns=268, mount=40, umount=39, pivot=41, chroot=51, keyctl=219, add_key=217, request_key=218, bpf=280, perf=241, userfaultfd=282, vm_read=270, kexec=104, init_module=105, reboot=142, handle=265, fanotify=262, open_tree=428, fsopen=430, clone3=435, io_uring=425, pidfd_getfd=438, memfd_secret=447, newest=467, unknown=4000)
USER, NET = 0x10000000, 0x40000000
call('user namespace', n['unshare'], USER)
call('network namespace', n['unshare'], NET)
if x86:
    call('clone in a user namespace', 56, USER | 17, 0, 0, 0, 0)
call('trace', n['ptrace'], 0, 0, 0, 0)
call('keyring', n['keyctl'], 0, -3, 0)
call('key', n['add_key'], b'user', b'a', b'b', 1, -3)
call('tree', n['open_tree'], -100, b'/', 1)
call('tmpfs', n['mount'], b'none', b'/tmp', b'tmpfs', 0, 0)
call('fsopen', n['fsopen'], b'tmpfs', 0)
call('chroot', n['chroot'], b'/tmp')
params = ctypes.create_string_buffer(248)
call('io_uring', n['io_uring'], 4, params)
call('userfaultfd', n['userfaultfd'], 1)
call('memfd_secret', n['memfd_secret'], 0)
attr = ctypes.create_string_buffer(b'\x01\x00\x00\x00\x80', 128)
call('perf', n['perf'], attr, 0, -1, -1, 0)
array = ctypes.create_string_buffer(b'\x02\x00\x00\x00\x04\x00\x00\x00\x04\x00\x00\x00\x01', 128)
call('bpf', n['bpf'], 0, array, 128)
for name in ['setns', 'umount', 'pivot', 'request_key', 'vm_read', 'kexec', 'init_module', 'reboot', 'handle', 'fanotify', 'clone3', 'pidfd_getfd', 'newest', 'unknown'] + (['x32_read'] if x86 else []):
    ctypes.set_errno(0)
    got = libc.syscall(n[name], 0, 0, 0, 0, 0)
    refused = got < 0 and ctypes.get_errno() in (errno.EPERM, errno.ENOSYS)
    print(name, 'refused' if refused else 'open')
attempt('device', lambda: os.mknod('/tmp/d', 0o20666, os.makedev(1, 8)))
attempt('disk', lambda: os.mknod('/tmp/e', 0o60666, os.makedev(8, 0)))
master, slave = os.openpty()
def sti():
    fcntl.ioctl(slave, termios.TIOCSTI, b'x')
attempt('tiocsti', sti)
os.mkfifo('/tmp/plain-fifo')
socket.socket(16, 3, 0).close()
socket.socketpair()
print('end')
";
    assert_all_closed(&probe(&sandbox, code).await);
}

#[tokio::test]
async fn rights_and_other_users() {
    let Some(bed) = bed().await else { return };
    let sandbox = bed.sandbox().await;
    let code = r"
status = dict(line.split(':\t', 1) for line in open('/proc/self/status').read().splitlines() if ':\t' in line)
for name in ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']:
    print(name, 'none' if int(status[name], 16) == 0 else 'open')
print('NoNewPrivs', 'set' if status['NoNewPrivs'] == '1' else 'open')
print('Seccomp', 'set' if status['Seccomp'] == '2' else 'open')
print('uid', 'other' if os.getuid() != 0 and os.geteuid() != 0 else 'open')
print('groups', 'other' if 0 not in os.getgroups() else 'open')
attempt('root', lambda: os.setuid(0))
attempt('group', lambda: os.setgid(0))
attempt('groups', lambda: os.setgroups([0]))
attempt('limit', lambda: __import__('resource').setrlimit(7, (999999, 999999)))
attempt('nice', lambda: os.nice(-5))
attempt('chown', lambda: (open('/tmp/c', 'w').close(), os.chown('/tmp/c', 0, 0)))
print('end')
";
    assert_all_closed(&probe(&sandbox, code).await);
    // A set-uid program keeps whoever starts it.
    let output = sh(&sandbox, "for p in /usr/bin/su /usr/bin/mount /usr/bin/passwd; do test -u $p && echo $p; done; su -c id </dev/null; echo; id -u").await;
    assert_ne!(text(&output.stdout).lines().last(), Some("0"));
}

#[tokio::test]
async fn steering_the_kernel_by_proc() {
    let Some(bed) = bed().await else { return };
    let sandbox = bed.sandbox().await;
    let code = r"
import glob
places = ['sys/kernel/core_pattern', 'sys/kernel/modprobe', 'sys/kernel/hostname', 'sys/kernel/ns_last_pid', 'sys/fs/file-max', 'sys/net/ipv4/ip_forward', 'sys/vm/overcommit_memory', 'sys/user/max_user_namespaces', 'sysrq-trigger', '1/oom_score_adj', '1/mem', 'irq/default_smp_affinity', 'acpi/wakeup', 'mtrr', 'bus/pci']
for place in places:
    attempt('write ' + place, lambda: os.close(os.open('/proc/' + place, os.O_WRONLY)))
for place in ['kcore', 'keys', 'kmsg', 'kallsyms', 'timer_list', 'sched_debug', 'kpagecount', 'modules']:
    def read():
        assert open('/proc/' + place, 'rb').read(64)
    attempt('read ' + place, read)
attempt('remount', lambda: os.mkdir('/proc/self/x'))
attempt('lower score', lambda: os.write(os.open('/proc/self/oom_score_adj', os.O_WRONLY), b'-500'))
print('end')
";
    assert_all_closed(&probe(&sandbox, code).await);
}

/// Helper of the next test: a server that will be ended the hard way.
#[tokio::test]
#[ignore = "run by the_server_dies"]
async fn holder() {
    let Some(bed) = bed().await else { return };
    let sandbox = bed.sandbox().await;
    let code = "import os, time\nif os.fork() == 0:\n    os.setsid()\nprint('on', flush=True)\ntime.sleep(1000)";
    let mut process = sandbox
        .start(Command::new("python3").arg("-c").arg(code))
        .await
        .expect("a start");
    assert!(process.events.recv().await.is_some());
    let inside = sandbox.stats().await.expect("stats").pids;
    eprintln!("\nholder {} {inside}", std::process::id());
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn the_server_dies() {
    if bed().await.is_none() {
        return;
    }
    let mut holder = std::process::Command::new(std::env::current_exe().expect("a path"))
        .args(["--ignored", "--exact", "holder", "--nocapture"])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("a holder");
    let out = std::io::BufReader::new(holder.stderr.take().expect("its output"));
    let line = out
        .lines()
        .map_while(Result::ok)
        .find(|line| line.starts_with("holder "))
        .expect("a line");
    assert_eq!(line.rsplit(' ').next(), Some("3"), "init and two programs");
    let below = family(holder.id());
    assert!(below.len() >= 4, "launcher, init, two programs: {below:?}");
    holder.kill().expect("a kill");
    holder.wait().expect("an end");
    let gone = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.is_empty() || stat.contains(") Z ")
    };
    while !below.iter().all(gone) {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    // The next server tidies up what the kernel does not.
    let _next = bed().await;
    let left = std::process::Command::new("find")
        .args([
            "/sys/fs/cgroup",
            "-name",
            &format!("ferrobase-{}-*", holder.id()),
        ])
        .output()
        .expect("find");
    assert_eq!(text(&left.stdout), "", "control groups are left");
}

fn family(root: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = std::fs::read_dir("/proc")
        .expect("/proc")
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid: u32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            Some((
                pid,
                stat.rsplit_once(')')?
                    .1
                    .split_ascii_whitespace()
                    .nth(1)?
                    .parse()
                    .ok()?,
            ))
        })
        .collect();
    let mut found = Vec::new();
    let mut left = vec![root];
    while let Some(above) = left.pop() {
        let below = parents
            .iter()
            .filter(|(_, parent)| *parent == above)
            .map(|(pid, _)| *pid);
        let below: Vec<u32> = below.collect();
        found.extend(&below);
        left.extend(below);
    }
    found
}

/// Everything above once more, without root's rights.
#[test]
fn the_same_as_a_normal_user() {
    support::as_a_normal_user();
}
