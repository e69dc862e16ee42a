//! The content-addressed storage of a server: what it lacks, uploads, downloads.
//!
//! Small blobs travel in batches, larger ones as streams. What comes is hashed as it comes: nothing gets
//! out of here that does not have the digest it was asked for.

mod download;
mod missing;
mod upload;

pub(crate) use download::Received;

use crate::blob::BlobDigest;

/// What a blob adds to a message beside its content: its digest, a status, and their framing.
const OVERHEAD: u64 = 256;

/// Cuts a list into batches that each fit into a message; what is too large for any is left over.
fn batches<T>(
    items: impl IntoIterator<Item = T>,
    digest: impl Fn(&T) -> BlobDigest,
    limit: u64,
) -> (Vec<Vec<T>>, Vec<T>) {
    let (mut batches, mut large) = (Vec::new(), Vec::new());
    let (mut batch, mut filled) = (Vec::new(), 0);
    for item in items {
        let size = digest(&item).size + OVERHEAD;
        if size > limit {
            large.push(item);
            continue;
        }
        if filled + size > limit {
            batches.push(std::mem::take(&mut batch));
            filled = 0;
        }
        batch.push(item);
        filled += size;
    }
    if !batch.is_empty() {
        batches.push(batch);
    }
    (batches, large)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_fit() {
        let blob = |size| BlobDigest {
            sha256: [0; 32],
            size,
        };
        let sizes = [10, 5000, 700, 0, 744, 1, 745];
        let (batches, large) = batches(sizes.map(blob), |digest| *digest, 1000);
        let sizes = |batch: &Vec<BlobDigest>| batch.iter().map(|blob| blob.size).collect();
        let batches: Vec<Vec<u64>> = batches.iter().map(sizes).collect();
        assert_eq!(batches, [vec![10], vec![700], vec![0], vec![744], vec![1]]);
        assert_eq!(sizes(&large), [5000, 745]);
    }
}
