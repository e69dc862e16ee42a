//! Module.symvers: the CRC of every symbol that a kernel or another module exports.
//!
//! Each line reads `0x<crc> <symbol> <module> <export type> [<namespace>]`, separated by
//! tabs (Documentation/kbuild/modules.rst in the kernel source).

use std::{
    collections::HashMap,
    fs::File,
    io,
    path::{Path, PathBuf},
};

use kiln_durable::regular;

use crate::sizes;

/// Symbol names and their CRCs.
#[derive(Debug, Clone, Default)]
pub struct SymbolCrcs {
    crcs: HashMap<Box<str>, u32>,
}

/// Why a Module.symvers cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SymversError {
    /// It cannot be read.
    #[error("cannot read {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line is not of the form above.
    #[error("{path}, line {line}: not a Module.symvers entry")]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
}

impl SymbolCrcs {
    /// Reads one file.
    ///
    /// # Errors
    /// Fails if the file cannot be read or a line cannot be parsed.
    pub fn read(path: &Path) -> Result<Self, SymversError> {
        let text =
            regular::read_at_once(path, sizes::SYMBOLS).map_err(|source| SymversError::Io {
                path: path.to_owned(),
                source,
            })?;
        Self::parse(&String::from_utf8_lossy(&text)).map_err(|line| SymversError::Line {
            path: path.to_owned(),
            line,
        })
    }

    /// Reads an open file, in which lines of any form are passed over with all that it has.
    ///
    /// # Errors
    /// Fails if it cannot be read, or is larger than any.
    pub fn of_open(file: &File) -> io::Result<Self> {
        let text = regular::read_opened(file, sizes::SYMBOLS)?;
        Ok(Self::parse(&String::from_utf8_lossy(&text)).unwrap_or_default())
    }

    /// Parses the text of one file; on failure gives the number of the line, from 1.
    ///
    /// # Errors
    /// Fails on the first line that is not an entry.
    pub fn parse(text: &str) -> Result<Self, usize> {
        let mut crcs = HashMap::new();
        for (number, line) in text.lines().enumerate() {
            if line.is_empty() {
                continue;
            }
            let mut fields = line.split('\t');
            let crc = fields
                .next()
                .and_then(|f| f.strip_prefix("0x"))
                .and_then(|f| u32::from_str_radix(f, 16).ok());
            match (crc, fields.next()) {
                (Some(crc), Some(symbol)) => crcs.insert(symbol.into(), crc),
                _ => return Err(number + 1),
            };
        }
        Ok(Self { crcs })
    }

    /// The CRC of a symbol, if it is exported here.
    pub fn crc(&self, symbol: &str) -> Option<u32> {
        self.crcs.get(symbol).copied()
    }

    /// The number of symbols.
    pub fn len(&self) -> usize {
        self.crcs.len()
    }

    /// Whether nothing is exported.
    pub fn is_empty(&self) -> bool {
        self.crcs.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_entries_and_names_the_bad_line() {
        let text = "0x7f5b\tkmalloc\tvmlinux\tEXPORT_SYMBOL\t\n0xffffffff\tfoo\tdrivers/foo\tEXPORT_SYMBOL_GPL\tNS\n";
        let crcs = SymbolCrcs::parse(text).unwrap();
        assert_eq!(crcs.len(), 2);
        assert_eq!(crcs.crc("kmalloc"), Some(0x7f5b));
        assert_eq!(crcs.crc("foo"), Some(u32::MAX));
        assert_eq!(crcs.crc("bar"), None);
        assert_eq!(SymbolCrcs::parse("0x1\ta\nnonsense\n").unwrap_err(), 2);
    }
}
