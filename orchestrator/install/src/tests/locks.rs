//! Who waits for whom.

use std::{
    fs::{self, File},
    sync::mpsc,
    thread,
    time::Duration,
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

use super::{
    super::{Transaction, lock_package},
    begin, content,
    ground::Ground,
    tree_of,
};

/// After this long, nobody is going to wait for anybody any more.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn one_transaction_at_a_time_changes_a_kernel() {
    let ground = Ground::bare();
    let (kernel, module) = (ground.kernel(), ground.path("K/x.ko"));
    let mut first = begin(&kernel);
    let (tell, told) = mpsc::channel();
    thread::scope(|scope| {
        let second = scope.spawn(|| {
            let transaction =
                Transaction::begin(&kernel, &tree_of(&kernel), &mut || tell.send(()).unwrap());
            content(&transaction.unwrap(), &module).unwrap()
        });
        told.recv_timeout(PATIENCE).unwrap();
        first.put_bytes("done", &module).unwrap();
        first.commit().unwrap();
        drop(first);
        assert_eq!(second.join().unwrap(), b"done");
    });
}

#[test]
fn who_waited_for_a_kernel_that_was_replaced_locks_the_new_one() {
    let ground = Ground::bare();
    let kernel = ground.kernel();
    let first = begin(&kernel);
    let (tell, told) = mpsc::channel();
    thread::scope(|scope| {
        let second = scope.spawn(|| {
            Transaction::begin(&kernel, &tree_of(&kernel), &mut || tell.send(()).unwrap())
        });
        told.recv_timeout(PATIENCE).unwrap();
        fs::rename(&kernel, ground.path("away")).unwrap();
        fs::create_dir(&kernel).unwrap();
        drop(first);
        let second = second.join().unwrap().unwrap();
        let directory = File::open(&kernel).unwrap();
        let free = flock(&directory, FlockOperation::NonBlockingLockExclusive);
        assert_eq!(free, Err(Errno::WOULDBLOCK));
        drop(second);
    });
}

#[test]
fn packages_are_locked_one_by_one() {
    let ground = Ground::bare();
    let [one, other] = ["dkms/one/1", "dkms/other/1"].map(|inner| ground.path(inner));
    fs::create_dir_all(&one).unwrap();
    fs::create_dir_all(&other).unwrap();
    let nobody = &mut || ();
    let _one = lock_package(&one, nobody).unwrap().unwrap();
    let _other = lock_package(&other, nobody).unwrap().unwrap();
}

#[test]
fn a_package_that_is_being_added_is_waited_for() {
    let ground = Ground::bare();
    let [version, other] = ["dkms/one/1", "dkms/other/1"].map(|inner| ground.path(inner));
    fs::create_dir_all(&other).unwrap();
    let mut adding = lock_package(&version, &mut || ()).unwrap().unwrap();
    fs::create_dir_all(&version).unwrap();
    let (tell, told) = mpsc::channel();
    thread::scope(|scope| {
        let second = scope.spawn(|| {
            let lock = lock_package(&version, &mut || tell.send(()).unwrap());
            assert!(version.join("source").exists());
            lock.unwrap().unwrap();
        });
        told.recv_timeout(PATIENCE).unwrap();
        adding.narrow(&version).unwrap();
        // Others need not wait any longer, but this one must.
        lock_package(&other, &mut || ()).unwrap().unwrap();
        fs::write(version.join("source"), "").unwrap();
        drop(adding);
        second.join().unwrap();
    });
}

#[test]
fn a_package_that_was_added_while_waiting_for_the_tree_is_locked_by_itself() {
    let ground = Ground::bare();
    let (tree, version) = (ground.path("dkms"), ground.path("dkms/one/1"));
    fs::create_dir(&tree).unwrap();
    let directory = File::open(&tree).unwrap();
    flock(&directory, FlockOperation::LockShared).unwrap();
    let mut add = || {
        fs::create_dir_all(&version).unwrap();
        flock(&directory, FlockOperation::Unlock).unwrap();
    };
    let _lock = lock_package(&version, &mut add).unwrap().unwrap();
    flock(&directory, FlockOperation::NonBlockingLockExclusive).unwrap();
    let version = File::open(&version).unwrap();
    let free = flock(&version, FlockOperation::NonBlockingLockExclusive);
    assert_eq!(free, Err(Errno::WOULDBLOCK));
}

#[test]
fn without_a_dkms_tree_there_is_nothing_to_lock() {
    let ground = Ground::bare();
    let nothing = lock_package(&ground.path("dkms/one/1"), &mut || ());
    assert!(nothing.unwrap().is_none());
}

#[test]
fn whoever_may_only_read_a_directory_keeps_root_from_nothing() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: who is not root locks the directories themselves");
        return;
    }
    let ground = Ground::bare();
    let (kernel, version) = (ground.kernel(), ground.path("dkms/one/1"));
    fs::create_dir_all(&version).unwrap();
    // Somebody else's descriptors, by which nothing can be written.
    let held = [&kernel, &version, &ground.path("dkms")].map(|path| File::open(path).unwrap());
    for directory in &held {
        flock(directory, FlockOperation::NonBlockingLockExclusive).unwrap();
    }
    let (give, given) = mpsc::channel();
    let (tell, told) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            let package = lock_package(&version, &mut || ()).unwrap().unwrap();
            let transaction = begin(&kernel);
            give.send((package, transaction)).unwrap();
        });
        let locks = given.recv_timeout(PATIENCE);
        // So that a thread that waits for them ends.
        drop(held);
        let (package, _transaction) = locks.expect("both are locked");
        // They keep out who ought to be kept out.
        let other = scope.spawn(|| {
            lock_package(&version, &mut || tell.send(()).unwrap()).unwrap();
        });
        told.recv_timeout(PATIENCE).unwrap();
        drop(package);
        other.join().unwrap();
    });
}
