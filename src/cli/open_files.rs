//! Raises the operating system's limit of open files. Each connection needs one.
//!
//! Invariant: the number of connections leaves enough files for the store. So a request that was accepted does not fail
//! because the store cannot open a file.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that are needed besides those of the connections: for the store, the log, and connections to providers.
const OTHERS: u64 = 128;

/// Raises the limit of open files to what this number of connections needs, as far as the system allows it. Returns how
/// many connections are possible, and logs a warning if that is fewer.
pub(super) fn raise_limit(connections: usize) -> usize {
    let needed = connections as u64 + OTHERS;
    let limit = getrlimit(Resource::Nofile);
    // `None` means that there is no limit.
    let Some(now) = limit.current.filter(|now| *now < needed) else {
        return connections;
    };
    let wanted = limit.maximum.map_or(needed, |most| most.min(needed));
    let raised = Rlimit {
        current: Some(wanted),
        ..limit
    };
    let open_files = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => wanted,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files cannot be raised");
            now
        }
    };
    if open_files >= needed {
        return connections;
    }
    // With such a low limit, connections get half of the files.
    let room = open_files.saturating_sub(OTHERS).max(open_files / 2).max(1);
    tracing::warn!(
        open_files,
        needed,
        connections = room,
        "the limit of open files is too low for --max-connections: raise it (ulimit -n, LimitNOFILE= of systemd)"
    );
    usize::try_from(room).map_or(connections, |room| room.min(connections))
}
