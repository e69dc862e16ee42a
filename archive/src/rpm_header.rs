//! Reads the headers of an RPM, if they hold what they say.
//!
//! The library that reads them indexes by the numbers in them, and so ends the program where one leads outside. They
//! are looked at first: each entry of the signature's and of the package's header lies within its header.

use std::io::{BufRead, Read, Seek, SeekFrom};

use crate::{ArchiveError, Limits};

/// What comes first in the file and is of no use.
const LEAD: u64 = 96;
const MAGIC: [u8; 4] = [0x8e, 0xad, 0xe8, 1];
/// Magic, four bytes of nothing, number of entries, size of the store.
const INTRO: usize = 16;
/// Tag, type, offset, count.
const ENTRY: usize = 16;
const DAMAGED: ArchiveError = ArchiveError::Damaged("a header of the RPM leads outside");

/// Reads the headers of a package; what comes next is its payload.
pub(crate) fn read(
    file: &mut (impl BufRead + Seek),
    limits: &Limits,
) -> Result<rpm::PackageMetadata, ArchiveError> {
    file.seek(SeekFrom::Start(LEAD))?;
    let signature = check(file, limits)?;
    // The signature is filled up to a multiple of eight bytes.
    file.seek_relative(((8 - signature % 8) % 8) as i64)?;
    check(file, limits)?;
    file.rewind()?;
    Ok(rpm::PackageMetadata::parse(file)?)
}

/// Reads a header, of which each entry must be whole; gives the header's length.
fn check(reader: &mut impl Read, limits: &Limits) -> Result<u64, ArchiveError> {
    let mut intro = [0; INTRO];
    reader.read_exact(&mut intro)?;
    let (entries, store) = (u64::from(number(&intro, 8)), u64::from(number(&intro, 12)));
    let rest = entries * ENTRY as u64 + store;
    if intro[..4] != MAGIC {
        return Err(DAMAGED);
    }
    if rest > limits.header {
        return Err(Limits::too_large("bytes in a header", limits.header));
    }
    let mut bytes = vec![0; rest as usize];
    reader.read_exact(&mut bytes)?;
    let (index, store) = bytes.split_at(bytes.len() - store as usize);
    match index
        .chunks_exact(ENTRY)
        .all(|entry| is_whole(entry, store))
    {
        true => Ok(INTRO as u64 + rest),
        false => Err(DAMAGED),
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

#[cfg(test)]
mod tests {
    use std::{fs::File, io::BufReader, path::Path};

    use super::*;

    fn open(path: &Path) -> Result<rpm::PackageMetadata, ArchiveError> {
        let mut file = BufReader::new(File::open(path).unwrap());
        read(&mut file, &Limits::default())
    }

    #[test]
    fn no_number_in_a_header_leads_outside() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("a.rpm");
        let mut builder = rpm::PackageBuilder::new("a", "1", "GPL", "noarch", "a");
        let options = rpm::FileOptions::new("/usr/src/a-1/dkms.conf");
        builder.with_file_contents("x", options).unwrap();
        builder.build().unwrap().write_file(&path).unwrap();
        assert_eq!(open(&path).unwrap().get_name().unwrap(), "a");
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
