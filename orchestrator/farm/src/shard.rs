//! Which part of a matrix one of several runners builds.
//!
//! Runners share nothing, so the answer follows from a cell's own names and the number of
//! shards alone: rendezvous hashing. A cell that is added moves no other, and one more shard
//! takes its share from each of the others and moves nothing between them.

use std::{fmt, num::NonZeroU32, str::FromStr};

use kiln_cache::ObjectDigest;
use kiln_kernel::KernelTree;

/// One of several parts of a matrix: `I/N`, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: NonZeroU32,
    count: NonZeroU32,
}

/// Why a text names no shard.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShardError {
    /// It is not of the form I/N.
    #[error("give it as I/N, for instance 1/4: the first of four")]
    Form,
    /// The shard is numbered 0.
    #[error("shards are numbered from 1: 1/{count} is the first")]
    Zero {
        /// How many shards there are to be.
        count: NonZeroU32,
    },
    /// There are fewer shards.
    #[error("there are only {count} shards; the last is {count}/{count}")]
    Beyond {
        /// How many shards there are to be.
        count: NonZeroU32,
    },
}

impl Shard {
    /// Whether the pair of a package (`name/version`) and a kernel belongs to this shard.
    pub(crate) fn has(self, package: &str, kernel: &KernelTree) -> bool {
        self.owner(package, kernel.release.as_str(), kernel.arch.as_str()) == self.index.get()
    }

    /// The number of the shard that the pair belongs to.
    fn owner(self, package: &str, release: &str, arch: &str) -> u32 {
        let weight = |shard: &u32| {
            let text = format!("kiln shard\0{package}\0{release}\0{arch}\0{shard}");
            ObjectDigest::of(text.as_bytes()).to_string()
        };
        (1..=self.count.get())
            .max_by_key(weight)
            .unwrap_or(self.index.get())
    }

    /// The shard as part of a file name, `I-of-N`.
    pub(crate) fn file_name_part(self) -> String {
        format!("{}-of-{}", self.index, self.count)
    }

    /// The shard that such a part is of.
    pub(crate) fn of_file_name_part(part: &str) -> Option<Self> {
        let (index, count) = part.split_once("-of-")?;
        let shard: Self = format!("{index}/{count}").parse().ok()?;
        (shard.file_name_part() == part).then_some(shard)
    }
}

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, ShardError> {
        let (index, count) = text.split_once('/').ok_or(ShardError::Form)?;
        let number = |text: &str| text.trim().parse::<u32>().map_err(|_| ShardError::Form);
        let (index, count) = (number(index)?, number(count)?);
        let count = NonZeroU32::new(count).ok_or(ShardError::Form)?;
        let index = NonZeroU32::new(index).ok_or(ShardError::Zero { count })?;
        if index > count {
            return Err(ShardError::Beyond { count });
        }
        Ok(Self { index, count })
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shard(text: &str) -> Shard {
        text.parse().unwrap()
    }

    fn owner(count: u32, cell: &(String, String)) -> u32 {
        shard(&format!("1/{count}")).owner(&cell.0, &cell.1, "x86_64")
    }

    #[test]
    fn shards_are_numbered_from_one() {
        let three = NonZeroU32::new(3).unwrap();
        let parse = str::parse::<Shard>;
        assert_eq!(parse("0/3"), Err(ShardError::Zero { count: three }));
        assert_eq!(parse("4/3"), Err(ShardError::Beyond { count: three }));
        for bad in ["", "1", "1/0", "0/0", "a/3", "1/b", "-1/3", "1/3/5"] {
            assert_eq!(parse(bad), Err(ShardError::Form), "{bad:?}");
        }
        assert_eq!(shard("3/3").to_string(), "3/3");
    }

    /// Runners of different versions of kiln must agree.
    #[test]
    fn the_partition_is_fixed() {
        let owners: Vec<u32> = ["evdi/1.12", "zfs/2.1", "bbswitch/0.8", "jool/4.1"]
            .iter()
            .map(|package| shard("1/3").owner(package, "6.1.0-56-amd64", "x86_64"))
            .collect();
        assert_eq!(owners, [1, 2, 3, 1]);
    }

    #[test]
    fn shards_are_of_about_equal_size() {
        let mut sizes = [0; 8];
        for package in 0..50 {
            for kernel in 0..40 {
                let cell = (format!("p{package}/1"), format!("6.1.{kernel}"));
                sizes[owner(8, &cell) as usize - 1] += 1;
            }
        }
        assert!(
            sizes.iter().all(|size| (200..300).contains(size)),
            "{sizes:?}"
        );
    }

    proptest! {
        #[test]
        fn one_more_shard_moves_cells_only_to_itself(
            cell in ("[a-z]{1,8}/[0-9.]{1,5}", "[0-9.]{1,9}"), count in 1_u32..20
        ) {
            let (before, after) = (owner(count, &cell), owner(count + 1, &cell));
            prop_assert!((1..=count).contains(&before));
            prop_assert!(after == before || after == count + 1);
        }
    }
}
