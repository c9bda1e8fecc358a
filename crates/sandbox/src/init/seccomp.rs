//! Which system calls programs inside may not make.
//!
//! A list of what is refused, since programs of all languages run here; but
//! calls that are newer than this list are refused as unknown, so a new
//! kernel does not open a door by itself. The same number range holds the
//! second (x32) set of calls of `x86_64`.

use std::collections::BTreeMap;
use std::io;

use libc as c;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter, sock_filter,
};

/// What may be asked of the network.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sockets {
    /// The namespace's own: internet and local sockets.
    Own,
    /// There is no namespace: pairs only.
    PairsOnly,
}

/// The last call that was looked at when this list was made: `mseal` and the
/// extended attributes of 6.13 have the same numbers on all platforms.
const LAST_KNOWN: u32 = 466;

/// Refused, whatever the arguments.
const REFUSED: &[i64] = &[
    // Mounts and roots.
    c::SYS_mount,
    c::SYS_umount2,
    c::SYS_pivot_root,
    c::SYS_chroot,
    c::SYS_move_mount,
    c::SYS_open_tree,
    c::SYS_fsopen,
    c::SYS_fsconfig,
    c::SYS_fsmount,
    c::SYS_fspick,
    c::SYS_mount_setattr,
    c::SYS_quotactl,
    c::SYS_quotactl_fd,
    c::SYS_swapon,
    c::SYS_swapoff,
    // Namespaces.
    c::SYS_unshare,
    c::SYS_setns,
    // Other processes.
    c::SYS_ptrace,
    c::SYS_process_vm_readv,
    c::SYS_process_vm_writev,
    c::SYS_process_madvise,
    c::SYS_kcmp,
    c::SYS_pidfd_getfd,
    // Large and rarely needed parts of the kernel.
    c::SYS_bpf,
    c::SYS_perf_event_open,
    c::SYS_userfaultfd,
    c::SYS_fanotify_init,
    c::SYS_memfd_secret,
    c::SYS_lookup_dcookie,
    // Keys: the keyring is not in a namespace.
    c::SYS_keyctl,
    c::SYS_add_key,
    c::SYS_request_key,
    // The machine itself.
    c::SYS_kexec_load,
    c::SYS_kexec_file_load,
    c::SYS_init_module,
    c::SYS_finit_module,
    c::SYS_delete_module,
    c::SYS_reboot,
    c::SYS_sethostname,
    c::SYS_setdomainname,
    c::SYS_acct,
    c::SYS_syslog,
    c::SYS_settimeofday,
    c::SYS_clock_settime,
    c::SYS_adjtimex,
    c::SYS_clock_adjtime,
    c::SYS_vhangup,
    c::SYS_move_pages,
    c::SYS_migrate_pages,
    c::SYS_mbind,
    c::SYS_set_mempolicy,
    // Files by handle go past paths.
    c::SYS_name_to_handle_at,
    c::SYS_open_by_handle_at,
    #[cfg(target_arch = "x86_64")]
    c::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    c::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    c::SYS_modify_ldt,
    #[cfg(target_arch = "x86_64")]
    c::SYS_uselib,
    #[cfg(target_arch = "x86_64")]
    c::SYS_sysfs,
];

/// Refused as unknown: who calls them has a second way.
const UNKNOWN: &[i64] = &[
    // Its flags are behind a pointer, which a filter cannot follow.
    c::SYS_clone3,
    c::SYS_io_uring_setup,
    c::SYS_io_uring_enter,
    c::SYS_io_uring_register,
];

/// Memory that belongs to no process, which the watchdog would not see.
const OWNERLESS: &[i64] = &[c::SYS_memfd_create, c::SYS_shmget, c::SYS_mq_open];

fn failed(error: impl std::fmt::Display) -> io::Error {
    io::Error::other(error.to_string())
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn when(conditions: &[(u8, SeccompCmpOp, u64)]) -> io::Result<SeccompRule> {
    let conditions = conditions
        .iter()
        .map(|(argument, operator, value)| {
            // The kernel looks at the lower half of these arguments.
            let half = SeccompCmpArgLen::Dword;
            SeccompCondition::new(*argument, half, operator.clone(), *value)
        })
        .collect::<Result<_, _>>()
        .map_err(failed)?;
    SeccompRule::new(conditions).map_err(failed)
}

fn word(value: i32) -> u64 {
    u64::from(u32::from_ne_bytes(value.to_ne_bytes()))
}

/// Refusals that depend on arguments.
fn by_argument(sockets: Sockets) -> io::Result<Rules> {
    use SeccompCmpOp::{Eq, MaskedEq, Ne};
    let mut rules = Rules::new();
    let namespaces = [
        c::CLONE_NEWUSER,
        c::CLONE_NEWNS,
        c::CLONE_NEWPID,
        c::CLONE_NEWNET,
        c::CLONE_NEWIPC,
        c::CLONE_NEWUTS,
        c::CLONE_NEWCGROUP,
    ];
    for flag in namespaces.map(word) {
        rules
            .entry(c::SYS_clone)
            .or_default()
            .push(when(&[(0, MaskedEq(flag), flag)])?);
    }
    // Putting words into the mouth of a terminal's owner.
    for request in [c::TIOCSTI, c::TIOCLINUX] {
        let request = request & 0xffff_ffff;
        rules
            .entry(c::SYS_ioctl)
            .or_default()
            .push(when(&[(1, Eq, request)])?);
    }
    let families: &[i32] = match sockets {
        Sockets::Own => &[c::AF_UNIX, c::AF_INET, c::AF_INET6, c::AF_NETLINK],
        Sockets::PairsOnly => &[],
    };
    let others: Vec<_> = families
        .iter()
        .map(|family| (0, Ne, word(*family)))
        .collect();
    let socket = rules.entry(c::SYS_socket).or_default();
    if !others.is_empty() {
        socket.push(when(&others)?);
        // Of netlink only the family that lists interfaces; of the internet
        // neither raw sockets nor rare protocols.
        socket.push(when(&[(0, Eq, word(c::AF_NETLINK)), (2, Ne, 0)])?);
        for family in [c::AF_INET, c::AF_INET6] {
            let known = [
                0,
                c::IPPROTO_TCP,
                c::IPPROTO_UDP,
                c::IPPROTO_ICMP,
                c::IPPROTO_ICMPV6,
            ];
            let mut rule = vec![(0, Eq, word(family))];
            rule.extend(known.map(|protocol| (2, Ne, word(protocol))));
            socket.push(when(&rule)?);
        }
    }
    rules.insert(c::SYS_socketpair, vec![when(&[(0, Ne, word(c::AF_UNIX))])?]);
    // Devices; plain files and FIFOs are made by the same calls.
    for (call, argument) in [
        #[cfg(target_arch = "x86_64")]
        (c::SYS_mknod, 1),
        (c::SYS_mknodat, 2),
    ] {
        let device =
            |kind: u32| when(&[(argument, MaskedEq(u64::from(c::S_IFMT)), u64::from(kind))]);
        rules.insert(call, vec![device(c::S_IFCHR)?, device(c::S_IFBLK)?]);
    }
    Ok(rules)
}

fn install(rules: Rules, errno: i32) -> io::Result<()> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(failed)?;
    let errno = u32::try_from(errno).unwrap_or(1);
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(errno),
        arch,
    );
    let program: BpfProgram = filter.map_err(failed)?.try_into().map_err(failed)?;
    apply_filter(&program).map_err(failed)
}

/// Refuses every call above [`LAST_KNOWN`] as unknown: load the number,
/// compare, return. The other filters check the architecture.
fn refuse_newer() -> io::Result<()> {
    #[expect(clippy::cast_possible_truncation, reason = "codes are small numbers")]
    const fn step(code: u32, jt: u8, jf: u8, k: u32) -> sock_filter {
        sock_filter {
            code: code as u16,
            jt,
            jf,
            k,
        }
    }
    let program = [
        step(c::BPF_LD | c::BPF_W | c::BPF_ABS, 0, 0, 0),
        step(c::BPF_JMP | c::BPF_JGT | c::BPF_K, 0, 1, LAST_KNOWN),
        step(
            c::BPF_RET | c::BPF_K,
            0,
            0,
            c::SECCOMP_RET_ERRNO | c::ENOSYS.unsigned_abs(),
        ),
        step(c::BPF_RET | c::BPF_K, 0, 0, c::SECCOMP_RET_ALLOW),
    ];
    apply_filter(&program).map_err(failed)
}

/// Puts this process and its descendants under the filter, for good.
pub(super) fn enter(sockets: Sockets, memory_is_counted: bool) -> io::Result<()> {
    let mut refused = by_argument(sockets)?;
    for call in REFUSED {
        refused.insert(*call, Vec::new());
    }
    if !memory_is_counted {
        for call in OWNERLESS {
            refused.insert(*call, Vec::new());
        }
    }
    install(refused, c::EPERM)?;
    install(
        UNKNOWN.iter().map(|call| (*call, Vec::new())).collect(),
        c::ENOSYS,
    )?;
    refuse_newer()
}
