//! Archives as an attacker makes them: nothing lands outside, nothing grows beyond the limits.

#![allow(clippy::disallowed_methods)]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::{
    fs,
    io::{self, Read, Write},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use kiln_archive::{ArchiveError, Below, FileMeta, Limits, Target, unpack};
use tar::{EntryType, Header};

/// Small enough for tests that go beyond them.
const LIMITS: Limits = Limits {
    bytes: 1 << 20,
    bytes_are: "bytes",
    members: 100,
    path: 4096,
    names: 32 << 10,
    header: 64 << 10,
    depth: 8,
};

struct World {
    temp: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir(temp.path().join("into")).unwrap();
        Self { temp }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    fn unpack(&self, archive: &Path) -> Result<(), ArchiveError> {
        let mut below = Below::new(&self.path("into")).unwrap();
        unpack(archive, &LIMITS, &mut below).map(drop)
    }

    /// Unpacks these bytes.
    fn take(&self, bytes: &[u8]) -> Result<(), ArchiveError> {
        let archive = self.path("archive");
        fs::write(&archive, bytes).unwrap();
        self.unpack(&archive)
    }

    /// The names next to the directory that was unpacked into.
    fn outside(&self) -> Vec<String> {
        let names = fs::read_dir(self.temp.path()).unwrap();
        let mut names: Vec<String> = names
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "into" && name != "archive")
            .collect();
        names.sort();
        names
    }
}

/// A member of a tarball: kind, path, link, mode, content.
struct Entry<'a>(EntryType, &'a [u8], &'a [u8], u32, &'a [u8]);

fn file<'a>(path: &'a str, content: &'a [u8]) -> Entry<'a> {
    Entry(EntryType::Regular, path.as_bytes(), b"", 0o644, content)
}

fn link<'a>(kind: EntryType, path: &'a str, target: &'a str) -> Entry<'a> {
    Entry(kind, path.as_bytes(), target.as_bytes(), 0o777, b"")
}

fn tar(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for Entry(kind, path, link, mode, content) in entries {
        let mut header = Header::new_gnu();
        header.as_mut_bytes()[..path.len()].copy_from_slice(path);
        header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link);
        header.set_entry_type(*kind);
        header.set_mode(*mode);
        header.set_mtime(0);
        header.set_size(content.len() as u64);
        header.set_cksum();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

fn reason(error: ArchiveError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[test]
fn a_plain_archive_is_unpacked_with_plain_permissions() {
    let world = World::new();
    let long = format!("{}/file", "long".repeat(50));
    world
        .take(&tar(&[
            Entry(EntryType::Directory, b"./a/", b"", 0o700, b""),
            Entry(EntryType::Regular, b"./a/run", b"", 0o6711, b"x"),
            Entry(EntryType::Regular, b"./a/read", b"", 0o600, b"y"),
            Entry(
                EntryType::GNULongName,
                b"././@LongLink",
                b"",
                0o644,
                long.as_bytes(),
            ),
            file("cut", b"z"),
            link(EntryType::Symlink, "a/link", "/etc/passwd"),
            link(EntryType::Link, "a/second", "./a/read"),
        ]))
        .unwrap();
    let mode = |name: &str| {
        let path = world.path("into").join(name);
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    };
    assert_eq!(
        (mode("a"), mode("a/run"), mode("a/read")),
        (0o755, 0o755, 0o644)
    );
    let text = |name: &str| fs::read_to_string(world.path("into").join(name)).unwrap();
    assert_eq!((text(&long), text("a/second")), ("z".into(), "y".into()));
    assert!(
        fs::symlink_metadata(world.path("into/a/link"))
            .unwrap()
            .is_symlink()
    );
}

#[test]
fn no_member_leaves_the_directory() {
    let outside = tempfile::tempdir().unwrap();
    let outside = outside.path().to_str().unwrap();
    let absolute = format!("{outside}/file");
    let kinds = EntryType::Regular;
    let cases: [(&str, Vec<Entry<'_>>, &str); 11] = [
        (
            "absolute",
            vec![file(&absolute, b"x")],
            "has an absolute path",
        ),
        ("climbs", vec![file("../out", b"x")], "leaves the archive"),
        (
            "climbs later",
            vec![file("a/../../out", b"x")],
            "leaves the archive",
        ),
        (
            "through a link",
            vec![link(EntryType::Symlink, "a", outside), file("a/out", b"x")],
            "is below something that is no directory",
        ),
        (
            "over a link",
            vec![link(EntryType::Symlink, "a", &absolute), file("a", b"x")],
            "is there twice",
        ),
        (
            "a directory over a link",
            vec![
                link(EntryType::Symlink, "a", outside),
                Entry(EntryType::Directory, b"a/", b"", 0o755, b""),
            ],
            "is there twice",
        ),
        (
            "a second name of a file outside",
            vec![link(EntryType::Link, "a", "/etc/passwd")],
            "has an absolute path",
        ),
        (
            "a second name of a link",
            vec![
                link(EntryType::Symlink, "a", "/etc/passwd"),
                link(EntryType::Link, "b", "a"),
            ],
            "is a link to a file that is not in the archive",
        ),
        (
            "a device",
            vec![Entry(EntryType::Char, b"null", b"", 0o666, b"")],
            "is no file, directory or link",
        ),
        (
            "a pipe",
            vec![Entry(EntryType::Fifo, b"pipe", b"", 0o666, b"")],
            "is no file, directory or link",
        ),
        (
            "nothing",
            vec![Entry(kinds, b".", b"", 0o644, b"x")],
            "has no name",
        ),
    ];
    for (name, entries, expected) in cases {
        let world = World::new();
        let said = reason(world.take(&tar(&entries)).unwrap_err());
        assert!(said.contains(expected), "{name}: {said}");
        assert_eq!(world.outside(), [""; 0], "{name}");
        assert_eq!(fs::read_dir(outside).unwrap().count(), 0, "{name}");
    }
}

/// Puts a link in the place of each directory as soon as it is made.
struct Swapping<'w> {
    below: Below,
    world: &'w World,
}

impl Target for Swapping<'_> {
    fn directory(&mut self, path: &Path) -> io::Result<()> {
        self.below.directory(path)?;
        let made = self.world.path("into").join(path);
        fs::remove_dir(&made)?;
        symlink(self.world.path("outside"), made)
    }

    fn file(&mut self, path: &Path, meta: FileMeta, content: &mut dyn Read) -> io::Result<()> {
        self.below.file(path, meta, content)
    }

    fn symlink(&mut self, path: &Path, target: &Path) -> io::Result<()> {
        self.below.symlink(path, target)
    }

    fn hard_link(&mut self, path: &Path, existing: &Path) -> io::Result<()> {
        self.below.hard_link(path, existing)
    }
}

#[test]
fn a_link_that_somebody_else_puts_there_is_not_followed() {
    for entry in [
        file("a/file", b"x"),
        link(EntryType::Symlink, "a/link", "b"),
        file("a/b/file", b"x"),
    ] {
        let world = World::new();
        let outside = world.path("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(world.path("archive"), tar(&[entry])).unwrap();
        let below = Below::new(&world.path("into")).unwrap();
        let mut target = Swapping {
            below,
            world: &world,
        };
        unpack(&world.path("archive"), &LIMITS, &mut target).unwrap_err();
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    }
}

#[test]
fn what_is_larger_than_the_limits_is_refused_while_it_is_read() {
    // Says that it is six GiB.
    let mut name = Header::new_gnu();
    name.as_mut_bytes()[..13].copy_from_slice(b"././@LongLink");
    name.set_entry_type(EntryType::GNULongName);
    name.set_mtime(0);
    name.set_mode(0o644);
    name.set_size(6 << 30);
    name.set_cksum();
    let mut long_name = name.as_bytes().to_vec();
    long_name.resize(900 << 10, b'n');
    let names: Vec<String> = (0..150).map(|number| format!("f{number}")).collect();
    let many: Vec<Entry<'_>> = names.iter().map(|name| file(name, b"")).collect();
    let zeros = vec![0; 2 << 20];
    let deep = "d/".repeat(20) + "file";
    let extensions = vec![b'x'; 100 << 10];
    let cases = [
        ("a long name", long_name, "bytes in a header"),
        ("many members", tar(&many), "members"),
        ("a large file", tar(&[file("f", &zeros)]), "bytes"),
        (
            "depth",
            tar(&[file(&deep, b"")]),
            "directories above a member",
        ),
        (
            "an extension",
            tar(&[Entry(EntryType::XHeader, b"x", b"", 0o644, &extensions)]),
            "bytes in a header",
        ),
        (
            "a global extension",
            tar(&[Entry(
                EntryType::XGlobalHeader,
                b"x",
                b"",
                0o644,
                &extensions,
            )]),
            "bytes in a header",
        ),
    ];
    for (name, bytes, expected) in cases {
        for packed in [bytes.clone(), zstd::encode_all(&bytes[..], 1).unwrap()] {
            let said = reason(World::new().take(&packed).unwrap_err());
            assert!(
                said.contains("more than") && said.contains(expected),
                "{name}: {said}"
            );
        }
    }
}

/// A .deb of these parts.
fn deb(parts: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut builder = ar::Builder::new(Vec::new());
    for (name, bytes) in parts {
        let header = ar::Header::new(name.as_bytes().to_vec(), bytes.len() as u64);
        builder.append(&header, &bytes[..]).unwrap();
    }
    builder.into_inner().unwrap()
}

#[test]
fn a_control_file_without_end_is_refused() {
    let zeros = vec![b' '; 8 << 20];
    let control = zstd::encode_all(&tar(&[file("./control", &zeros)])[..], 1).unwrap();
    let data = zstd::encode_all(&tar(&[file("./f", b"x")])[..], 1).unwrap();
    let bytes = deb(&[
        ("debian-binary", b"2.0\n".to_vec()),
        ("control.tar.zst", control),
        ("data.tar.zst", data),
    ]);
    let world = World::new();
    let said = reason(world.take(&bytes).unwrap_err());
    assert!(said.contains("more than"), "{said}");
    assert_eq!(fs::read_dir(world.path("into")).unwrap().count(), 0);
}

/// A .deb with one file, and these parts after its own.
fn deb_and(more: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let own = [
        ("debian-binary", b"2.0\n".to_vec()),
        ("control.tar", tar(&[file("./control", b"Package: a\n")])),
        ("data.tar", tar(&[file("./f", b"x")])),
    ];
    deb(&[&own[..], more].concat())
}

#[test]
fn a_deb_has_one_control_and_one_data() {
    World::new().take(&deb_and(&[])).unwrap();
    World::new().take(&deb_and(&[("_more", vec![0])])).unwrap();
    let other = || zstd::encode_all(&tar(&[file("./g", b"x")])[..], 1).unwrap();
    let twice = tar(&[file("./control", b"a"), file("./control", b"b")]);
    for (more, expected) in [
        (("data.tar.zst", other()), "two members data.tar"),
        (("control.tar.zst", other()), "two members control.tar"),
    ] {
        let said = reason(World::new().take(&deb_and(&[more])).unwrap_err());
        assert!(said.contains(expected), "{said}");
    }
    let said = reason(
        World::new()
            .take(&deb(&[("control.tar", twice)]))
            .unwrap_err(),
    );
    assert!(said.contains("two control files"), "{said}");
}

#[test]
fn what_an_ar_archive_says_of_names_and_sizes_is_not_relied_upon() {
    let member = |name: &str, size: &str| {
        let header = format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`\n", 0, 0, 0, 644);
        [deb_and(&[]), header.into_bytes()].concat()
    };
    for (name, size) in [
        ("/7", "1"),
        ("//", "9999999999"),
        ("#1/9999999999", "9999999999"),
        ("_more", "-1"),
        ("_more", "x"),
    ] {
        World::new().take(&member(name, size)).unwrap_err();
    }
    let whole = deb_and(&[("_more", vec![0; 3])]);
    World::new().take(&whole[..whole.len() - 1]).unwrap();
    World::new().take(&whole[..whole.len() - 2]).unwrap_err();
}

/// An RPM of these files, and links with their targets.
fn rpm(files: &[(&str, &str)], links: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = rpm::PackageBuilder::new("hostile", "1", "GPL", "noarch", "hostile");
    for (link, target) in links {
        builder
            .with_symlink(rpm::FileOptions::symlink(*link, *target))
            .unwrap();
    }
    for (path, content) in files {
        let options = rpm::FileOptions::new(*path).permissions(0o755);
        builder
            .with_file_contents(content.as_bytes().to_vec(), options)
            .unwrap();
    }
    let mut bytes = Vec::new();
    builder.build().unwrap().write(&mut bytes).unwrap();
    bytes
}

#[test]
fn an_rpm_is_unpacked_and_its_paths_keep_below() {
    let world = World::new();
    world
        .take(&rpm(
            &[("/usr/src/a-1/dkms.conf", "x")],
            &[("/usr/src/a-1/l", "dkms.conf")],
        ))
        .unwrap();
    let text = fs::read_to_string(world.path("into/usr/src/a-1/l")).unwrap();
    assert_eq!(text, "x");
    let outside = World::new();
    for files in [
        &[("/../../escaped", "x")][..],
        &[("/usr/../../../escaped", "x")],
        &[("/usr/src/door/through", "x")],
    ] {
        let world = World::new();
        let door = outside.path("into");
        let links = [("/usr/src/door", door.to_str().unwrap())];
        world.take(&rpm(files, &links)).unwrap_err();
        assert_eq!(world.outside(), [""; 0]);
        assert_eq!(fs::read_dir(&door).unwrap().count(), 0);
    }
}

#[test]
fn an_rpm_with_another_payload_than_it_states_is_refused() {
    let bytes = rpm(
        &[(
            "/usr/src/a-1/dkms.conf",
            "some text that is as it was written",
        )],
        &[],
    );
    let mut refused = 0;
    let start = bytes.len() - 60;
    for at in start..bytes.len() {
        let mut other = bytes.clone();
        other[at] ^= 0x20;
        refused += usize::from(World::new().take(&other).is_err());
    }
    assert_eq!(refused, 60);
    let mut longer = bytes;
    longer.write_all(b"more").unwrap();
    World::new().take(&longer).unwrap_err();
}

#[test]
fn a_compressed_archive_that_is_not_whole_is_refused() {
    let tar = tar(&[file("a", &[7; 2000]), file("b", b"text")]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&tar).unwrap();
    let gzip = gzip.finish().unwrap();
    let mut zstd = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    zstd.include_checksum(true).unwrap();
    zstd.write_all(&tar).unwrap();
    let zstd = zstd.finish().unwrap();
    for whole in [gzip, zstd] {
        World::new().take(&whole).unwrap();
        // The checksum is near the end of both, after all that tar reads.
        let at = whole.len() - if whole.starts_with(&[0x1f]) { 7 } else { 1 };
        let mut wrong = whole.clone();
        wrong[at] ^= 1;
        World::new().take(&wrong).unwrap_err();
        World::new().take(&whole[..at]).unwrap_err();
    }
}

#[test]
fn a_tarball_has_an_end() {
    let whole = tar(&[file("a", b"x"), file("b", b"y")]);
    let (first, both) = (&whole[..1024], &whole[..2048]);
    let zeros = [0; 512];
    let end = &[0; 1024];
    for (name, bytes, expected) in [
        ("whole", [both, end].concat(), None),
        ("filled up", [both, &[0; 10 << 10]].concat(), None),
        // As GNU tar takes it: nothing is there that could be missed.
        ("one block of zeros", [both, &zeros].concat(), None),
        ("no end", both.to_vec(), Some("before its end")),
        ("cut", first.to_vec(), Some("before its end")),
        (
            "members after one block of zeros",
            [first, &zeros, &whole[1024..]].concat(),
            Some("single block of zeros"),
        ),
    ] {
        for packed in [bytes.clone(), zstd::encode_all(&bytes[..], 1).unwrap()] {
            let taken = World::new().take(&packed).map_err(reason);
            match (&taken, expected) {
                (Ok(()), None) => {}
                (Err(said), Some(expected)) if said.contains(expected) => {}
                _ => panic!("{name}: {taken:?}"),
            }
            let control = tar(&[file("./control", b"")]);
            let package = [("control.tar", control), ("data.tar", packed)];
            assert_eq!(World::new().take(&deb(&package)).is_ok(), taken.is_ok());
        }
    }
    let cut = deb(&[("control.tar", first.to_vec()), ("data.tar", whole.clone())]);
    World::new().take(&cut).unwrap_err();
}

#[test]
fn what_tar_and_git_make_is_taken() {
    let world = World::new();
    let from = world.path("from");
    fs::create_dir(&from).unwrap();
    fs::write(from.join("file"), "text").unwrap();
    let archive = world.path("archive");
    let script = r#"
        case $1 in
        git) git init -q && git add . &&
             git -c user.name=n -c user.email=e commit -qm m && git archive -o "$2" HEAD ;;
        *) tar -C "$PWD" --format="$1" -cf "$2" file ;;
        esac"#;
    for format in ["gnu", "posix", "ustar", "v7", "git"] {
        let status = std::process::Command::new("sh")
            .args(["-c", script, "sh", format])
            .arg(archive.with_extension("tar"))
            .current_dir(&from)
            .status();
        assert!(status.unwrap().success(), "{format}");
        let into = world.path(&format!("into-{format}"));
        fs::create_dir(&into).unwrap();
        let mut below = Below::new(&into).unwrap();
        let packed = fs::File::open(archive.with_extension("tar")).unwrap();
        kiln_archive::unpack_tarball(packed, &LIMITS, &mut below).unwrap();
        assert_eq!(fs::read_to_string(into.join("file")).unwrap(), "text");
    }
}

#[test]
fn names_have_a_limit_together() {
    let target = "t".repeat(2000);
    let names: Vec<String> = (0..20).map(|number| format!("link-{number}")).collect();
    let links = names.iter().flat_map(|name| {
        let long = Entry(
            EntryType::GNULongLink,
            b"././@LongLink",
            b"",
            0o644,
            target.as_bytes(),
        );
        [long, link(EntryType::Symlink, name, "cut")]
    });
    let links: Vec<Entry<'_>> = links.collect();
    World::new().take(&tar(&links[..20])).unwrap();
    let said = reason(World::new().take(&tar(&links)).unwrap_err());
    assert!(said.contains("bytes in all names"), "{said}");
}
