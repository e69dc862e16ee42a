//! Opening: what is made, what is refused, and that what is refused is not touched.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use kiln_cache::{Store, StoreError};

use crate::fixture::{Cache, files, root_or_skip};
use crate::process;

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_cache_is_made_with_its_parents() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("not/there/cache");
    Store::open(&path).unwrap();
    assert_eq!(
        names(&path),
        [
            "CACHEDIR.TAG",
            "actions",
            "damaged",
            "format",
            "index",
            "objects",
            "tmp"
        ]
    );
    assert_eq!(fs::read_to_string(path.join("format")).unwrap(), "1\n");
    let tag = fs::read_to_string(path.join("CACHEDIR.TAG")).unwrap();
    assert!(tag.starts_with("Signature: 8a477f597d28d172789f06886806bc55\n"));
    assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o755);
    assert_eq!(
        path.join("objects").metadata().unwrap().mode() & 0o7777,
        0o755
    );
    Store::open(&path).unwrap();
}

#[test]
fn a_creation_that_was_interrupted_is_completed() {
    let dir = tempfile::tempdir().unwrap();
    for made in ["objects", "tmp"] {
        fs::create_dir(dir.path().join(made)).unwrap();
    }
    fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    Store::open(dir.path()).unwrap();
    assert!(dir.path().join("format").is_file());
}

#[test]
fn a_directory_of_something_else_is_refused_untouched() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("thesis.tex"), "x").unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::NotACache { path } if path == dir.path()));
    assert_eq!(names(dir.path()), ["thesis.tex"]);
}

#[test]
fn a_directory_whose_names_are_as_a_caches_is_refused_untouched() {
    for path in [
        "index/notes.txt",
        "index/sub/more.txt",
        "damaged/photo.jpg",
        "objects/ab/thesis",
        "actions/x",
        "tmp/lease-contract.txt",
        "tmp/work-report/x",
        "tmp/gc.lock/x",
        "index",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "x").unwrap();
        for result in [Store::open(dir.path()), Store::open_reading(dir.path())] {
            let error = result.unwrap_err();
            assert!(
                matches!(error, StoreError::NotACache { .. }),
                "{path:?}: {error}"
            );
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "x");
    }
}

#[test]
fn a_newer_format_is_refused_untouched() {
    let cache = Cache::new();
    cache.publish("x");
    fs::write(cache.path().join("format"), "7\n").unwrap();
    let before = files(&cache.path());
    for error in [
        Store::open(&cache.path()).unwrap_err(),
        Store::open_reading(&cache.path()).unwrap_err(),
    ] {
        assert!(
            matches!(
                error,
                StoreError::NewerFormat {
                    found: 7,
                    supported: 1,
                    ..
                }
            ),
            "{error:?}"
        );
    }
    assert_eq!(files(&cache.path()), before);
}

#[test]
fn a_format_that_makes_no_sense_is_refused() {
    let cache = Cache::new();
    for text in ["", "x\n", "-1", "0\n"] {
        fs::write(cache.path().join("format"), text).unwrap();
        let error = Store::open(&cache.path()).unwrap_err();
        assert!(
            matches!(error, StoreError::Corrupt { .. }),
            "{text:?}: {error:?}"
        );
    }
}

#[test]
fn a_cache_that_others_may_write_to_is_refused() {
    let own = ["", "objects", "actions", "index", "tmp", "damaged"];
    let below = ["kernels", "objects/ab", "actions/10", "strange"];
    for part in own.into_iter().chain(below) {
        for writable in [0o775, 0o757] {
            let cache = Cache::new();
            let part = if part.is_empty() {
                cache.path()
            } else {
                cache.path().join(part)
            };
            fs::create_dir_all(&part).unwrap();
            fs::set_permissions(&part, PermissionsExt::from_mode(writable)).unwrap();
            for error in [
                Store::open(&cache.path()).unwrap_err(),
                Store::open_reading(&cache.path()).unwrap_err(),
            ] {
                assert!(
                    matches!(&error, StoreError::WritableByOthers { path, mode } if *path == part && *mode == writable),
                    "{error:?}"
                );
            }
        }
    }
}

#[test]
fn a_cache_that_others_may_exchange_is_refused_and_not_made() {
    let ground = tempfile::tempdir().unwrap();
    let (open, link) = (ground.path().join("open"), ground.path().join("link"));
    fs::create_dir(&open).unwrap();
    let refused = |path: &Path, mode: u32| {
        fs::set_permissions(&open, PermissionsExt::from_mode(mode)).unwrap();
        match Store::open(path) {
            Ok(_) => false,
            Err(StoreError::Exposed { source, .. }) => source.path() == open,
            Err(error) => panic!("{error:?}"),
        }
    };
    assert!(refused(&open.join("cache"), 0o777));
    assert!(!open.join("cache").exists());
    assert!(
        !refused(&open.join("cache"), 0o1777),
        "nobody else's can be moved"
    );
    assert!(refused(&open.join("cache"), 0o777));
    symlink("open/cache", &link).unwrap();
    assert!(refused(&link, 0o777));
    assert!(!refused(&link, 0o755));
    assert!(Store::open_reading(&link).is_ok());
}

#[test]
fn a_link_of_another_user_leads_to_no_cache() {
    if !root_or_skip("link of another user") {
        return;
    }
    let cache = Cache::new();
    let link = cache.dir.path().join("link");
    symlink(cache.path(), &link).unwrap();
    Store::open(&link).unwrap();
    std::os::unix::fs::lchown(&link, Some(1234), None).unwrap();
    let error = Store::open(&link).unwrap_err();
    assert!(matches!(&error, StoreError::Exposed { .. }), "{error:?}");
}

#[test]
fn a_part_that_is_a_link_or_a_file_is_refused() {
    let cache = Cache::new();
    let elsewhere = cache.dir.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let objects = cache.path().join("objects");
    fs::remove_dir(&objects).unwrap();
    symlink(&elsewhere, &objects).unwrap();
    let error = Store::open(&cache.path()).unwrap_err();
    assert!(matches!(error, StoreError::NotADirectory { path } if path == objects));

    let file = cache.dir.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("below")] {
        let error = Store::open(&path).unwrap_err();
        assert!(
            matches!(&error, StoreError::NotADirectory { .. }),
            "{error:?}"
        );
    }
}

#[test]
fn a_cache_of_another_user_is_refused() {
    if !root_or_skip("cache of another user") {
        return;
    }
    let cache = Cache::new();
    chown(cache.path().join("tmp"), Some(1234), None).unwrap();
    let error = Store::open(&cache.path()).unwrap_err();
    assert!(
        matches!(error, StoreError::NotOurs { owner: 1234, .. }),
        "{error:?}"
    );

    let ours = Cache::new();
    fs::set_permissions(ours.dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    for role in ["open", "open_reading"] {
        let error = process::as_nobody(role, &ours.path());
        assert!(
            error.starts_with("NotOurs") && error.contains("owner: 0"),
            "{error}"
        );
    }
}

#[test]
fn a_directory_that_may_not_be_written_is_read_only() {
    if !root_or_skip("directory without permission") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let error = process::as_nobody("open", &dir.path().join("cache"));
    assert!(error.starts_with("ReadOnly"), "{error}");
    let owned = dir.path().join("owned");
    fs::create_dir(&owned).unwrap();
    fs::set_permissions(&owned, PermissionsExt::from_mode(0o555)).unwrap();
    chown(&owned, Some(65_534), None).unwrap();
    let error = process::as_nobody("open", &owned);
    assert!(error.starts_with("ReadOnly"), "{error}");
}

#[test]
fn where_there_is_no_cache_there_is_nothing_to_read() {
    let dir = tempfile::tempdir().unwrap();
    for path in [dir.path().to_path_buf(), dir.path().join("missing")] {
        let error = Store::open_reading(&path).unwrap_err();
        assert!(matches!(error, StoreError::Missing { .. }), "{error:?}");
    }
    assert_eq!(names(dir.path()), [""; 0]);
}

#[test]
fn many_may_make_the_same_cache_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let path: PathBuf = dir.path().join("cache");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| Store::open(&path).unwrap());
        }
    });
    assert_eq!(names(&path).len(), 7);
}
