//! Tarballs as `dkms mktarball` makes them, for `dkms ldtarball`.
//!
//! `dkms_main_tree/<kernel>/<machine>/` holds what was built: `module/` and `log/`. With it
//! goes the source in `dkms_source_tree/`, or, if there is to be none, the conf alone in
//! `dkms_binaries_only/`. Members are sorted, and belong to root.

use std::{
    fs::{self, Metadata},
    io::{BufWriter, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt, MetadataExt},
    },
    path::{Path, PathBuf},
};

use crate::{
    archive::{Archive, Content},
    compression::{Compression, Encoder},
    date::SourceDate,
    error::PublishError,
    field, input,
    output::replace_as,
};

/// The longest list of kernels that dkms puts into a name, the end of its line counted too.
const LONGEST_LIST: usize = 200;

/// A tarball of a DKMS package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DkmsTarball {
    /// PACKAGE_NAME.
    pub name: String,
    /// PACKAGE_VERSION.
    pub version: String,
    /// What of the package itself is in it.
    pub content: TarballContent,
    /// What was built; the name lists the kernels in this order. With none it is called one of
    /// the source only.
    pub builds: Vec<KernelBuild>,
    /// What it tells about times and modes.
    pub times: Times,
}

/// What of a DKMS package is in a tarball.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TarballContent {
    /// The source, which is in this directory. Sockets in it are passed over.
    Source(PathBuf),
    /// The conf, and no source (`--binaries-only`).
    Binaries {
        /// The dkms.conf.
        conf: PathBuf,
    },
}

/// What was built for one kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelBuild {
    /// The kernel's release.
    pub kernel: String,
    /// The machine, as dkms has it in its tree.
    pub machine: String,
    /// The files.
    pub files: BuildFiles,
}

/// The files that were built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildFiles {
    /// All below a directory that has `module/` and `log/`, as in the tree of dkms.
    Tree(PathBuf),
    /// By their paths below that directory, for instance `module/foo.ko` and `log/make.log`.
    Named(Vec<(String, PathBuf)>),
}

/// What is told about the times and modes of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// One time for all; modes are 755 for directories and what may be executed, else 644.
    At(SourceDate),
    /// What they are. The tarball is for its owner alone if anything in it cannot be read by everybody.
    Kept,
}

/// A member, before its file is read.
struct Member {
    name: Vec<u8>,
    mode: u32,
    seconds: u64,
    from: From,
    /// Whether everybody may read it where it is.
    is_public: bool,
}

enum From {
    Directory,
    File(PathBuf),
    Link(PathBuf),
    Text(String),
}

impl DkmsTarball {
    /// The name that dkms gives to such a tarball.
    pub fn file_name(&self) -> String {
        let kernels: Vec<String> = self
            .builds
            .iter()
            .map(|build| format!("kernel{}-{}", build.kernel, build.machine))
            .collect();
        let list = match &kernels[..] {
            [] => "source-only".to_owned(),
            kernels => kernels.join("-"),
        };
        let list = if list.chars().count() + 1 > LONGEST_LIST {
            "manykernels"
        } else {
            &list
        };
        format!("{}-{}-{list}.dkms.tar.gz", self.name, self.version)
    }

    /// Writes the tarball into a directory, under the name that dkms would give it.
    ///
    /// # Errors
    /// Fails like [`Self::write_to`].
    pub fn write(&self, directory: &Path) -> Result<PathBuf, PublishError> {
        let path = directory.join(self.file_name());
        self.write_to(&path)?;
        Ok(path)
    }

    /// Writes the tarball to a file, compressed as its name asks for.
    ///
    /// # Errors
    /// Fails if a name cannot be part of a path, something cannot be read or the tarball not
    /// be written, and if the name asks for a compression that is not known here.
    pub fn write_to(&self, path: &Path) -> Result<(), PublishError> {
        let compression =
            Compression::of_file_name(path).ok_or_else(|| PublishError::UnknownCompression {
                path: path.to_owned(),
            })?;
        // Before the file is there, which may be in a directory that is to be archived.
        let members = self.members()?;
        let failed = |source| PublishError::write(path)(source);
        replace_as(path, self.mode_of(&members), |file| {
            let to = Encoder::new(compression, BufWriter::new(file)).map_err(failed)?;
            let mut to = write_members(&members, path, to)?
                .finish()
                .map_err(failed)?;
            to.flush().map_err(failed)
        })
    }

    /// Writes the tarball as it is before compression; `path` is where errors say it goes. Gives the mode that a file with
    /// it is to have, less what the umask takes.
    ///
    /// # Errors
    /// Fails like [`Self::write_to`].
    pub fn write_plain(&self, to: &mut dyn Write, path: &Path) -> Result<u32, PublishError> {
        let members = self.members()?;
        write_members(&members, path, to)?;
        Ok(self.mode_of(&members))
    }

    fn members(&self) -> Result<Vec<Member>, PublishError> {
        field::component("PACKAGE_NAME", &self.name)?;
        field::component("PACKAGE_VERSION", &self.version)?;
        let mut members = vec![self.made(b"./".to_vec(), From::Directory)];
        if let TarballContent::Binaries { conf } = &self.content {
            let directory = "./dkms_binaries_only/";
            members.push(self.made(directory.into(), From::Directory));
            for (file, from) in [
                ("PACKAGE_NAME", From::Text(format!("{}\n", self.name))),
                ("PACKAGE_VERSION", From::Text(format!("{}\n", self.version))),
            ] {
                members.push(self.made(format!("{directory}{file}").into(), from));
            }
            let metadata = fs::metadata(conf).map_err(PublishError::read(conf))?;
            let name = format!("{directory}dkms.conf");
            let mut member = self.made(name.into(), From::File(conf.clone()));
            member.is_public = is_public(&metadata) && is_public_way(conf);
            members.push(member);
        }
        members.push(self.made("./dkms_main_tree/".into(), From::Directory));
        for build in &self.builds {
            self.add_build(build, &mut members)?;
        }
        if let TarballContent::Source(source) = &self.content {
            self.add_tree(source, b"./dkms_source_tree/", &mut members)?;
        }
        // Two machines of one kernel share its directory.
        members.sort_by(|a, b| a.name.cmp(&b.name));
        members.dedup_by(|b, a| {
            a.name == b.name && matches!((&a.from, &b.from), (From::Directory, From::Directory))
        });
        if let Some(twice) = members.windows(2).find(|pair| pair[0].name == pair[1].name) {
            return Err(PublishError::Twice {
                path: String::from_utf8_lossy(&twice[0].name).into_owned(),
            });
        }
        Ok(members)
    }

    fn add_build(
        &self,
        build: &KernelBuild,
        members: &mut Vec<Member>,
    ) -> Result<(), PublishError> {
        field::component("kernel release", &build.kernel)?;
        field::component("machine", &build.machine)?;
        let kernel = format!("./dkms_main_tree/{}/", build.kernel);
        let top = format!("{kernel}{}/", build.machine);
        members.push(self.made(kernel.into(), From::Directory));
        match &build.files {
            BuildFiles::Tree(directory) => self.add_tree(directory, top.as_bytes(), members),
            BuildFiles::Named(files) => {
                members.push(self.made(top.clone().into(), From::Directory));
                for (name, path) in files {
                    field::below("name of what was built", name)?;
                    for (end, _) in name.match_indices('/') {
                        let directory = format!("{top}{}", &name[..=end]);
                        members.push(self.made(directory.into(), From::Directory));
                    }
                    let name = format!("{top}{name}").into();
                    members.push(self.led_to(name, path, From::File(path.clone()))?);
                }
                Ok(())
            }
        }
    }

    /// Adds a directory and all below it; `name` ends in a slash.
    fn add_tree(
        &self,
        directory: &Path,
        name: &[u8],
        members: &mut Vec<Member>,
    ) -> Result<(), PublishError> {
        // A link to the top is followed: dkms has the source behind one.
        members.push(self.led_to(name.to_vec(), directory, From::Directory)?);
        self.add_entries(directory, name, members)
    }

    fn add_entries(
        &self,
        directory: &Path,
        name: &[u8],
        members: &mut Vec<Member>,
    ) -> Result<(), PublishError> {
        let failed = |source| PublishError::read(directory)(source);
        for entry in fs::read_dir(directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = entry.path();
            let metadata = entry.metadata().map_err(PublishError::read(&path))?;
            let mut inside = [name, entry.file_name().as_bytes()].concat();
            if metadata.is_dir() {
                inside.push(b'/');
                members.push(self.found(inside.clone(), &metadata, From::Directory));
                self.add_entries(&path, &inside, members)?;
            } else if metadata.is_symlink() {
                let target = fs::read_link(&path).map_err(PublishError::read(&path))?;
                members.push(self.found(inside, &metadata, From::Link(target)));
            } else if metadata.is_file() {
                members.push(self.found(inside, &metadata, From::File(path)));
            } else if !metadata.file_type().is_socket() {
                return Err(PublishError::Special { path });
            }
        }
        Ok(())
    }

    /// A member that is nobody's file, or whose attributes do not matter.
    fn made(&self, name: Vec<u8>, from: From) -> Member {
        let (mode, seconds) = match (&self.times, &from) {
            (Times::At(date), From::Directory) => (0o755, date.seconds()),
            (Times::At(date), _) => (0o644, date.seconds()),
            (Times::Kept, From::Directory) => (0o755, 0),
            (Times::Kept, _) => (0o644, 0),
        };
        Member {
            name,
            mode,
            seconds,
            from,
            is_public: true,
        }
    }

    /// The mode of a file with these members.
    fn mode_of(&self, members: &[Member]) -> u32 {
        let is_published = matches!(self.times, Times::At(_));
        match is_published || members.iter().all(|member| member.is_public) {
            true => 0o666,
            false => 0o600,
        }
    }

    /// What a path leads to from outside of all that is archived.
    fn led_to(&self, name: Vec<u8>, path: &Path, from: From) -> Result<Member, PublishError> {
        let metadata = fs::metadata(path).map_err(PublishError::read(path))?;
        let mut member = self.found(name, &metadata, from);
        member.is_public &= is_public_way(path);
        Ok(member)
    }

    fn found(&self, name: Vec<u8>, metadata: &Metadata, from: From) -> Member {
        let mode = metadata.mode();
        let (mode, seconds) = match self.times {
            Times::Kept => (
                mode & 0o777,
                u64::try_from(metadata.mtime()).unwrap_or_default(),
            ),
            Times::At(date) => {
                let common = match from {
                    From::Link(_) => 0o777,
                    From::Directory => 0o755,
                    _ if mode & 0o111 != 0 => 0o755,
                    _ => 0o644,
                };
                (common, date.seconds())
            }
        };
        Member {
            name,
            mode,
            seconds,
            is_public: is_public(metadata),
            from,
        }
    }
}

/// Whether everybody may read a file, or list a directory and go there.
fn is_public(metadata: &Metadata) -> bool {
    let needed = match metadata.is_dir() {
        true => 0o055,
        false => 0o044,
    };
    metadata.is_symlink() || metadata.mode() & needed == needed
}

/// Whether everybody may go where a path leads.
fn is_public_way(path: &Path) -> bool {
    let whole = fs::canonicalize(path);
    whole.is_ok_and(|whole| {
        let mut above = whole.ancestors().skip(1).map(fs::metadata);
        above.all(|found| found.is_ok_and(|found| found.mode() & 0o011 == 0o011))
    })
}

fn write_members<W: Write>(members: &[Member], path: &Path, to: W) -> Result<W, PublishError> {
    let failed = |source| PublishError::write(path)(source);
    let mut archive = Archive::new(to);
    for member in members {
        let (mut file, mut text);
        let content = match &member.from {
            From::Directory => Content::Directory,
            From::Link(target) => Content::Link(target.as_os_str().as_bytes()),
            From::Text(said) => {
                text = said.as_bytes();
                Content::File(text.len() as u64, &mut text)
            }
            From::File(from) => {
                let size;
                (file, size) = input::open(from)?;
                Content::File(size, &mut file)
            }
        };
        archive
            .append(&member.name, member.mode, member.seconds, content)
            .map_err(failed)?;
    }
    archive.finish().map_err(failed)
}
