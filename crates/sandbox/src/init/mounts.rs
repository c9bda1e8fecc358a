//! The root that programs see, put together on an empty file system from
//! read-only binds, then made the only one there is.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode as Bits, OFlags, ResolveFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, UnmountFlags,
};

use super::{At as _, Step, exists, identity};
use crate::sys;
use crate::wire::{CA_FILE, LayerMount, Mode, Setup};

const READ_ONLY: u64 = libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
const WRITABLE: u64 = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;

/// The system's programs and libraries.
const SYSTEM: &[&str] = &[
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32",
];

/// What programs look up in /etc, and nothing that tells of this host.
const ETC: &[&str] = &[
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/fonts",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/pki/tls/certs",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
];

const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty"];

/// Files of /proc that tell of the host or steer it.
const PROC_HIDDEN: &[&str] = &[
    "kcore",
    "keys",
    "key-users",
    "kmsg",
    "kallsyms",
    "latency_stats",
    "sched_debug",
    "sysrq-trigger",
    "timer_list",
    "kpagecount",
    "kpageflags",
    "kpagecgroup",
    "modules",
];
const PROC_READ_ONLY: &[&str] = &["acpi", "bus", "fs", "irq", "sys", "scsi"];

/// Where a mount without further words has its plan.
fn options(size: u64, mode: &str) -> String {
    // Names cost memory that the size does not count.
    format!("size={size},nr_inodes=50k,mode={mode}")
}

fn tmpfs(at: &Path, flags: MountFlags, data: &str) -> Step {
    fs::create_dir_all(at).at("folder of a mount")?;
    let data = std::ffi::CString::new(data)
        .map_err(io::Error::from)
        .at("mount options")?;
    rustix::mount::mount("tmpfs", at, "tmpfs", flags, Some(data.as_c_str())).at("tmpfs")
}

/// Attaches a copy of what is at `from` to `to`, which exists.
fn bind(from: &Path, to: &Path, attributes: u64) -> io::Result<()> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    let tree = rustix::mount::open_tree(CWD, from, flags)?;
    sys::mount_attributes(&tree, attributes, true)?;
    let empty = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    rustix::mount::move_mount(&tree, "", CWD, to, empty)?;
    Ok(())
}

/// Shows `path` of the host at the same place below `root`, read-only. Links
/// are copied as links; what does not exist is left out.
fn show(root: &Path, path: &Path, to: &Path) -> io::Result<()> {
    let Ok(about) = path.symlink_metadata() else {
        return Ok(());
    };
    let place = root.join(to.strip_prefix("/").unwrap_or(to));
    if exists(&place) {
        return Ok(());
    }
    if let Some(above) = place.parent() {
        fs::create_dir_all(above)?;
    }
    if about.is_symlink() {
        return symlink(fs::read_link(path)?, place);
    }
    if about.is_dir() {
        fs::create_dir(&place)?;
    } else {
        fs::write(&place, "")?;
    }
    bind(path, &place, READ_ONLY)
}

/// Builds the root and enters it.
pub(super) fn build(setup: &Setup) -> Step {
    let root = setup.root.as_path();
    rustix::mount::mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )
    .at("private mounts")?;
    let plain = MountFlags::NOSUID | MountFlags::NODEV;
    tmpfs(root, plain, &options(1 << 20, "755"))?;
    system(setup, root)?;
    etc(setup, root).at("/etc")?;
    let tmp = setup.limits.tmp_bytes;
    tmpfs(&root.join("tmp"), plain, &options(tmp, "1777"))?;
    fs::create_dir_all(root.join("run")).at("/run")?;
    fs::create_dir_all(root.join("var")).at("/var")?;
    symlink("/tmp", root.join("var/tmp")).at("/var/tmp")?;
    devices(root, tmp)?;
    home(setup, root)?;
    fs::create_dir(root.join("proc")).at("/proc")?;
    let flags = plain | MountFlags::NOEXEC;
    let hidden = Some(c"hidepid=2");
    rustix::mount::mount("proc", root.join("proc"), "proc", flags, hidden).at("proc")?;
    enter(root)
}

fn system(setup: &Setup, root: &Path) -> Step {
    let more = setup.read_only.iter().map(PathBuf::as_path);
    let listed = SYSTEM.iter().chain(ETC).map(Path::new);
    // The JDK keeps its settings in /etc and links to them.
    let java: Vec<PathBuf> = fs::read_dir("/etc")
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("java-"))
        .map(|entry| entry.path())
        .collect();
    for path in listed.chain(java.iter().map(PathBuf::as_path)).chain(more) {
        show(root, path, path).at("read-only folders")?;
    }
    match &setup.ca_file {
        Some(file) => show(root, file, Path::new(CA_FILE)).at("authority file"),
        None => Ok(()),
    }
}

fn etc(setup: &Setup, root: &Path) -> io::Result<()> {
    let user = identity::inside(setup);
    let etc = root.join("etc");
    fs::create_dir_all(&etc)?;
    let passwd = format!(
        "user:x:{user}:{user}:user:/home/user:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
    );
    fs::write(etc.join("passwd"), passwd)?;
    fs::write(
        etc.join("group"),
        format!("user:x:{user}:\nnogroup:x:65534:\n"),
    )?;
    fs::write(
        etc.join("hosts"),
        "127.0.0.1 localhost sandbox\n::1 localhost sandbox\n",
    )?;
    fs::write(etc.join("hostname"), "sandbox\n")?;
    // Names are resolved by the proxy, nowhere else.
    fs::write(etc.join("resolv.conf"), "")?;
    fs::write(
        etc.join("nsswitch.conf"),
        "passwd: files\ngroup: files\nhosts: files\n",
    )
}

fn devices(root: &Path, size: u64) -> Step {
    let dev = root.join("dev");
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    tmpfs(&dev, flags, &options(1 << 20, "755"))?;
    for name in DEVICES {
        let place = dev.join(name);
        fs::write(&place, "").at("device")?;
        let attributes = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NOEXEC;
        bind(&Path::new("/dev").join(name), &place, attributes).at("device")?;
    }
    tmpfs(
        &dev.join("shm"),
        flags | MountFlags::NODEV,
        &options(size, "1777"),
    )?;
    fs::create_dir(dev.join("pts")).at("terminals")?;
    let data = Some(c"newinstance,ptmxmode=0666,mode=0620");
    rustix::mount::mount("devpts", dev.join("pts"), "devpts", flags, data).at("terminals")?;
    for (name, target) in [
        ("ptmx", "pts/ptmx"),
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        symlink(target, dev.join(name)).at("devices")?;
    }
    Ok(())
}

/// The workspace, with layers merged in.
fn home(setup: &Setup, root: &Path) -> Step {
    let place = root.join("home/user");
    fs::create_dir_all(&place).at("home")?;
    let (whole, parts): (Vec<_>, Vec<_>) =
        setup.layers.iter().partition(|layer| layer.at.is_empty());
    bind(&setup.home, &place, WRITABLE).at("home")?;
    for layer in whole.into_iter().chain(parts) {
        let merged = merge(setup, layer).at("layer")?;
        let home = open_below(CWD, &place, ResolveFlags::empty()).at("home")?;
        let target = target_of(&home, setup, &layer.at).at("layer's place")?;
        let empty =
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        rustix::mount::move_mount(&merged, "", &target, "", empty).at("layer's mount")?;
    }
    Ok(())
}

fn merge(setup: &Setup, layer: &LayerMount) -> io::Result<OwnedFd> {
    let escaped = |path: &Path| {
        let text = path.to_string_lossy();
        text.replace('\\', "\\\\").replace(':', "\\:")
    };
    let context = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let set =
        |key: &str, value: String| rustix::mount::fsconfig_set_string(context.as_fd(), key, value);
    set("lowerdir", escaped(&layer.lower))?;
    set("upperdir", layer.upper.to_string_lossy().into_owned())?;
    set("workdir", layer.work.to_string_lossy().into_owned())?;
    if setup.mode == (Mode::Namespaces { as_root: false }) {
        rustix::mount::fsconfig_set_flag(context.as_fd(), "userxattr")?;
    }
    rustix::mount::fsconfig_create(context.as_fd())?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    Ok(rustix::mount::fsmount(
        context.as_fd(),
        FsMountFlags::FSMOUNT_CLOEXEC,
        attributes,
    )?)
}

fn open_below(at: impl AsFd, path: &Path, how: ResolveFlags) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat2(at, path, flags, Bits::empty(), how)?)
}

/// The folder that a layer covers, made when missing. The workspace is the
/// sandbox's own: a link in it must not lead a mount elsewhere.
fn target_of(home: &OwnedFd, setup: &Setup, at: &str) -> io::Result<OwnedFd> {
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let mut here = open_below(home, Path::new("."), how)?;
    for part in at.split('/').filter(|part| !part.is_empty()) {
        match rustix::fs::mkdirat(&here, part, Bits::from_raw_mode(0o755)) {
            Ok(()) => {
                let owner = setup.uid.map(rustix::fs::Uid::from_raw);
                let group = setup.uid.map(rustix::fs::Gid::from_raw);
                let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
                rustix::fs::chownat(&here, part, owner, group, flags)?;
            }
            Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        here = open_below(&here, Path::new(part), how)?;
    }
    Ok(here)
}

/// Makes `root` the root, forgets the old one, and seals it.
fn enter(root: &Path) -> Step {
    rustix::process::chdir(root).at("new root")?;
    // The old root is stacked upon the new one, then taken off: no folder of
    // the new root is needed for it.
    rustix::process::pivot_root(".", ".").at("pivot_root")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).at("old root")?;
    rustix::process::chdir("/").at("new root")?;
    fs::set_permissions("/", fs::Permissions::from_mode(0o755)).at("new root")?;
    for place in ["/", "/dev"] {
        let mount = rustix::fs::open(place, OFlags::PATH | OFlags::CLOEXEC, Bits::empty())
            .at("new root")?;
        sys::mount_attributes(&mount, libc::MOUNT_ATTR_RDONLY, false).at("read-only root")?;
    }
    Ok(())
}

/// Hides and protects parts of /proc. After the last write of our own to it.
pub(super) fn seal_proc() -> Step {
    let proc = Path::new("/proc");
    for name in PROC_HIDDEN {
        let place = proc.join(name);
        if exists(&place) {
            bind(Path::new("/dev/null"), &place, libc::MOUNT_ATTR_RDONLY).at("hidden file")?;
        }
    }
    for name in PROC_READ_ONLY {
        let place = proc.join(name);
        if exists(&place) {
            let attributes = READ_ONLY | libc::MOUNT_ATTR_NOEXEC;
            bind(&place, &place, attributes).at("read-only /proc")?;
        }
    }
    Ok(())
}
