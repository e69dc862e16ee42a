//! Everything that can have a file's name.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::{Unreadable, open, read};

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
fn a_file_larger_than_it_can_be_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    File::create(&path).unwrap().set_len(1 << 40).unwrap();
    assert!(matches!(read(&path, 100), Err(Unreadable::TooLarge)));
}
