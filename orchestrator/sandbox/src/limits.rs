//! Resource limits (setrlimit(2)): what an action gets is the same for every caller.
//!
//! A compiler with a small stack or little address space fails where another does not, and no key holds
//! that. What a caller without privileges has given up for good cannot be had back; a failure under such limits
//! is no outcome.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// A limit of an action. None is no limit.
struct Limit {
    resource: Resource,
    /// What ulimit(1p) calls it.
    name: &'static str,
    soft: Option<u64>,
    hard: Option<u64>,
}

const fn limit(
    resource: Resource,
    name: &'static str,
    soft: Option<u64>,
    hard: Option<u64>,
) -> Limit {
    Limit {
        resource,
        name,
        soft,
        hard,
    }
}

/// The limits that are the same everywhere, as the kernel gives them to its first process.
const FIXED: [Limit; 13] = [
    limit(Resource::Stack, "stack size", Some(8 << 20), None),
    limit(Resource::Core, "core file size", Some(0), Some(0)),
    limit(Resource::Nofile, "open files", Some(1024), Some(4096)),
    limit(Resource::As, "virtual memory", None, None),
    limit(Resource::Data, "data seg size", None, None),
    limit(Resource::Rss, "max memory size", None, None),
    limit(Resource::Fsize, "file size", None, None),
    limit(Resource::Cpu, "cpu time", None, None),
    limit(
        Resource::Memlock,
        "max locked memory",
        Some(64 << 10),
        Some(64 << 10),
    ),
    limit(
        Resource::Msgqueue,
        "POSIX message queues",
        Some(819_200),
        Some(819_200),
    ),
    limit(Resource::Nice, "scheduling priority", Some(0), Some(0)),
    limit(Resource::Rtprio, "real-time priority", Some(0), Some(0)),
    limit(Resource::Rttime, "real-time cpu time", None, None),
];

/// Gives this process and those that it starts the soft limits of an action, and may it have them, the hard ones where they
/// are higher than its own; but keeps what more it may have open.
pub fn settle() {
    let files = getrlimit(Resource::Nofile).current;
    for limit in FIXED {
        let found = getrlimit(limit.resource).maximum;
        let wanted = match limit.resource {
            Resource::Nofile => greatest(limit.soft, files),
            _ => limit.soft,
        };
        // Only privilege raises what is the most.
        if set(limit.resource, wanted, greatest(found, limit.hard)).is_err() {
            let _ = set(limit.resource, least(wanted, found), found);
        }
    }
    allow_processes();
}

/// Gives this process the limits of an action, as far as it may have them.
pub(super) fn fix() {
    for limit in FIXED {
        let most = least(getrlimit(limit.resource).maximum, limit.hard);
        let _ = set(limit.resource, least(limit.soft, most), most);
    }
    allow_processes();
}

/// Allows as many processes as a user may have. How many that are the system says, by the size of its memory.
fn allow_processes() {
    let maximum = getrlimit(Resource::Nproc).maximum;
    let _ = set(Resource::Nproc, maximum, maximum);
}

fn set(resource: Resource, current: Option<u64>, maximum: Option<u64>) -> rustix::io::Result<()> {
    setrlimit(resource, Rlimit { current, maximum })
}

/// The limits that this process could not have as an action should: names, and what they are instead.
pub fn low() -> impl Iterator<Item = (&'static str, u64)> {
    FIXED.into_iter().filter_map(|limit| {
        let maximum = getrlimit(limit.resource).maximum;
        let is_low = is_below(maximum, limit.soft);
        maximum
            .filter(|_| is_low)
            .map(|maximum| (limit.name, maximum))
    })
}

/// Whether this process could not have the limits of an action.
pub fn are_low() -> bool {
    low().next().is_some()
}

/// Whether this process could not have the stack that it should.
pub fn is_stack_low() -> bool {
    FIXED.iter().any(|limit| {
        limit.resource == Resource::Stack && is_below(getrlimit(limit.resource).current, limit.soft)
    })
}

fn least(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    if is_below(one, other) { one } else { other }
}

fn greatest(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    if is_below(one, other) { other } else { one }
}

fn is_below(limit: Option<u64>, wanted: Option<u64>) -> bool {
    match (limit, wanted) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(limit), Some(wanted)) => limit < wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_limit_is_the_highest() {
        assert!(is_below(Some(1), Some(2)) && is_below(Some(1), None));
        assert!(!is_below(None, None) && !is_below(None, Some(1)) && !is_below(Some(2), Some(2)));
    }
}
