//! Lets bash evaluate a dkms.conf, in the sandbox, and remembers the answer under everything
//! that it could depend on.

use std::{fs, path::Path};

use kiln_cache::ObjectDigest;
use kiln_scheduler::CancelToken;

use super::{Session, target::Target};
use crate::{
    conf::{EvaluateInput, Evaluation, RawConf, driver_digest, evaluate},
    kernel::KernelTree,
    package::PackageId,
    plan::{Fingerprints, KernelInput, Tools, scratch_name_of},
    sandbox::Layout,
    toolbox::{PackageScope, SystemRoot},
};

impl Session {
    /// Bash's view of a conf, and what was printed meanwhile; none if there is no place to run it, or it does not end well.
    pub(crate) fn ask_bash(
        &mut self,
        package: Option<&PackageId>,
        target: &Target,
        path: &Path,
        layout: &Layout,
    ) -> Option<(RawConf, String)> {
        let site = self.site()?;
        let source = fs::canonicalize(path.parent()?).ok()?;
        let source = match package {
            Some(package) if self.tree.source(package).is_dir() => {
                fs::canonicalize(self.tree.source(package)).ok()?
            }
            _ => source,
        };
        let elsewhere = fs::canonicalize(path).ok() != Some(source.join("dkms.conf"));
        let kernel = self.kernel_tree(target).unwrap_or_else(|| {
            KernelTree::absent(&target.kernel, &target.arch, &self.install_tree)
        });
        let mut fingerprints = Fingerprints::new(&site.store);
        let mut state: Vec<u8> = driver_digest().to_string().into_bytes();
        let text = fs::read(path).ok()?;
        state.extend_from_slice(ObjectDigest::of(&text).to_string().as_bytes());
        for (name, value) in self.conf_reader().scope(package, target, layout) {
            state.extend_from_slice(format!("\n{name}={value}").as_bytes());
        }
        for directive in &self.arguments.directives {
            state.extend_from_slice(format!("\ndirective {directive}").as_bytes());
        }
        let mut trees = vec![source.clone()];
        if Path::new("/etc/dkms").is_dir() {
            trees.push("/etc/dkms".into());
        }
        for tree in &trees {
            let digest = fingerprints.tree(tree).ok()?.digest;
            state.extend_from_slice(format!("\n{} {digest}", tree.display()).as_bytes());
        }
        let mut roots = Vec::new();
        if kernel.build.is_dir() {
            let input = KernelInput::new(kernel.clone(), &mut fingerprints).ok()?;
            for root in &input.roots {
                state.extend_from_slice(
                    format!("\n{} {}", root.path.display(), root.digest).as_bytes(),
                );
                roots.push((root.host.clone(), root.path.clone()));
            }
        }
        let tools = Tools::detect()
            .components(&[], false, PackageScope::Everything, &mut fingerprints)
            .ok()?;
        for tool in tools {
            state.extend_from_slice(tool.digest.to_string().as_bytes());
        }
        let state = ObjectDigest::of(&state);
        let directives = self.arguments.directives.clone();
        let evaluated = || -> Option<(RawConf, String)> {
            let base = site.base().ok()?;
            let readable = match base.user().barrier(&source) {
                None => source.clone(),
                Some(_) => return None,
            };
            let label = package.map_or_else(|| "conf".to_owned(), PackageId::to_string);
            let name = scratch_name_of(&label, &target.kernel, &target.arch);
            let scratch = site.scratch(&name).ok()?;
            let run = Evaluation {
                isolation: site.isolation,
                user: site.user,
                scratch: &scratch,
                layout,
                time_limit: site.conf_time_limit,
            };
            let input = EvaluateInput::Package {
                source: &readable,
                conf: elsewhere.then_some(path),
                directives: &directives,
                registered: package,
                kernel: &kernel,
                kernel_roots: &roots,
                system: &SystemRoot::host(),
                build_environment: None,
            };
            let (raw, said) = evaluate(&input, &run, &CancelToken::new()).ok()?;
            // The user knows the file by its own name.
            let registered = |name: &str, version: &str| {
                layout
                    .dkms_tree
                    .join(name)
                    .join(version)
                    .join("source/dkms.conf")
            };
            let inside = [
                layout.run.join("dkms.conf"),
                layout.run.join("source/dkms.conf"),
                registered(
                    raw.scalar("PACKAGE_NAME").unwrap_or_default(),
                    raw.scalar("PACKAGE_VERSION").unwrap_or_default(),
                ),
            ];
            let own = path.display().to_string();
            let said = inside.iter().fold(said, |said, name| {
                said.replace(&name.display().to_string(), &own)
            });
            // The first of two readings tells the package's name.
            let said = match said.split_at_checked(said.len() / 2) {
                Some((first, second)) if package.is_none() && first == second => first.to_owned(),
                _ => said,
            };
            Some((raw, said))
        };
        // An evaluation that did not come about is not remembered.
        let Ok(bytes) = fingerprints.memo::<()>("dkms conf", state, || {
            let raw = evaluated().ok_or(())?;
            serde_json::to_vec(&raw).map_err(|_| ())
        }) else {
            return None;
        };
        serde_json::from_slice(&bytes).ok()
    }
}
