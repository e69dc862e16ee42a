//! Everything that can have a file's name.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::{Unreadable, open, read, read_at_once, read_text_at_once};

#[test]
fn nothing_but_a_regular_file_is_opened_and_nothing_waits() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("file"), "content").unwrap();
    assert_eq!(read(&at("file"), 7).unwrap(), b"content");

    mknodat(CWD, at("fifo"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    symlink("file", at("link")).unwrap();
    fs::create_dir(at("directory")).unwrap();
    let _socket = UnixListener::bind(at("socket")).unwrap();
    for name in ["fifo", "link", "directory", "socket"] {
        let refused = open(&at(name), 7);
        assert!(matches!(refused, Err(Unreadable::NotRegular)), "{name}");
    }
    let device = std::path::Path::new("/dev/zero");
    assert!(matches!(open(device, 7), Err(Unreadable::NotRegular)));
    for name in ["nothing", "file/below"] {
        let refused = open(&at(name), 7);
        assert!(matches!(refused, Err(Unreadable::Missing)), "{name}");
    }
}

#[test]
fn what_a_person_may_have_put_there_is_read_at_once_or_named() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("file"), "content").unwrap();
    symlink("file", at("link")).unwrap();
    symlink("/dev/null", at("null")).unwrap();
    for (name, content) in [("file", "content"), ("link", "content"), ("null", "")] {
        assert_eq!(read_text_at_once(&at(name), 7).unwrap(), content, "{name}");
    }
    let status = std::path::Path::new("/proc/self/status");
    assert!(!read_at_once(status, 1 << 20).unwrap().is_empty());

    mknodat(CWD, at("fifo"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    symlink("fifo", at("link to a fifo")).unwrap();
    let _socket = UnixListener::bind(at("socket")).unwrap();
    symlink("/dev/zero", at("zeros")).unwrap();
    File::create(at("huge")).unwrap().set_len(1 << 40).unwrap();
    fs::create_dir(at("directory")).unwrap();
    for (name, said) in [
        ("fifo", "it is a pipe"),
        ("link to a fifo", "it is a pipe"),
        ("socket", "it is a socket"),
        ("zeros", "it is a device"),
        ("huge", "it has more than 7 bytes"),
        ("directory", "Is a directory"),
    ] {
        let error = read_at_once(&at(name), 7).unwrap_err();
        assert!(error.to_string().contains(said), "{name}: {error}");
    }
    let error = read_at_once(&at("nothing"), 7).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    // What has no length to be told has an end.
    assert!(read_at_once(status, 7).is_err());
}

#[test]
fn a_file_larger_than_it_can_be_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    File::create(&path).unwrap().set_len(1 << 40).unwrap();
    assert!(matches!(read(&path, 100), Err(Unreadable::TooLarge)));
}
