//! Resource limits (setrlimit(2)): what an action gets is the same for every caller.
//!
//! A compiler with a small stack or little address space fails where another does not, and no key holds
//! that. What a caller without privileges has given up for good cannot be had back; a failure under such limits
//! is no outcome.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Soft limits of an action, as a system gives them to a new session; None is no limit.
const FIXED: [(Resource, Option<u64>); 9] = [
    (Resource::Stack, Some(8 << 20)),
    (Resource::Core, Some(0)),
    (Resource::Nofile, Some(1024)),
    (Resource::As, None),
    (Resource::Data, None),
    (Resource::Rss, None),
    (Resource::Fsize, None),
    (Resource::Cpu, None),
    (Resource::Nproc, None),
];

/// What ulimit(1p) calls them.
const NAMES: [&str; 9] = [
    "stack size",
    "core file size",
    "open files",
    "virtual memory",
    "data seg size",
    "max memory size",
    "file size",
    "cpu time",
    "max user processes",
];

/// Gives this process and those that it starts the limits of an action, but keeps what more it may have open.
pub(crate) fn settle() {
    let files = getrlimit(Resource::Nofile);
    fix();
    let now = getrlimit(Resource::Nofile);
    if is_below(now.current, files.current) {
        let _ = setrlimit(Resource::Nofile, files);
    }
}

/// Gives this process the limits of an action, as far as it may have them.
pub(super) fn fix() {
    for (resource, wanted) in FIXED {
        let found = getrlimit(resource);
        if resource != Resource::Nproc && is_below(found.maximum, wanted) {
            // Only privilege raises what is the most.
            let raised = Rlimit {
                current: wanted,
                maximum: wanted,
            };
            if setrlimit(resource, raised).is_ok() {
                continue;
            }
        }
        let reached = if is_below(found.maximum, wanted) {
            found.maximum
        } else {
            wanted
        };
        let _ = setrlimit(
            resource,
            Rlimit {
                current: reached,
                maximum: found.maximum,
            },
        );
    }
}

/// The limits that this process could not have as an action should: names, and what they are instead.
pub(crate) fn low() -> impl Iterator<Item = (&'static str, u64)> {
    FIXED
        .iter()
        .zip(NAMES)
        .filter_map(|((resource, wanted), name)| {
            let maximum = getrlimit(*resource).maximum;
            // How many processes a user may have the system says, by the size of its memory.
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
    FIXED.iter().any(|(resource, wanted)| {
        *resource == Resource::Stack && is_below(getrlimit(*resource).current, *wanted)
    })
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
