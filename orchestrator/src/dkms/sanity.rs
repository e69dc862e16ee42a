//! Whether a module may take the place of what the kernel has: dkms's comparison of
//! versions, by what the modules say of themselves.

use std::{cmp::Ordering, fs::File, io, path::Path};

use kiln_durable::regular;
use kiln_kernel::{module::VersionInfo, package::PackageId, sizes, version::compare_padded};

use super::{
    Session, compression::version_of, conf_reader::Facts, contents::Buffers, target::Target,
};

/// How one module's version relates to another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relation {
    /// The same version, and the same source.
    Same,
    /// The same version, of another source.
    SameVersion,
    Newer,
    Older,
}

/// Compares two modules; the relation is the first one's to the second.
pub(crate) fn relation(first: &VersionInfo, second: &VersionInfo) -> Relation {
    if first.version == second.version {
        if first.source == second.source {
            Relation::Same
        } else {
            Relation::SameVersion
        }
    } else if compare_padded(&first.version, &second.version) == Ordering::Greater {
        Relation::Newer
    } else {
        Relation::Older
    }
}

impl Session {
    /// What a module file says of its version; a file that is no module says nothing.
    pub(crate) fn version_info(&self, path: &Path) -> VersionInfo {
        let file = self.open_module(path);
        file.and_then(|file| version_of(path, file))
            .unwrap_or_default()
    }

    /// Opens a module file, as it will be.
    fn open_module(&self, path: &Path) -> io::Result<File> {
        let file = match &self.transaction {
            Some((_, transaction)) => transaction.open(path),
            None => regular::open_at_once(path),
        }?;
        regular::must_have_at_most(sizes::BINARY, &file.metadata()?)?;
        Ok(file)
    }

    /// Whether module `index` may be installed; says why not.
    pub(crate) fn may_install(
        &mut self,
        package: &PackageId,
        target: &Target,
        facts: &Facts,
        index: usize,
    ) -> bool {
        let name = facts.conf.modules[index].dest_name.as_str();
        if let Some(obsolete_by) = &facts.conf.obsolete_by
            && !self.force
            && is_obsolete(target.kernel.as_str(), obsolete_by)
        {
            for line in [
                "",
                &format!(
                    "Module has been obsoleted due to being included in kernel {obsolete_by}."
                ),
                &format!("We will avoid installing for future kernels above {obsolete_by}."),
                "You may override by specifying --force.",
            ] {
                self.console.note(line);
            }
            return false;
        }
        let suffix = self.suffix(target);
        let Some(theirs) = self.modules_named(target, name).into_iter().next() else {
            return true;
        };
        if self.version_override {
            return true;
        }
        let directory = self.tree.base(package, target).join("module");
        let Some(ours) = suffix.find(&directory, name, Path::exists) else {
            return true;
        };
        let (their_info, our_info) = (self.version_info(&theirs), self.version_info(&ours));
        match relation(&their_info, &our_info) {
            Relation::Newer if !self.force => {
                let kernel = &target.kernel;
                self.console.error(&[
                    &format!("Module version {} for {name}{suffix}", our_info.version),
                    &format!(
                        "is not newer than what is already found in kernel {kernel} ({}).",
                        their_info.version
                    ),
                    "You may override by specifying --force.",
                ]);
                false
            }
            Relation::Same if !self.force => {
                let stated = !our_info.version.is_empty() || !our_info.source.is_empty();
                if !stated && !self.same_content(&theirs, &ours) {
                    return true;
                }
                let theirs = theirs.display();
                self.console.note(if our_info.version.is_empty() {
                    format!(
                        "Module {theirs} already installed (unversioned module), override by specifying --force"
                    )
                } else {
                    format!(
                        "Module {theirs} already installed at version {}, override by specifying --force",
                        our_info.version
                    )
                });
                false
            }
            _ => true,
        }
    }

    /// Whether two files hold the same bytes.
    pub(crate) fn same_content(&self, first: &Path, second: &Path) -> bool {
        let (Ok(first), Ok(second)) = (self.open_module(first), self.open_module(second)) else {
            return false;
        };
        let same = Buffers::default().same_content(first, second);
        same.unwrap_or(false)
    }
}

/// Whether a kernel is the one that has the module itself, or a later one.
fn is_obsolete(kernel: &str, obsolete_by: &str) -> bool {
    let words = |text: &str| text.replace('-', " ");
    compare_padded(&words(kernel), &words(obsolete_by)) != Ordering::Less
}
