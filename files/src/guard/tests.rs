//! What is believed and what is not, one way after the other.

use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

/// A directory that is right, with a file `inner/file` in it.
struct Ground(tempfile::TempDir);

impl Ground {
    fn new() -> Self {
        let ground = Self(tempfile::tempdir().unwrap());
        fs::create_dir(ground.path("inner")).unwrap();
        fs::write(ground.path("inner/file"), "text").unwrap();
        ground.permit("inner", 0o755).permit("inner/file", 0o644);
        ground
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn permit(&self, name: &str, mode: u32) -> &Self {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    fn link(&self, target: &str, name: &str) -> &Self {
        symlink(target, self.path(name)).unwrap();
        self
    }

    /// What is wrong with a file, without the directory's own path.
    fn told(&self, name: &str, secrecy: Secrecy) -> String {
        let told = Guard::of_process().inspect(&self.path(name), secrecy);
        let prefix = format!("{}/", self.0.path().display());
        told.map_or_else(|error| error.to_string(), |()| String::new())
            .replace(&prefix, "")
    }

    fn public(&self, name: &str) -> String {
        self.told(name, Secrecy::Public)
    }
}

#[test]
fn nobody_else_may_write_to_it_or_above_it() {
    let ground = Ground::new();
    assert_eq!(ground.public("inner/file"), "");
    ground.permit("inner/file", 0o646);
    let told = ground.public("inner/file");
    assert_eq!(told, "inner/file may be written by others (mode 0646)");
    ground.permit("inner/file", 0o600).permit("inner", 0o757);
    let told = ground.public("inner/file");
    assert_eq!(told, "inner may be written by others (mode 0757)");
}

#[test]
fn a_sticky_directory_may_be_on_the_way_but_not_its_end() {
    let ground = Ground::new();
    ground.permit("inner", 0o1777);
    assert_eq!(ground.public("inner/file"), "");
    let told = ground.public("inner");
    assert_eq!(told, "inner may be written by others (mode 1777)");
}

#[test]
fn every_directory_that_a_link_leads_through_counts() {
    let ground = Ground::new();
    fs::create_dir(ground.path("open")).unwrap();
    ground
        .link("../inner/file", "open/hop")
        .link("open/hop", "link")
        .link("loop", "loop");
    assert_eq!(ground.public("link"), "");
    // Neither above the link nor above the file, but what is between them can be another link.
    ground.permit("open", 0o777);
    let told = ground.public("link");
    assert_eq!(told, "open may be written by others (mode 0777)");
    ground.permit("open", 0o755).permit("inner", 0o777);
    let told = ground.public("link");
    assert_eq!(told, "inner may be written by others (mode 0777)");
    assert!(ground.public("loop").starts_with("cannot access"));
}

#[test]
fn a_way_that_goes_up_again_counts_as_far_as_it_went() {
    let ground = Ground::new();
    fs::create_dir(ground.path("open")).unwrap();
    ground.permit("open", 0o777);
    let told = ground.public("open/../inner/file");
    assert_eq!(told, "open may be written by others (mode 0777)");
}

#[test]
fn root_and_the_user_may_own_it_and_links_to_it() {
    let ground = Ground::new();
    ground.link("inner/file", "link");
    let metadata = ground.path("inner/file").metadata().unwrap();
    let judged = |user| {
        let guard = Guard { user, system: 0 };
        guard.judge(&ground.path("inner/file"), &metadata, Step::Passed)
    };
    assert!(judged(metadata.uid()).is_ok());
    // As in a user namespace, where nobody is root.
    let guard = Guard {
        user: metadata.uid() + 1,
        system: metadata.uid(),
    };
    assert!(guard.must_be_ours(Path::new("/"), &metadata).is_ok());
    assert_eq!(judged(metadata.uid() + 1).is_ok(), metadata.uid() == 0);
    if !rustix::process::geteuid().is_root() {
        return;
    }
    std::os::unix::fs::lchown(ground.path("link"), Some(12345), None).unwrap();
    assert_eq!(ground.public("link"), "link belongs to user 12345");
    assert_eq!(ground.public("inner/file"), "");
    std::os::unix::fs::chown(ground.path("inner"), Some(12345), None).unwrap();
    assert_eq!(ground.public("inner/file"), "inner belongs to user 12345");
}

#[test]
fn the_users_own_group_is_the_user_but_not_with_an_access_list() {
    let ground = Ground::new();
    let user = rustix::process::geteuid().as_raw();
    if ground.path("inner/file").metadata().unwrap().gid() != user {
        return;
    }
    ground.permit("inner/file", 0o664);
    assert_eq!(ground.public("inner/file"), "");
    // The version; owner rw-, user 12345 rw-, group r--, mask rw-, others r--: each a tag, rights and a number.
    let mut list = vec![2, 0, 0, 0];
    for (tag, rights, number) in [
        (1_u16, 6_u16, u32::MAX),
        (2, 6, 12345),
        (4, 4, u32::MAX),
        (16, 6, u32::MAX),
        (32, 4, u32::MAX),
    ] {
        list.extend(tag.to_le_bytes());
        list.extend(rights.to_le_bytes());
        list.extend(number.to_le_bytes());
    }
    let (path, name) = (ground.path("inner/file"), "system.posix_acl_access");
    if rustix::fs::setxattr(path, name, &list, rustix::fs::XattrFlags::empty()).is_ok() {
        let told = ground.public("inner/file");
        assert_eq!(told, "inner/file may be written by others (mode 0664)");
    }
}

#[test]
fn a_secret_is_its_owners_alone() {
    let ground = Ground::new();
    let secret = || ground.told("inner/file", Secrecy::Secret);
    for mode in [0o644, 0o640, 0o604, 0o601] {
        ground.permit("inner/file", mode);
        assert!(secret().contains(&format!("read by others (mode {mode:04o})")));
    }
    let read = Guard::of_process().read(&ground.path("inner/file"), Secrecy::Secret);
    let remedy = read.unwrap_err().remedy().unwrap();
    assert!(remedy.starts_with("chmod go-rwx /") && remedy.ends_with("inner/file"));
    ground.permit("inner/file", 0o600);
    assert_eq!(secret(), "");
    let read = Guard::of_process().read(&ground.path("inner/file"), Secrecy::Secret);
    assert_eq!(**read.unwrap(), *b"text");
}

#[test]
fn what_is_not_there_yet_has_a_way_all_the_same() {
    let ground = Ground::new();
    let way = |name: &str| Guard::of_process().inspect_way(&ground.path(name));
    assert!(way("inner/new/cache").is_ok());
    ground.permit("inner", 0o777);
    assert!(way("inner").is_ok(), "what is at the end is not judged");
    assert!(matches!(
        way("inner/new/cache"),
        Err(Suspicion::Writable { .. })
    ));
}

#[test]
fn one_file_of_a_tree_is_enough() {
    let ground = Ground::new();
    let tree = || Guard::of_process().inspect_tree(&ground.path("."));
    ground.link("/nowhere", "inner/link");
    assert!(tree().is_ok());
    ground.permit("inner/file", 0o666);
    assert!(tree().unwrap_err().path().ends_with("inner/file"));
}

#[test]
fn nothing_but_a_file_is_read_and_nothing_waits() {
    let ground = Ground::new();
    let read = |name: &str| Guard::of_process().read(&ground.path(name), Secrecy::Public);
    assert_eq!(*read("inner/file").unwrap(), b"text");
    let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR);
    rustix::fs::mknodat(rustix::fs::CWD, ground.path("pipe"), kind, mode, 0).unwrap();
    for (name, said) in [("pipe", "it is a pipe"), ("inner", "Is a directory")] {
        let Err(Suspicion::Unknown { source, .. }) = read(name) else {
            panic!("{name}");
        };
        assert!(source.to_string().contains(said), "{source}");
    }
    // The customary way to have a file say nothing.
    ground.link("/dev/null", "nothing");
    assert_eq!(ground.public("nothing"), "");
    assert_eq!(*read("nothing").unwrap(), b"");
}

#[test]
fn the_users_own_is_no_groups_and_not_roots() {
    let ground = Ground::new();
    let told = |guard: Guard| {
        let path = ground.path("inner/file");
        guard.inspect_own(&path, &path.metadata().unwrap()).is_ok()
    };
    let user = rustix::process::geteuid().as_raw();
    assert!(told(Guard::of_process()) && !told(Guard::of(user + 1)));
    for (mode, is_own) in [(0o664, false), (0o646, false), (0o444, true)] {
        ground.permit("inner/file", mode);
        assert_eq!(told(Guard::of_process()), is_own, "{mode:o}");
    }
}
