//! What a machine finds on its disk when the power is back.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Timestamps, utimensat};

use super::Machine;
use super::machine::{Content, Known, Node};

/// Picks among a number of states.
type Choose<'a> = &'a mut dyn FnMut(usize) -> usize;

impl Machine {
    /// Makes `to`, which is not there, look as the machine's directory may after a power failure now. Image 0 has
    /// nothing that was not synced, image 1 all of the names, others any part, the same each time.
    ///
    /// # Errors
    ///
    /// When the system refuses to write.
    pub fn image(&self, to: &Path, image: u64) -> io::Result<()> {
        let known = self.known();
        // Another moment, other parts.
        let mut random = fastrand::Rng::with_seed(image ^ (known.noted << 8));
        let mut choose = |count| match image {
            0 => 0,
            1 => count - 1,
            _ => random.usize(..count),
        };
        fs::create_dir_all(to)?;
        known.restore(self.inode, to, &mut choose)
    }

    /// Has the power fail: the machine's directory becomes its own [image](Machine::image).
    ///
    /// # Errors
    ///
    /// As [`Machine::image`].
    pub fn fail(&self, image: u64) -> io::Result<()> {
        fs::remove_dir_all(&self.root)?;
        self.image(&self.root, image)
    }
}

impl Known {
    fn restore(&self, directory: u64, to: &Path, choose: Choose<'_>) -> io::Result<()> {
        let Some(states) = self.directories.get(&directory) else {
            return Ok(());
        };
        for (name, node) in &states[choose(states.len())] {
            let to = to.join(name);
            match node {
                Node::Directory { inode, permissions } => {
                    fs::create_dir(&to)?;
                    self.restore(*inode, &to, choose)?;
                    fs::set_permissions(&to, permissions.clone())?;
                }
                Node::Link { target, modified } => {
                    symlink(target, &to)?;
                    let times = Timestamps {
                        last_access: *modified,
                        last_modification: *modified,
                    };
                    utimensat(CWD, &to, &times, AtFlags::SYMLINK_NOFOLLOW)?;
                }
                Node::File {
                    inode,
                    modified,
                    permissions,
                } => {
                    fs::write(&to, found(self.contents.get(inode), choose))?;
                    fs::File::options()
                        .append(true)
                        .open(&to)?
                        .set_modified(*modified)?;
                    fs::set_permissions(&to, permissions.clone())?;
                }
            }
        }
        Ok(())
    }
}

/// What a file has in it. One that nobody was seen writing has nothing.
fn found(content: Option<&Content>, choose: Choose<'_>) -> Vec<u8> {
    let Some(Content { bytes, is_synced }) = content else {
        return Vec::new();
    };
    if *is_synced {
        return bytes.clone();
    }
    match choose(4) {
        0 => Vec::new(),
        1 => bytes.clone(),
        2 => vec![0; bytes.len()],
        _ => bytes[..bytes.len() / 2].to_vec(),
    }
}
