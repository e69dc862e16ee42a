//! Everything that is installed: which file goes where, for which family of distributions.
//!
//! A [`Tree`] is the one list of it, from which `make install` copies and packages are made.
//! What other programs look for has a fixed place; only kiln's own files follow the prefix.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use clap_complete::Shell;
use kiln_durable::regular;
use kiln_files::{NewFile, replace_link};

use crate::{family::Family, generated};

/// The most bytes of a program that is packaged.
pub(crate) const PROGRAM: u64 = 1 << 30;

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// A file that everybody may read.
    Text(Vec<u8>),
    /// A file that everybody may run.
    Program(Vec<u8>),
    /// A file that the administrator may change, and keeps when a package is upgraded.
    Setting(Vec<u8>),
    /// A script that the administrator may change, and keeps when a package is upgraded.
    Hook(Vec<u8>),
    /// A symbolic link to a path.
    Link(PathBuf),
    /// A directory that may be empty.
    Directory,
}

/// Something that is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Where, from / on.
    pub(crate) path: PathBuf,
    /// What.
    pub(crate) content: Content,
}

/// Why a tree cannot be made or copied.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}", path.display())]
pub(crate) struct Error {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl Error {
    fn of(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self {
            action,
            path: path.to_owned(),
            source,
        }
    }
}

/// Everything that is installed.
#[derive(Debug)]
pub(crate) struct Tree(Vec<Entry>);

impl Tree {
    /// Lists everything, in the order of paths; `program` is the file that kiln is in.
    pub(crate) fn new(family: Family, prefix: &Path, program: &Path) -> Result<Self, Error> {
        let mut list = List::default();
        let kiln = regular::read_at_once(program, PROGRAM).map_err(Error::of("read", program))?;
        list.add(prefix.join("bin/kiln"), Content::Program(kiln));
        list.add(
            prefix.join("sbin/dkms"),
            Content::Link("../bin/kiln".into()),
        );
        list.shared(family, prefix)?;
        list.settings();
        list.hooks(family);
        list.directories();
        list.0.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self(list.0))
    }

    /// What it lists.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// Copies everything below `root`; settings that are there already stay as they are.
    pub(crate) fn copy_to(&self, root: &Path) -> Result<(), Error> {
        for entry in &self.0 {
            let path = below(root, &entry.path);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).map_err(Error::of("create", parent))?;
            }
            entry.create(&path).map_err(Error::of("write", &path))?;
        }
        Ok(())
    }

    /// Removes everything below `root`, and the directories that are empty then. What the
    /// administrator has changed since, or put there instead, stays.
    pub(crate) fn remove_from(&self, root: &Path) -> Result<(), Error> {
        for entry in self.0.iter().rev() {
            let path = below(root, &entry.path);
            let result = match entry.content {
                Content::Directory => fs::remove_dir(&path),
                _ if !entry.is_own(&path) => continue,
                _ => fs::remove_file(&path),
            };
            match result {
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty => {}
                result => result.map_err(Error::of("remove", &path))?,
            }
        }
        Ok(())
    }
}

impl Entry {
    /// Its permissions.
    pub(crate) fn mode(&self) -> u16 {
        match self.content {
            Content::Text(_) | Content::Setting(_) => 0o644,
            Content::Program(_) | Content::Hook(_) | Content::Directory => 0o755,
            Content::Link(_) => 0o777,
        }
    }

    /// Whether what is at a path may be what was installed there. A program may be of another
    /// build; a setting or a hook is somebody's once it is changed.
    fn is_own(&self, path: &Path) -> bool {
        match &self.content {
            Content::Setting(bytes) | Content::Hook(bytes) => {
                let there = regular::read_at_once(path, bytes.len() as u64);
                there.is_ok_and(|there| there == *bytes)
            }
            Content::Link(to) => fs::read_link(path).is_ok_and(|there| there == *to),
            Content::Text(_) | Content::Program(_) | Content::Directory => true,
        }
    }

    fn create(&self, path: &Path) -> io::Result<()> {
        match &self.content {
            Content::Setting(_) if path.exists() => Ok(()),
            Content::Text(bytes)
            | Content::Program(bytes)
            | Content::Setting(bytes)
            | Content::Hook(bytes) => {
                // A program that is running can be replaced, but not written to.
                let mut new = NewFile::beside(path, 0o600)?;
                new.file().write_all(bytes)?;
                let mode = fs::Permissions::from_mode(self.mode().into());
                new.file().set_permissions(mode)?;
                Ok(new.place()?)
            }
            Content::Link(to) => Ok(replace_link(to, path)?),
            Content::Directory => fs::create_dir_all(path),
        }
    }
}

/// A path of the tree in another root.
fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// The list while it is made.
#[derive(Default)]
struct List(Vec<Entry>);

impl List {
    fn add(&mut self, path: impl Into<PathBuf>, content: Content) {
        self.0.push(Entry {
            path: path.into(),
            content,
        });
    }

    fn text(&mut self, path: impl Into<PathBuf>, text: impl AsRef<[u8]>) {
        self.add(path, Content::Text(text.as_ref().to_owned()));
    }

    fn program(&mut self, path: &str, text: &str) {
        self.add(path, Content::Program(text.as_bytes().to_owned()));
    }

    fn hook(&mut self, path: &str, text: &str) {
        self.add(path, Content::Hook(text.as_bytes().to_owned()));
    }

    /// The manual, the completions and the documents.
    fn shared(&mut self, family: Family, prefix: &Path) -> Result<(), Error> {
        let share = prefix.join("share");
        self.text(share.join("man/man8/dkms.8"), include_str!("../man/dkms.8"));
        let pages = generated::manual().map_err(Error::of("make", Path::new("the manual")))?;
        for (name, page) in pages {
            self.text(share.join("man/man1").join(name), page);
        }

        let bash = share.join("bash-completion/completions");
        let dkms = include_str!("../completions/dkms.bash");
        self.text(bash.join("kiln"), generated::completion(Shell::Bash));
        self.text(bash.join("dkms"), dkms);
        // Debian's zsh looks for what packages bring in a directory of its own.
        let zsh = if family == Family::Debian && prefix == Path::new("/usr") {
            share.join("zsh/vendor-completions")
        } else {
            share.join("zsh/site-functions")
        };
        self.text(zsh.join("_kiln"), generated::completion(Shell::Zsh));
        self.text(zsh.join("_dkms"), include_str!("../completions/_dkms"));
        self.text(
            share.join("fish/vendor_completions.d/kiln.fish"),
            generated::completion(Shell::Fish),
        );

        let documents = share.join("doc/kiln");
        self.text(documents.join("README.md"), include_str!("../../README.md"));
        self.text(
            documents.join("LICENSE-MIT"),
            include_str!("../../LICENSE-MIT"),
        );
        self.text(
            documents.join("LICENSE-APACHE"),
            include_str!("../../LICENSE-APACHE"),
        );
        Ok(())
    }

    /// The directories of what is listed that nobody else brings along.
    fn directories(&mut self) {
        let ours = ["dkms", "kiln", "fish", "zsh"];
        let mut directories: Vec<PathBuf> = self
            .0
            .iter()
            .flat_map(|entry| entry.path.ancestors().skip(1))
            .filter(|path| {
                path.iter()
                    .any(|name| ours.iter().any(|our| name.to_str() == Some(our)))
            })
            .map(Path::to_owned)
            .collect();
        directories.sort();
        directories.dedup();
        for path in directories {
            self.add(path, Content::Directory);
        }
    }

    /// What the administrator changes, and where dkms keeps things.
    fn settings(&mut self) {
        self.add(
            "/etc/dkms/framework.conf",
            Content::Setting(include_bytes!("../conf/framework.conf").to_vec()),
        );
        self.add("/etc/dkms/framework.conf.d", Content::Directory);
        self.add("/var/lib/dkms", Content::Directory);
    }

    /// What kernels' and modules' packages call.
    fn hooks(&mut self, family: Family) {
        self.program(
            "/usr/lib/dkms/common.postinst",
            include_str!("../kernel/common.postinst"),
        );
        self.program(
            "/usr/lib/dkms/dkms_autoinstaller",
            include_str!("../kernel/dkms_autoinstaller"),
        );
        self.program(
            "/usr/lib/kernel/install.d/40-dkms.install",
            include_str!("../kernel/40-dkms.install"),
        );
        match family {
            Family::Debian => {
                let postinst = include_str!("../kernel/postinst");
                self.hook("/etc/kernel/postinst.d/dkms", postinst);
                self.hook("/etc/kernel/header_postinst.d/dkms", postinst);
                self.hook(
                    "/etc/kernel/preinst.d/dkms",
                    include_str!("../kernel/preinst"),
                );
                self.hook("/etc/kernel/prerm.d/dkms", include_str!("../kernel/prerm"));
                self.program(
                    "/usr/share/apport/package-hooks/dkms_packages.py",
                    include_str!("../apport/dkms_packages.py"),
                );
            }
            Family::Redhat | Family::Generic => {
                self.text(
                    "/usr/lib/systemd/system/dkms.service",
                    include_str!("../kernel/dkms.service"),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, os::unix::fs::symlink};

    use super::*;

    fn tree(family: Family, prefix: &str) -> Tree {
        Tree::new(family, prefix.as_ref(), "/dev/null".as_ref()).unwrap()
    }

    fn paths(tree: &Tree) -> BTreeSet<&str> {
        tree.entries()
            .iter()
            .map(|entry| entry.path.to_str().unwrap())
            .collect()
    }

    #[test]
    fn what_others_call_is_not_moved_by_the_prefix() {
        let tree = tree(Family::Debian, "/opt/kiln");
        let paths = paths(&tree);
        for fixed in [
            "/usr/lib/dkms/common.postinst",
            "/usr/lib/dkms/dkms_autoinstaller",
            "/etc/kernel/postinst.d/dkms",
            "/etc/dkms/framework.conf",
            "/opt/kiln/sbin/dkms",
        ] {
            assert!(paths.contains(fixed), "{fixed}");
        }
        assert!(!paths.contains("/usr/sbin/dkms"));
    }

    #[test]
    fn each_family_has_its_own_hooks() {
        let debian = tree(Family::Debian, "/usr");
        let redhat = tree(Family::Redhat, "/usr");
        let service = "/usr/lib/systemd/system/dkms.service";
        assert!(paths(&redhat).contains(service) && !paths(&debian).contains(service));
        assert!(
            !paths(&redhat)
                .iter()
                .any(|path| path.starts_with("/etc/kernel"))
        );
    }

    #[test]
    fn no_path_is_listed_twice() {
        let tree = tree(Family::Debian, "/usr");
        assert_eq!(paths(&tree).len(), tree.entries().len());
    }

    #[test]
    fn what_is_removed_is_what_was_copied_and_what_was_changed_stays() {
        let root = tempfile::tempdir().unwrap();
        let tree = tree(Family::Redhat, "/usr");
        tree.copy_to(root.path()).unwrap();
        let conf = root.path().join("etc/dkms/framework.conf");
        fs::write(&conf, "parallel_jobs=1\n").unwrap();
        tree.copy_to(root.path()).unwrap();
        assert_eq!(fs::read(&conf).unwrap(), b"parallel_jobs=1\n");
        let dkms = fs::read_link(root.path().join("usr/sbin/dkms")).unwrap();
        assert_eq!(dkms, Path::new("../bin/kiln"));

        let link = root.path().join("usr/sbin/dkms");
        fs::remove_file(&link).unwrap();
        symlink("/opt/dkms/dkms", &link).unwrap();
        tree.remove_from(root.path()).unwrap();
        assert!(conf.exists() && link.is_symlink());

        tree.copy_to(root.path()).unwrap();
        fs::remove_file(&conf).unwrap();
        tree.remove_from(root.path()).unwrap();
        for entry in tree.entries() {
            let path = below(root.path(), &entry.path);
            assert!(path.symlink_metadata().is_err(), "{}", path.display());
        }
    }
}
