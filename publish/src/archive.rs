//! tar archives as GNU tar writes them, of members that all belong to root.
//!
//! Names keep the `./` in front that dpkg-deb and `tar .` give them, which the `tar` crate
//! takes off names that it is given as paths; so names are put into the headers here.

use std::io::{self, Read, Write};

use tar::{EntryType, Header};

/// The name that GNU tar gives to members that only hold a long name.
const LONG_LINK: &[u8] = b"././@LongLink";

/// What a member is.
pub(crate) enum Content<'a> {
    Directory,
    /// A file of so many bytes, and where they are read.
    File(u64, &'a mut dyn Read),
    /// A symbolic link to a path.
    Link(&'a [u8]),
}

/// Writes one archive.
pub(crate) struct Archive<W: Write> {
    builder: tar::Builder<W>,
}

impl<W: Write> Archive<W> {
    pub(crate) fn new(to: W) -> Self {
        Self {
            builder: tar::Builder::new(to),
        }
    }

    /// Adds a member; `name` is as it is to be read, for instance `./lib/modules/`.
    pub(crate) fn append(
        &mut self,
        name: &[u8],
        mode: u32,
        seconds: u64,
        content: Content<'_>,
    ) -> io::Result<()> {
        let mut header = header(mode, seconds);
        let mut nothing: &[u8] = &[];
        let (kind, size, data, link): (_, _, &mut dyn Read, &[u8]) = match content {
            Content::Directory => (EntryType::Directory, 0, &mut nothing, &[]),
            Content::File(size, data) => (EntryType::Regular, size, data, &[]),
            Content::Link(to) => (EntryType::Symlink, 0, &mut nothing, to),
        };
        header.set_entry_type(kind);
        header.set_size(size);
        let gnu = header.as_gnu_mut().expect("it was made as a GNU header");
        if !fits(&mut gnu.linkname, link) {
            self.append_long(EntryType::GNULongLink, link)?;
        }
        if !fits(&mut gnu.name, name) {
            self.append_long(EntryType::GNULongName, name)?;
        }
        header.set_cksum();
        let mut stated = data.take(size);
        self.builder.append(&header, &mut stated)?;
        // It has no other length than the header says.
        let is_short = stated.limit() > 0;
        if is_short || stated.into_inner().read(&mut [0])? > 0 {
            let changed = "a file has another length than when it was opened";
            return Err(io::Error::new(io::ErrorKind::InvalidData, changed));
        }
        Ok(())
    }

    /// Writes the end of the archive, and gives back where it went.
    pub(crate) fn finish(self) -> io::Result<W> {
        self.builder.into_inner()
    }

    fn append_long(&mut self, kind: EntryType, name: &[u8]) -> io::Result<()> {
        let mut header = header(0o644, 0);
        header.set_entry_type(kind);
        header.set_size(name.len() as u64 + 1);
        let gnu = header.as_gnu_mut().expect("it was made as a GNU header");
        fits(&mut gnu.name, LONG_LINK);
        header.set_cksum();
        let data = [name, b"\0"].concat();
        self.builder.append(&header, &data[..])
    }
}

fn header(mode: u32, seconds: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_mode(mode);
    header.set_mtime(seconds);
    header.set_uid(0);
    header.set_gid(0);
    for set in [Header::set_username, Header::set_groupname] {
        set(&mut header, "root").expect("the name is shorter than its field");
    }
    header
}

/// Fills a field with as much of a name as it holds; whether that is all.
fn fits(field: &mut [u8; 100], name: &[u8]) -> bool {
    let held = name.len().min(field.len());
    field[..held].copy_from_slice(&name[..held]);
    held == name.len()
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::ffi::OsStrExt, process::Command};

    use super::*;

    #[test]
    fn a_file_of_another_length_is_refused() {
        for size in [6, 8] {
            let mut archive = Archive::new(Vec::new());
            let mut data = &b"content"[..];
            let content = Content::File(size, &mut data);
            archive.append(b"./file", 0o644, 1, content).unwrap_err();
        }
    }

    #[test]
    fn tar_reads_names_of_any_length() {
        let long = format!("./{}/", "d".repeat(120));
        let file = format!("{long}{}", "f".repeat(99));
        let target = "t".repeat(150);
        let mut archive = Archive::new(Vec::new());
        for (name, content) in [
            ("./", Content::Directory),
            (&long, Content::Directory),
            (&file, Content::File(7, &mut &b"content"[..])),
            ("./link", Content::Link(target.as_bytes())),
        ] {
            archive.append(name.as_bytes(), 0o755, 1, content).unwrap();
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.tar");
        fs::write(&path, archive.finish().unwrap()).unwrap();
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(directory.path()).arg("-xf").arg(&path);
        assert!(tar.status().unwrap().success());
        let list = Command::new("tar").arg("-tf").arg(&path).output().unwrap();
        let listed = String::from_utf8(list.stdout).unwrap();
        assert_eq!(listed, format!("./\n{long}\n{file}\n./link\n"));
        assert_eq!(fs::read(directory.path().join(&file)).unwrap(), b"content");
        let link = fs::read_link(directory.path().join("link")).unwrap();
        assert_eq!(link.as_os_str().as_bytes(), target.as_bytes());
    }
}
