//! What a module says of its own version.

use std::{cell::Cell, fs::File};

use object::{Object, ObjectSection, ReadCache, ReadRef};

use super::{bounded::Bounded, info::MOST};

/// `version` and `srcversion` of `.modinfo`, as dkms compares them; absent is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VersionInfo {
    /// The first word of `version`.
    pub version: String,
    /// `srcversion`, or the second word of `version`, which old modules have instead.
    pub source: String,
}

impl VersionInfo {
    /// Parses a module's content; what is no module says nothing.
    pub fn parse(content: &[u8]) -> Self {
        Self::read(content)
    }

    /// The same for a file, of which no more is in memory than that takes.
    pub fn of_file(file: File) -> Self {
        let left = Cell::new(MOST);
        let cache = ReadCache::new(file);
        Self::read(Bounded::new(&cache, &left))
    }

    fn read<'d>(content: impl ReadRef<'d>) -> Self {
        let Ok(file) = object::File::parse(content) else {
            return Self::default();
        };
        let modinfo = file
            .section_by_name(".modinfo")
            .and_then(|section| section.data().ok())
            .unwrap_or_default();
        let mut info = Self::default();
        let mut checksum = String::new();
        for entry in modinfo.split(|byte| *byte == 0) {
            let entry = String::from_utf8_lossy(entry);
            if let Some(value) = entry.strip_prefix("version=") {
                let mut words = value.split_whitespace().map(str::to_owned);
                info.version = words.next().unwrap_or_default();
                checksum = words.next().unwrap_or_default();
            } else if let Some(value) = entry.strip_prefix("srcversion=") {
                info.source = value
                    .split_whitespace()
                    .next()
                    .unwrap_or_default()
                    .to_owned();
            }
        }
        if info.source.is_empty() {
            info.source = checksum;
        }
        info
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_module_says_nothing() {
        assert_eq!(VersionInfo::parse(b"hello"), VersionInfo::default());
        let own = std::fs::read("/proc/self/exe").unwrap();
        assert_eq!(VersionInfo::parse(&own), VersionInfo::default());
    }
}
