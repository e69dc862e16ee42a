//! Comparing files as far as they are equal, always in the same memory.

use std::{
    fs,
    io::{self, Read},
};

/// Room for comparing files, used again for each.
#[derive(Default)]
pub(crate) struct Buffers(Vec<u8>, Vec<u8>);

impl Buffers {
    /// Whether two files have the same bytes.
    ///
    /// # Errors
    /// Fails if either cannot be read.
    pub(crate) fn same_content(
        &mut self,
        mut first: fs::File,
        mut second: fs::File,
    ) -> io::Result<bool> {
        let length = first.metadata()?.len();
        let size = usize::try_from(length).unwrap_or(usize::MAX);
        // One more, so that a longer file shows without being asked for its length.
        let size = size.clamp(1, 256 << 10) + 1;
        self.0.resize(size.max(self.0.len()), 0);
        self.1.resize(size.max(self.1.len()), 0);
        let (a, b) = (&mut self.0[..size], &mut self.1[..size]);
        let mut left = length;
        loop {
            let one = first.read(a)?;
            let mut other = 0;
            while other < one {
                match second.read(&mut b[other..])? {
                    0 => return Ok(false),
                    read => other += read,
                }
            }
            if other != one || a[..one] != b[..one] {
                return Ok(false);
            }
            left = left.saturating_sub(one as u64);
            if one == 0 || (left == 0 && one < size) {
                return Ok(one > 0 || second.read(b)? == 0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use super::*;

    fn file(content: &[u8]) -> fs::File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        file.rewind().unwrap();
        file
    }

    #[test]
    fn only_equal_files_are_the_same() {
        let large = vec![7; 600 << 10];
        let mut other = large.clone();
        other[500 << 10] = 8;
        let mut buffers = Buffers::default();
        let contents: [&[u8]; 7] = [b"", b"a", b"ab", b"b", &large, &large[1..], &other];
        for (i, a) in contents.iter().enumerate() {
            for (j, b) in contents.iter().enumerate() {
                let same = buffers.same_content(file(a), file(b)).unwrap();
                assert_eq!(same, i == j, "{i} {j}");
            }
        }
    }
}
