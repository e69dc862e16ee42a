use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
};

use kiln_cache::Store;

use super::*;
use crate::fingerprints::Fingerprints;

/// A directory with a file, and what sees to it.
struct World {
    directory: tempfile::TempDir,
    store: Store,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("cache")).unwrap();
        fs::create_dir(directory.path().join("tree")).unwrap();
        let world = Self { directory, store };
        fs::write(world.file(), "a").unwrap();
        world
    }

    fn tree(&self) -> PathBuf {
        self.directory.path().join("tree")
    }

    fn file(&self) -> PathBuf {
        self.tree().join("file")
    }

    fn witness_of_tree(&self) -> Arc<Witness> {
        let mut fingerprints = Fingerprints::new(&self.store);
        let witness = fingerprints.tree_witness(&self.tree()).unwrap();
        assert_eq!(witness.steady(), Ok(()));
        witness
    }

    fn witness_of_file(&self, path: &Path) -> Arc<Witness> {
        let mut fingerprints = Fingerprints::new(&self.store);
        let witness = fingerprints.file_witness(path).unwrap();
        assert_eq!(witness.steady(), Ok(()));
        witness
    }

    fn witness_of_spot(&self, path: &Path) -> Arc<Witness> {
        let mut fingerprints = Fingerprints::new(&self.store);
        let witness = fingerprints.spot_witness(path).unwrap();
        assert_eq!(witness.steady(), Ok(()));
        witness
    }
}

#[test]
fn what_was_left_alone_has_not_moved() {
    let world = World::new();
    let tree = world.witness_of_tree();
    let file = world.witness_of_file(&world.file());
    let nothing = world.witness_of_spot(&world.tree().join("nothing"));
    for witness in [tree, file, nothing] {
        assert_eq!(witness.moved(Instant::now()), None);
    }
}

#[test]
fn an_input_that_got_its_old_content_back_has_moved() {
    let world = World::new();
    let tree = world.witness_of_tree();
    let file = world.witness_of_file(&world.file());
    fs::write(world.file(), "b").unwrap();
    fs::write(world.file(), "a").unwrap();
    assert_eq!(tree.moved(Instant::now()), Some(world.file()));
    assert_eq!(file.moved(Instant::now()), Some(world.file()));
}

#[test]
fn a_touch_at_once_after_the_scan_is_seen() {
    // Nothing waits between the writes: the file is as fresh as can be when it is scanned.
    let world = World::new();
    fs::write(world.file(), "b").unwrap();
    let tree = world.witness_of_tree();
    fs::write(world.file(), "c").unwrap();
    fs::write(world.file(), "b").unwrap();
    assert_eq!(tree.moved(Instant::now()), Some(world.file()));
}

#[test]
fn what_changed_before_an_action_starts_is_seen() {
    let world = World::new();
    let mut fingerprints = Fingerprints::new(&world.store);
    let witness = fingerprints.tree_witness(&world.tree()).unwrap();
    fs::write(world.file(), "other").unwrap();
    // It tells at once only where the tree was fresh.
    let _ = witness.steady();
    assert!(witness.moved(Instant::now()).is_some());
}

#[test]
fn modes_names_and_links_that_came_and_went_have_moved() {
    let world = World::new();
    let touches: [fn(&World); 4] = [
        |world| {
            fs::set_permissions(world.file(), fs::Permissions::from_mode(0o700)).unwrap();
            fs::set_permissions(world.file(), fs::Permissions::from_mode(0o644)).unwrap();
        },
        |world| {
            fs::write(world.tree().join("new"), "").unwrap();
            fs::remove_file(world.tree().join("new")).unwrap();
        },
        |world| {
            fs::rename(world.file(), world.tree().join("away")).unwrap();
            fs::rename(world.tree().join("away"), world.file()).unwrap();
        },
        |world| {
            fs::rename(world.tree(), world.directory.path().join("away")).unwrap();
            fs::rename(world.directory.path().join("away"), world.tree()).unwrap();
        },
    ];
    for (at, touch) in touches.into_iter().enumerate() {
        let tree = world.witness_of_tree();
        touch(&world);
        assert!(tree.moved(Instant::now()).is_some(), "touch {at}");
    }
}

#[test]
fn a_link_that_led_elsewhere_for_a_while_has_moved() {
    let world = World::new();
    let link = world.directory.path().join("link");
    symlink(world.file(), &link).unwrap();
    let spot = world.witness_of_spot(&link);
    let file = world.witness_of_file(&link);
    fs::remove_file(&link).unwrap();
    symlink("/etc/passwd", &link).unwrap();
    fs::remove_file(&link).unwrap();
    symlink(world.file(), &link).unwrap();
    // The file is what it was: only the link tells.
    assert_eq!(file.moved(Instant::now()), None);
    assert_eq!(spot.moved(Instant::now()), Some(link));
}

#[test]
fn what_was_not_there_and_is_has_moved() {
    let world = World::new();
    let path = world.directory.path().join("later");
    let spot = world.witness_of_spot(&path);
    fs::create_dir(&path).unwrap();
    assert_eq!(spot.moved(Instant::now()), Some(path));
}

#[test]
fn one_check_serves_all_that_ended_before_it() {
    let world = World::new();
    let tree = world.witness_of_tree();
    let ended = Instant::now();
    assert_eq!(tree.moved(ended), None);
    fs::write(world.file(), "b").unwrap();
    assert_eq!(tree.moved(ended), None, "what came later is another's");
    assert_eq!(tree.moved(Instant::now()), Some(world.file()));
    assert_eq!(
        tree.moved(ended),
        Some(world.file()),
        "what has moved once stays so"
    );
}
