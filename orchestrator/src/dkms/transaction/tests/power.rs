//! Power failures: what is on disk when only that lasts which was synced, and any part of the rest.
//!
//! A model of the least that file systems promise: a directory comes back as it was when it was synced, or after
//! any number of the operations since; a file that was not synced comes back with the wrong content.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsString,
    fs, io,
    os::unix::fs::{MetadataExt, symlink},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::SystemTime,
};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

use super::{
    super::disk::Operation,
    Watch, begin_watched,
    ground::{self, Ground},
};

/// Images of the disk for each step: nothing unsynced, everything, and some in between.
const IMAGES: u64 = 8;

#[derive(Clone)]
enum Node {
    Directory,
    Link {
        target: PathBuf,
        modified: Timespec,
    },
    File {
        inode: u64,
        modified: SystemTime,
        permissions: fs::Permissions,
    },
}

type Names = BTreeMap<OsString, Node>;

/// Fails from a step on, and knows what had been synced.
struct Power {
    fails_at: usize,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    steps: usize,
    /// What each directory may come back as, the synced state first.
    directories: BTreeMap<PathBuf, Vec<Names>>,
    /// The content of synced files, by inode.
    synced: HashMap<u64, Vec<u8>>,
}

impl Power {
    fn fails_at(step: usize, root: &Path) -> Arc<Self> {
        let mut known = Known::default();
        known.add_all(root);
        Arc::new(Self {
            fails_at: step,
            known: Mutex::new(known),
        })
    }

    fn has_failed(&self) -> bool {
        self.known.lock().unwrap().steps > self.fails_at
    }
}

impl Watch for Power {
    fn before(&self, _: Operation, _: &Path) -> io::Result<()> {
        let mut known = self.known.lock().unwrap();
        known.steps += 1;
        if known.steps > self.fails_at {
            return Err(io::Error::other("no power"));
        }
        Ok(())
    }

    fn after(&self, operation: Operation, path: &Path) {
        let mut known = self.known.lock().unwrap();
        if known.steps > self.fails_at {
            return;
        }
        let inode = path.symlink_metadata().map(|found| found.ino());
        match operation {
            Operation::SyncFile => {
                known.synced.insert(inode.unwrap(), fs::read(path).unwrap());
            }
            Operation::SyncDirectory => {
                if path.is_dir() {
                    let names = names(path);
                    known.directories.insert(path.to_path_buf(), vec![names]);
                }
            }
            _ => {
                if operation == Operation::Write {
                    known.synced.remove(&inode.unwrap());
                }
                if operation == Operation::MakeDirectory {
                    known
                        .directories
                        .insert(path.to_path_buf(), vec![Names::new()]);
                }
                let parent = path.parent().unwrap();
                if let Some(states) = known.directories.get_mut(parent)
                    && parent.is_dir()
                {
                    states.push(names(parent));
                }
            }
        }
    }
}

impl Known {
    fn add_all(&mut self, directory: &Path) {
        let names = names(directory);
        for (name, node) in &names {
            match node {
                Node::Directory => self.add_all(&directory.join(name)),
                Node::File { inode, .. } => {
                    self.synced
                        .insert(*inode, fs::read(directory.join(name)).unwrap());
                }
                Node::Link { .. } => {}
            }
        }
        self.directories
            .insert(directory.to_path_buf(), vec![names]);
    }

    /// Makes a directory what it may come back as; `choose` picks among a number of states.
    fn restore(&self, directory: &Path, choose: &mut dyn FnMut(usize) -> usize) {
        fs::create_dir_all(directory).unwrap();
        let Some(states) = self.directories.get(directory) else {
            return;
        };
        for (name, node) in &states[choose(states.len())] {
            let path = directory.join(name);
            match node {
                Node::Directory => self.restore(&path, choose),
                Node::Link { target, modified } => {
                    symlink(target, &path).unwrap();
                    let times = Timestamps {
                        last_access: *modified,
                        last_modification: *modified,
                    };
                    utimensat(CWD, &path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
                }
                Node::File {
                    inode,
                    modified,
                    permissions,
                } => {
                    let content = self.synced.get(inode).map_or(&b"torn"[..], Vec::as_slice);
                    fs::write(&path, content).unwrap();
                    fs::set_permissions(&path, permissions.clone()).unwrap();
                    let file = fs::File::options().append(true).open(&path).unwrap();
                    file.set_modified(*modified).unwrap();
                }
            }
        }
    }
}

/// What is in a directory, where other threads may be at work: what has just gone is gone.
fn names(directory: &Path) -> Names {
    let node = |path: &Path| {
        let found = path.symlink_metadata()?;
        Ok::<_, io::Error>(if found.is_dir() {
            Node::Directory
        } else if found.is_symlink() {
            Node::Link {
                target: fs::read_link(path)?,
                modified: Timespec {
                    tv_sec: found.mtime(),
                    tv_nsec: found.mtime_nsec(),
                },
            }
        } else {
            Node::File {
                inode: found.ino(),
                modified: found.modified()?,
                permissions: found.permissions(),
            }
        })
    };
    fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter_map(|entry| Some((entry.file_name(), node(&entry.path()).ok()?)))
        .collect()
}

/// Numbers that look random, the same ones each time.
fn scatter(seed: u64) -> u64 {
    let mut x = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Which of the possible states a directory comes back in: for image 0 the first, for 1 the last, else any.
fn chooser(step: usize, image: u64) -> impl FnMut(usize) -> usize {
    let mut seed = step as u64 * IMAGES + image;
    move |count| match image {
        0 => 0,
        1 => count - 1,
        _ => {
            seed = scatter(seed);
            usize::try_from(seed % count as u64).unwrap()
        }
    }
}

/// Has a ground look as after a power failure.
fn restore(ground: &Ground, power: &Power, choose: &mut dyn FnMut(usize) -> usize) {
    fs::remove_dir_all(ground.root()).unwrap();
    let known = power.known.lock().unwrap();
    known.restore(ground.root(), choose);
}

/// Makes the changes until the power fails. Whether they were committed.
fn change(ground: &Ground, power: &Arc<Power>) -> bool {
    let mut transaction = begin_watched(&ground.kernel(), power.clone()).unwrap();
    ground::record(&mut transaction, ground.root());
    transaction.commit().is_ok()
}

#[test]
fn after_a_power_failure_at_any_step_all_is_old_or_new() {
    let states = ground::states();
    let mut ends = [0; 2];
    for step in 0.. {
        let mut has_failed = false;
        for image in 0..IMAGES {
            let ground = Ground::new();
            let power = Power::fails_at(step, ground.root());
            let is_committed = change(&ground, &power);
            has_failed |= power.has_failed();
            restore(&ground, &power, &mut chooser(step, image));

            let when = format!("power failed at {step}, image {image}");
            ground::check(&ground.tree(), &states, &when);
            let is_over = ground.path("K/.kiln/depmod").exists();
            assert!(is_over || !is_committed, "{when}: it would be done again");
            ground.recover();
            let end = states.iter().position(|state| *state == ground.tree());
            let end = end.unwrap_or_else(|| panic!("{when}: {:#?}", ground.tree()));
            ends[end] += 1;
            assert!(
                end == 1 || !is_committed,
                "{when}: what was committed did not last"
            );
        }
        if !has_failed {
            break;
        }
    }
    assert!(ends.iter().all(|end| *end > 100), "{ends:?}");
}

#[test]
fn a_power_failure_while_recovering_changes_nothing() {
    let states = ground::states();
    for step in (0..).step_by(9) {
        if !fail_at_any_step_of_recovery(step, &states) {
            break;
        }
    }
}

/// Has the power fail at a step of the changes, and then at any step of the recovery. Whether there was such a step.
fn fail_at_any_step_of_recovery(step: usize, states: &[ground::Tree; 2]) -> bool {
    for again in 0.. {
        let mut has_failed = false;
        for image in 1..4 {
            let ground = Ground::new();
            let power = Power::fails_at(step, ground.root());
            change(&ground, &power);
            if !power.has_failed() {
                return false;
            }
            restore(&ground, &power, &mut |count| count - 1);

            let power = Power::fails_at(again, ground.root());
            if let Ok(mut transaction) = begin_watched(&ground.kernel(), power.clone()) {
                let _ = transaction.finish();
            }
            has_failed |= power.has_failed();
            restore(&ground, &power, &mut chooser(again, image));

            let when = format!("power failed at {step}, then at {again}, image {image}");
            ground::check(&ground.tree(), states, &when);
            ground.recover();
            assert!(
                states.contains(&ground.tree()),
                "{when}: {:#?}",
                ground.tree()
            );
        }
        if !has_failed {
            break;
        }
    }
    true
}
