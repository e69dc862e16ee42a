//! Parts that several keys have.

use std::sync::Arc;

use kiln_kernel::{
    KernelInput, KernelRoot, KernelTree,
    toolbox::TextComponent,
    witness::{Origin, Witness},
};
use kiln_sandbox::{Layout, forbids_execution, low_limits, without_execution};

use crate::plan::{Ingredient, PackageInput, SourceLocation};

/// The names that an action is told: where things are, and which kernel it is for.
pub(super) fn place(kernel: &KernelInput, layout: &Layout) -> Vec<String> {
    let Layout {
        dkms_tree,
        source_tree,
        install_tree,
        // The same for all machines in a sandbox, and below the DKMS tree's parent elsewhere.
        run: _,
        out: _,
    } = layout;
    let KernelTree {
        release,
        // In the tree.
        uts_release: _,
        arch,
        build,
        source,
        // The roots' content counts, not where it is on this machine.
        files: _,
    } = &kernel.tree;
    let source = source.as_ref().unwrap_or(build);
    vec![
        format!("dkms_tree={}", dkms_tree.display()),
        format!("source_tree={}", source_tree.display()),
        format!("install_tree={}", install_tree.display()),
        format!("kernel={release}"),
        format!("arch={arch}"),
        format!("kernel build={}", build.display()),
        format!("kernel source={}", source.display()),
    ]
}

/// The limits of resources (setrlimit(2)) that this process could not have, and an action can see.
pub(super) fn limits() -> Vec<String> {
    let low = low_limits();
    low.map(|(name, limit)| format!("limit of {name}={limit}"))
        .collect()
}

/// Where nothing may be executed of what an action sees: below /usr, a kernel's trees, the source.
pub(super) fn mounts(kernel: &KernelInput, source: Option<&PackageInput>) -> Vec<String> {
    let roots = kernel.roots.iter();
    let roots = roots.map(|root| (root.host.as_path(), root.path.display().to_string()));
    let source = match source.map(|source| &source.location) {
        Some(SourceLocation::Directory(path)) => Some((path.as_path(), "source".to_owned())),
        // Unpacked into a scratch directory.
        Some(SourceLocation::Archive { .. }) | None => None,
    };
    let places = roots.chain(source);
    let places = places.filter(|(path, _)| forbids_execution(path));
    let places = places.map(|(_, name)| name);
    let system = without_execution().iter().cloned();
    places
        .chain(system)
        .map(|place| format!("noexec={place}"))
        .collect()
}

/// What kiln or its caller says.
pub(super) fn told(text: TextComponent) -> Ingredient {
    Ingredient::text(Arc::new(text), Origin::Told)
}

/// A tree or a file with all that is in it.
pub(super) fn whole(name: String, seen: &Arc<Witness>) -> Ingredient {
    let digest = seen.digest().expect("trees and files have digests");
    Ingredient::seen(name, digest, seen)
}

/// The trees of a kernel.
pub(super) fn kernel_trees(kernel: &KernelInput) -> impl Iterator<Item = Ingredient> + '_ {
    kernel.roots.iter().flat_map(|root| {
        let KernelRoot {
            path,
            host: _,
            digest,
            times,
            scan: _,
            seen,
        } = root;
        let path = path.display();
        let times = times.map(|times| (format!("times and modes of kernel tree {path}"), times));
        let all = [(format!("kernel tree {path}"), *digest)].into_iter();
        let all = all.chain(times);
        all.map(|(name, digest)| Ingredient::seen(name, digest, seen))
    })
}
