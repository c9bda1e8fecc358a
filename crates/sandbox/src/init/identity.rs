//! Who init and all programs are: limits of each process, then no rights.

use rustix::process::{DumpableBehavior, Gid, Resource, Rlimit, Uid, setrlimit};
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::{At as _, Step};
use crate::sys;
use crate::wire::{Rlimits, Setup};

/// The user inside a user namespace, whoever it is outside.
pub(super) const INSIDE: u32 = 1000;
/// Open files of a process: watchers of development servers want thousands.
const FILES: u64 = 16_384;

/// The user inside: of a user namespace, or the sandbox's own.
pub(super) fn inside(setup: &Setup) -> u32 {
    match setup.mode {
        crate::wire::Mode::Namespaces { as_root: false } => INSIDE,
        _ => setup
            .uid
            .unwrap_or_else(|| rustix::process::getuid().as_raw()),
    }
}

/// Limits that hold for each process.
pub(super) fn limit(limits: &Rlimits) -> Step {
    let set = |resource, most: u64| {
        let now = rustix::process::getrlimit(resource);
        // Raising a hard limit is a right that we may not have.
        let most = now.maximum.map_or(most, |hard| hard.min(most));
        setrlimit(
            resource,
            Rlimit {
                current: Some(most),
                maximum: Some(most),
            },
        )
        .at("limits")
    };
    set(Resource::Core, 0)?;
    set(Resource::Nofile, FILES)?;
    set(Resource::Fsize, limits.file_bytes)?;
    set(Resource::Nproc, limits.pids)?;
    set(Resource::Memlock, 64 * 1024)?;
    set(Resource::Msgqueue, 0)?;
    set(Resource::Sigpending, 4096)?;
    // Not the address space: garbage collectors reserve a lot and use little.
    match limits.data_bytes {
        Some(bytes) => set(Resource::Data, bytes),
        None => Ok(()),
    }
}

/// Becomes the sandbox's user, without capabilities, for good.
pub(super) fn drop_rights(setup: &Setup) -> Step {
    for number in 0..64 {
        // Numbers that the kernel does not know are refused; so is all of it
        // without rights, where there is nothing to drop.
        let _ = rustix::thread::remove_capability_from_bounding_set(
            CapabilitySet::from_bits_retain(1 << number),
        );
    }
    if let Some(uid) = setup.uid {
        let (user, group) = (Uid::from_raw(uid), Gid::from_raw(uid));
        rustix::thread::set_thread_groups(&[]).at("groups")?;
        rustix::thread::set_thread_res_gid(group, group, group).at("group")?;
        rustix::thread::set_thread_res_uid(user, user, user).at("user")?;
    }
    let _ = rustix::thread::clear_ambient_capability_set();
    let nothing = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    rustix::thread::set_capabilities(None, nothing).at("capabilities")?;
    rustix::thread::set_no_new_privs(true).at("no new rights")?;
    sys::new_keyring().at("keyring")?;
    // A change of user resets these two.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).at("dumpable")?;
    super::die_with_parent().at("death signal")
}
