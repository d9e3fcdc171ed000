//! Raises the operating system's limit of open files. Each connection needs one.
//!
//! Invariant: the number of connections leaves enough files for the store. So a request that was accepted does not fail
//! because the store cannot open a file.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that are needed besides those of the connections: for the store, the log, and connections to providers.
const OTHERS: u64 = 128;

/// Raises the limit of open files as far as so many connections and streams need, and as is allowed. Returns for how many of
/// each there is room, and says so if those are fewer.
pub(super) fn make_room(connections: usize, streams: usize) -> (usize, usize) {
    let all = connections.saturating_add(streams);
    let room = make_room_for(all);
    // Each gets its part of what there is, and at least one.
    let part = |wanted: usize| match room < all {
        true => (wanted as u128 * room as u128 / all.max(1) as u128).max(1) as usize,
        false => wanted,
    };
    (part(connections), part(streams))
}

fn make_room_for(all: usize) -> usize {
    let needed = all as u64 + OTHERS;
    let limit = getrlimit(Resource::Nofile);
    // `None` means that there is no limit.
    let Some(now) = limit.current.filter(|now| *now < needed) else {
        return all;
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
        return all;
    }
    // With such a low limit, connections get half of the files.
    let room = open_files.saturating_sub(OTHERS).max(open_files / 2).max(1);
    tracing::warn!(
        open_files,
        needed,
        room,
        "the limit of open files is too low for --max-connections and --max-streams: raise it (ulimit -n, LimitNOFILE= of systemd)"
    );
    usize::try_from(room).map_or(all, |room| room.min(all))
}
