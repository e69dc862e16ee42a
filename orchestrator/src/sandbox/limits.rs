//! Resource limits (setrlimit(2)): what an action gets is the same for every caller.
//!
//! A compiler with a small stack or little address space fails where another does not, and no key holds
//! that. What a caller without privileges has given up for good cannot be had back; a failure under such limits
//! is no outcome.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// A limit of an action, as the kernel gives it to the first process: the soft and the hard value; None is no limit.
type Fixed = (Resource, Option<u64>, Option<u64>);

const FIXED: [Fixed; 14] = [
    (Resource::Stack, Some(8 << 20), None),
    (Resource::Core, Some(0), Some(0)),
    (Resource::Nofile, Some(1024), Some(4096)),
    (Resource::As, None, None),
    (Resource::Data, None, None),
    (Resource::Rss, None, None),
    (Resource::Fsize, None, None),
    (Resource::Cpu, None, None),
    (Resource::Nproc, None, None),
    (Resource::Memlock, Some(64 << 10), Some(64 << 10)),
    (Resource::Msgqueue, Some(819_200), Some(819_200)),
    (Resource::Nice, Some(0), Some(0)),
    (Resource::Rtprio, Some(0), Some(0)),
    (Resource::Rttime, None, None),
];

/// What ulimit(1p) calls them.
const NAMES: [&str; 14] = [
    "stack size",
    "core file size",
    "open files",
    "virtual memory",
    "data seg size",
    "max memory size",
    "file size",
    "cpu time",
    "max user processes",
    "max locked memory",
    "POSIX message queues",
    "scheduling priority",
    "real-time priority",
    "real-time cpu time",
];

/// Gives this process and those that it starts the soft limits of an action, and may it have them, the hard ones where they
/// are higher than its own; but keeps what more it may have open.
pub(crate) fn settle() {
    let files = getrlimit(Resource::Nofile).current;
    for (resource, soft, hard) in FIXED {
        let found = getrlimit(resource).maximum;
        let more = greatest(found, hard);
        let wanted = match resource {
            Resource::Nproc => found,
            Resource::Nofile => greatest(soft, files),
            _ => soft,
        };
        // Only privilege raises what is the most.
        if resource == Resource::Nproc || set(resource, wanted, more).is_err() {
            let _ = set(resource, least(wanted, found), found);
        }
    }
}

/// Gives this process the limits of an action, as far as it may have them.
pub(super) fn fix() {
    for (resource, soft, hard) in FIXED {
        // How many processes a user may have the system says, by the size of its memory.
        let most = match resource {
            Resource::Nproc => getrlimit(resource).maximum,
            _ => least(getrlimit(resource).maximum, hard),
        };
        let _ = set(resource, least(soft, most), most);
    }
}

fn set(resource: Resource, current: Option<u64>, maximum: Option<u64>) -> rustix::io::Result<()> {
    setrlimit(resource, Rlimit { current, maximum })
}

/// The limits that this process could not have as an action should: names, and what they are instead.
pub(crate) fn low() -> impl Iterator<Item = (&'static str, u64)> {
    FIXED
        .iter()
        .zip(NAMES)
        .filter_map(|((resource, wanted, _), name)| {
            let maximum = getrlimit(*resource).maximum;
            let is_low = *resource != Resource::Nproc && is_below(maximum, *wanted);
            maximum.filter(|_| is_low).map(|maximum| (name, maximum))
        })
}

/// Whether this process could not have the limits of an action.
pub(crate) fn are_low() -> bool {
    low().next().is_some()
}

/// Whether this process could not have the stack that it should.
pub(crate) fn is_stack_low() -> bool {
    FIXED.iter().any(|(resource, wanted, _)| {
        *resource == Resource::Stack && is_below(getrlimit(*resource).current, *wanted)
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
