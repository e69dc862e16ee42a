//! Full, read-only and several file systems: real ones, mounted in a namespace of another process's own.

use std::{
    error::Error,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use super::{
    super::TransactionError,
    begin,
    ground::{self, Ground, Tree},
};

/// Where the other process works.
const ROOT: &str = "KILN_TRANSACTION_ROOT";

/// Runs a shell script in a mount namespace, with `$ROOT` to mount in and `play ROLE` to play a role there. False,
/// loudly, where nobody may mount.
fn in_namespace(script: &str) -> bool {
    if !rustix::process::geteuid().is_root() {
        let mut loud = io::stderr();
        let _ = io::Write::write_all(&mut loud, b"SKIPPED: mounting file systems needs root\n");
        return false;
    }
    let ground = Ground::bare();
    let name = module_path!().split_once("::").unwrap().1;
    let exe = std::env::current_exe().unwrap();
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-euc"])
        .arg(format!(
            "play() {{ '{}' {name}::$1 --exact --ignored --nocapture; }}\n{script}",
            exe.display()
        ))
        .env("ROOT", ground.root())
        .env(ROOT, ground.root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    true
}

fn root() -> PathBuf {
    std::env::var_os(ROOT).unwrap().into()
}

/// Commits the usual changes where they cannot be prepared: nothing has changed then.
fn fail_to_change(root: &Path, kind: io::ErrorKind) -> PathBuf {
    let before = ground::tree(root);
    let mut transaction = begin(&root.join("K"));
    ground::record(&mut transaction, root);
    let error = transaction.commit().unwrap_err();
    assert!(error.source().is_some());
    let TransactionError::Write { path, source } = error else {
        panic!("{error:?}");
    };
    assert_eq!(source.kind(), kind);
    assert_eq!(ground::tree(root), before);
    drop(transaction);
    drop(begin(&root.join("K")));
    assert_eq!(ground::tree(root), before);
    path
}

fn change(root: &Path) -> Tree {
    let mut transaction = begin(&root.join("K"));
    ground::record(&mut transaction, root);
    transaction.commit().unwrap();
    transaction.finish().unwrap();
    ground::tree(root)
}

#[test]
fn on_a_full_disk_nothing_is_changed() {
    in_namespace(
        r#"mount -t tmpfs -o size=1m,mode=755 none "$ROOT"
           play full"#,
    );
}

#[test]
#[ignore = "the other process of a test"]
fn full() {
    let root = root();
    ground::fill(&root);
    // Any amount of space that is not enough, down to none at all.
    let ballast = root.join("ballast");
    let mut size = 1 << 20;
    fs::write(&ballast, vec![1; size]).unwrap_err();
    let mut failures = 0;
    loop {
        let mut transaction = begin(&root.join("K"));
        ground::record(&mut transaction, &root);
        let before = ground::tree(&root);
        match transaction.commit() {
            Ok(()) => break,
            Err(TransactionError::Write { source, .. }) => {
                assert_eq!(source.kind(), io::ErrorKind::StorageFull);
                assert!(ground::tree(&root) == before, "something was left");
            }
            Err(error) => panic!("{error:?}"),
        }
        failures += 1;
        drop(transaction);
        size = fs::metadata(&ballast).unwrap().len() as usize - 4096;
        fs::File::options()
            .write(true)
            .open(&ballast)
            .unwrap()
            .set_len(size as u64)
            .unwrap();
    }
    assert!(failures > 2, "{failures}");
}

#[test]
fn a_read_only_file_system_fails_at_the_commit_only() {
    in_namespace(
        r#"mount -t tmpfs -o mode=755 none "$ROOT"
           play fill
           mount -o remount,ro none "$ROOT"
           play all_read_only"#,
    );
}

#[test]
fn a_read_only_dkms_tree_leaves_the_kernel_alone() {
    in_namespace(
        r#"mount -t tmpfs -o mode=755 none "$ROOT"
           play fill
           mount --bind "$ROOT/dkms" "$ROOT/dkms"
           mount -o remount,bind,ro "$ROOT/dkms"
           play dkms_read_only
           umount "$ROOT/dkms"
           mount --bind "$ROOT/K" "$ROOT/K"
           mount -o remount,bind,ro "$ROOT/K"
           play all_read_only"#,
    );
}

#[test]
fn file_systems_of_their_own_make_no_difference() {
    in_namespace(
        r#"for each in K dkms K/updates; do
               mkdir -p "$ROOT/$each"
               mount -t tmpfs -o mode=755 none "$ROOT/$each"
           done
           play fill
           play change_all"#,
    );
}

#[test]
#[ignore = "the other process of a test"]
fn fill() {
    ground::fill(&root());
}

#[test]
#[ignore = "the other process of a test"]
fn all_read_only() {
    let path = fail_to_change(&root(), io::ErrorKind::ReadOnlyFilesystem);
    assert_eq!(path, root().join("K/.kiln"));
}

#[test]
#[ignore = "the other process of a test"]
fn dkms_read_only() {
    let path = fail_to_change(&root(), io::ErrorKind::ReadOnlyFilesystem);
    assert!(path.starts_with(root().join("dkms")), "{path:?}");
    // Nothing but a removal: found out before anything is renamed.
    let mut transaction = begin(&root().join("K"));
    transaction
        .put_bytes("new", &root().join("K/updates/dkms/a.ko"))
        .unwrap();
    transaction
        .remove(&root().join("dkms/a/kernel-K-x"))
        .unwrap();
    let error = transaction.commit().unwrap_err();
    assert!(matches!(error, TransactionError::Write { .. }), "{error:?}");
}

#[test]
#[ignore = "the other process of a test"]
fn change_all() {
    let root = root();
    let original = fs::File::options()
        .append(true)
        .open(root.join("K/kernel/b.ko"));
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
    original.unwrap().set_modified(long_ago).unwrap();
    assert_eq!(change(&root), ground::states()[1]);
    let archived = root.join("dkms/b/original_module/K/x/b.ko");
    assert_eq!(archived.metadata().unwrap().modified().unwrap(), long_ago);
}
