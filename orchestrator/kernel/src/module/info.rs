//! What a `.ko` says of itself: its vermagic and the versions of the symbols it imports.
//!
//! `.modinfo` holds NUL-terminated `key=value` strings. `__versions` holds a
//! `struct modversion_info` per imported symbol: an `unsigned long` CRC and a name, padded
//! to 64 bytes together (include/linux/module.h). Kernels with CONFIG_EXTENDED_MODVERSIONS
//! keep 32-bit CRCs in `__version_ext_crcs` and names in `__version_ext_names` instead.

use std::{cell::Cell, fs::File};

use object::{Object, ObjectSection, ReadCache, ReadRef};

use super::bounded::Bounded;

/// Size of one `struct modversion_info`.
const VERSION_ENTRY: usize = 64;

/// Why a file is not a module.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModuleError {
    /// It is no ELF file.
    #[error("not an ELF file")]
    NotElf,
    /// It has more tables than any module.
    #[error("its sections' tables, symbols and versions take more than {} MiB", MOST >> 20)]
    TooLarge,
    /// It has no `.modinfo` section.
    #[error("it has no .modinfo section")]
    NoModinfo,
}

/// No module has more to be read but what it does, in bytes.
pub(super) const MOST: u64 = 128 << 20;

/// The facts of one module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleInfo {
    /// The `vermagic` string, if it has one.
    pub vermagic: Option<String>,
    /// What MODULE_LICENSE says, if it does.
    pub license: Option<String>,
    /// Imported symbols with the CRCs that the module expects.
    pub imports: Vec<(String, u32)>,
}

impl ModuleInfo {
    /// Parses a module's content.
    ///
    /// # Errors
    /// Fails if it is not an ELF file with a `.modinfo` section.
    pub fn parse(content: &[u8]) -> Result<Self, ModuleError> {
        Self::read(content)
    }

    /// The same for a file, of which no more is in memory than that takes.
    ///
    /// # Errors
    /// Fails also if its tables are larger than any module's.
    pub fn of_file(file: File) -> Result<Self, ModuleError> {
        let left = Cell::new(MOST);
        let cache = ReadCache::new(file);
        let read = Self::read(Bounded::new(&cache, &left));
        match left.get() {
            0 => Err(ModuleError::TooLarge),
            _ => read,
        }
    }

    fn read<'d>(content: impl ReadRef<'d>) -> Result<Self, ModuleError> {
        let file = object::File::parse(content).map_err(|_| ModuleError::NotElf)?;
        let section = |name: &str| {
            file.section_by_name(name)
                .and_then(|section| section.data().ok())
        };
        let modinfo = section(".modinfo").ok_or(ModuleError::NoModinfo)?;
        let value = |key: &[u8]| {
            modinfo
                .split(|byte| *byte == 0)
                .find_map(|entry| entry.strip_prefix(key))
                .map(|value| String::from_utf8_lossy(value).into_owned())
        };
        let (vermagic, license) = (value(b"vermagic="), value(b"license="));
        let crc_size = if file.is_64() { 8 } else { 4 };
        let mut imports: Vec<(String, u32)> = section("__versions")
            .unwrap_or_default()
            .chunks_exact(VERSION_ENTRY)
            .map(|entry| {
                (
                    text(&entry[crc_size..]),
                    word(entry, file.is_little_endian(), crc_size),
                )
            })
            .collect();
        if let (Some(crcs), Some(names)) = (
            section("__version_ext_crcs"),
            section("__version_ext_names"),
        ) {
            imports.extend(
                names.split(|byte| *byte == 0).map(text).zip(
                    crcs.chunks_exact(4)
                        .map(|c| word(c, file.is_little_endian(), 4)),
                ),
            );
        }
        Ok(Self {
            vermagic,
            license,
            imports,
        })
    }

    /// The kernel release in the vermagic, its first word.
    pub fn kernel_release(&self) -> Option<&str> {
        self.vermagic.as_deref()?.split(' ').next()
    }
}

/// The low 32 bits of an integer of `size` bytes at the start of `bytes`.
fn word(bytes: &[u8], little_endian: bool, size: usize) -> u32 {
    let low = if little_endian {
        &bytes[..4]
    } else {
        &bytes[size - 4..size]
    };
    let array = [low[0], low[1], low[2], low[3]];
    if little_endian {
        u32::from_le_bytes(array)
    } else {
        u32::from_be_bytes(array)
    }
}

fn text(bytes: &[u8]) -> String {
    let end = bytes
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_files_are_refused() {
        assert_eq!(ModuleInfo::parse(b"hello"), Err(ModuleError::NotElf));
        let own = std::fs::read("/proc/self/exe").unwrap();
        assert_eq!(ModuleInfo::parse(&own), Err(ModuleError::NoModinfo));
    }
}
