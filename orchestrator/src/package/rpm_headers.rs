//! Opens an RPM whose headers hold what they say.
//!
//! The library that reads them indexes by the numbers in them, and so ends the program where one leads outside. They
//! are looked at first: each entry of the signature's and of the package's header lies within its header.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::Path,
};

/// What comes first in the file and is of no use.
const LEAD: u64 = 96;
const MAGIC: [u8; 4] = [0x8e, 0xad, 0xe8, 1];
/// Magic, four bytes of nothing, number of entries, size of the store.
const INTRO: usize = 16;
/// Tag, type, offset, count.
const ENTRY: usize = 16;
/// rpm(8) takes no larger header.
const LIMIT: u64 = 256 << 20;

/// Opens a package.
///
/// # Errors
/// Fails if it cannot be read or is damaged.
pub(crate) fn open(path: &Path) -> Result<rpm::Package, rpm::Error> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut reader = BufReader::new(file);
    reader.seek(SeekFrom::Start(LEAD))?;
    let signature = check(&mut reader, size)?;
    // The signature is filled up to a multiple of eight bytes.
    reader.seek_relative(((8 - signature % 8) % 8) as i64)?;
    check(&mut reader, size)?;
    rpm::Package::open(path)
}

/// Reads a header, of which each entry must be whole; gives the header's length.
fn check(reader: &mut impl Read, file: u64) -> io::Result<u64> {
    let mut intro = [0; INTRO];
    reader.read_exact(&mut intro)?;
    let (entries, store) = (u64::from(number(&intro, 8)), u64::from(number(&intro, 12)));
    let rest = entries * ENTRY as u64 + store;
    if intro[..4] != MAGIC || rest > LIMIT.min(file) {
        return Err(damaged());
    }
    let mut bytes = vec![0; rest as usize];
    reader.read_exact(&mut bytes)?;
    let (index, store) = bytes.split_at(bytes.len() - store as usize);
    match index
        .chunks_exact(ENTRY)
        .all(|entry| is_whole(entry, store))
    {
        true => Ok(INTRO as u64 + rest),
        false => Err(damaged()),
    }
}

fn is_whole(entry: &[u8], store: &[u8]) -> bool {
    let (kind, offset, count) = (number(entry, 4), number(entry, 8), number(entry, 12));
    let Some(data) = store.get(offset as usize..) else {
        return false;
    };
    let width = match kind {
        0 => return true,
        1 | 2 | 7 => 1,
        3 => 2,
        4 => 4,
        5 => 8,
        // Strings, each with its end.
        6 | 8 | 9 => {
            return data
                .iter()
                .filter(|byte| **byte == 0)
                .take(count as usize)
                .count()
                == count as usize;
        }
        _ => return false,
    };
    u64::from(count) * width <= data.len() as u64
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a header of the RPM is damaged")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_in_a_header_leads_outside() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("a.rpm");
        let mut builder = rpm::PackageBuilder::new("a", "1", "GPL", "noarch", "a");
        let options = rpm::FileOptions::new("/usr/src/a-1/dkms.conf");
        builder.with_file_contents("x", options).unwrap();
        builder.build().unwrap().write_file(&path).unwrap();
        assert_eq!(open(&path).unwrap().metadata.get_name().unwrap(), "a");
        let whole = std::fs::read(&path).unwrap();
        let mut refused = 0;
        for at in LEAD as usize..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] = 0xff;
            std::fs::write(&path, &bytes).unwrap();
            // An error or a package; what else would be is a panic.
            refused += usize::from(open(&path).is_err());
        }
        assert!(refused > 100, "{refused}");
    }
}
