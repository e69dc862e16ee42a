//! Under what the answers to kbuild's questions for a kernel are kept, that jobs take to an engine.

use kiln_cache::ObjectDigest;
use kiln_kernel::{KernelRoot, toolbox::TextComponent};

use super::recipe::recipe_script_digest;
use crate::{conf::Compiler, plan::JobSpec};

/// All that kbuild's questions follow from: the kernel, the toolbox, and which compiler is chosen.
pub(crate) fn probe_topic(toolbox: ObjectDigest, spec: &JobSpec) -> ObjectDigest {
    let Compiler {
        required,
        built_with,
        clang,
        lld,
    } = &spec.conf.compiler;
    let mut lines = vec![
        format!("job script={}", recipe_script_digest()),
        format!("toolbox={toolbox}"),
        format!("kernel={}", spec.kernel.tree.release),
        format!("clang={clang}"),
        format!("lld={lld}"),
    ];
    for (name, compiler) in [("required", required), ("built with", built_with)] {
        lines.extend(compiler.iter().map(|compiler| format!("{name}={compiler}")));
    }
    lines.extend(spec.kernel.roots.iter().map(|root| {
        let KernelRoot {
            path,
            host: _,
            digest,
            // No compiler is asked about them.
            times: _,
            scan: _,
            seen: _,
        } = root;
        format!("root {}={digest}", path.display())
    }));
    TextComponent::new("probes", lines).digest
}
