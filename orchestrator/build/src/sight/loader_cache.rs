//! What `/etc/ld.so.cache` says of some libraries.
//!
//! The file names every library of the system and changes with each package that has one; a program learns from it
//! where the libraries are that it asks for. So only those entries count. The format is that of glibc's `sysdeps/generic/dl-cache.h`,
//! version 1.1.

use std::collections::BTreeSet;

const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
const HEADER: usize = 48;
const ENTRY: usize = 24;

/// The entries for the given library names, in the file's order, as text; none if the format is another.
pub(super) fn entries(content: &[u8], names: &BTreeSet<String>) -> Option<String> {
    // Older files begin with another table.
    let start = content
        .windows(MAGIC.len())
        .position(|window| window == MAGIC)?;
    let file = &content[start..];
    let count = number(file, 20)?;
    let mut text = String::new();
    for index in 0..count {
        let at = HEADER.checked_add(index.checked_mul(ENTRY)?)?;
        let flags = number(file, at)?;
        let name = string(file, number(file, at + 4)?)?;
        let path = string(file, number(file, at + 8)?)?;
        let hardware = file.get(at + 16..at + 24)?;
        if names.contains(name) {
            text.push_str(&format!("{name} {flags} {hardware:02x?} {path}\n"));
        }
    }
    Some(text)
}

fn number(file: &[u8], at: usize) -> Option<usize> {
    let bytes = file.get(at..at.checked_add(4)?)?;
    usize::try_from(u32::from_le_bytes(bytes.try_into().ok()?)).ok()
}

fn string(file: &[u8], at: usize) -> Option<&str> {
    let rest = file.get(at..)?;
    let end = rest.iter().position(|byte| *byte == 0)?;
    std::str::from_utf8(&rest[..end]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_libraries_that_are_asked_for_count() {
        let content = std::fs::read("/etc/ld.so.cache").unwrap();
        let some = BTreeSet::from(["libc.so.6".to_owned()]);
        let text = entries(&content, &some).unwrap();
        assert!(
            text.lines().count() >= 1 && text.contains("/libc.so.6"),
            "{text}"
        );
        assert!(text.lines().all(|line| line.starts_with("libc.so.6 ")));
        assert_eq!(entries(&content, &BTreeSet::new()).unwrap(), "");
    }

    #[test]
    fn what_is_cut_short_is_no_such_file() {
        let content = std::fs::read("/etc/ld.so.cache").unwrap();
        let all = BTreeSet::new();
        for length in [0, 10, 30, HEADER, HEADER + 5, content.len() / 8] {
            assert_eq!(entries(&content[..length], &all), None, "{length}");
        }
    }
}
