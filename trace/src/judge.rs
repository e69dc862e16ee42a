//! What a tracer is told by whoever traces: which paths count, and what machine the traced programs are told of.

use crate::Use;

/// What traced programs are told of the machine (uname(2)). Longer names than 64 bytes are cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The name of the host.
    pub node: String,
    /// The kernel's release.
    pub release: String,
    /// The kernel's version: which build of the release it is.
    pub version: String,
    /// The architecture.
    pub machine: String,
}

impl Machine {
    /// The fields of `struct new_utsname`, each with its end.
    pub(crate) fn names(&self) -> Vec<u8> {
        let Self {
            node,
            release,
            version,
            machine,
        } = self;
        let mut names = Vec::with_capacity(FIELDS * FIELD);
        for field in ["Linux", node, release, version, machine, "(none)"] {
            let start = names.len();
            names.extend(field.bytes().take(FIELD - 1));
            names.resize(start + FIELD, 0);
        }
        names
    }
}

const FIELDS: usize = 6;
const FIELD: usize = 65;

/// Whoever has a command traced.
pub trait Judge: Send + 'static {
    /// Whether a path counts, of a process, which waits meanwhile: absolute, without links followed and with `..`
    /// taken back by name. Asked once for each path and use, and again where this gives none: it cannot be told yet,
    /// and the path does not count.
    fn counts(&self, process: u32, usage: Use, path: &[u8]) -> Option<bool>;

    /// Whether a process may change what is mounted, since it makes the sandbox that others will be in.
    fn makes_sandbox(&self, process: u32) -> bool;
}
