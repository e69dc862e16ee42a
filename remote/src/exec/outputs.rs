//! What an action made: taken out of its result, downloaded, verified, put where it belongs.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use prost::Message;

use super::Engine;
use super::work::{Done, DoneFile};
use crate::blob::BlobDigest;
use crate::cas::Received;
use crate::error::RemoteError;
use crate::proto::{protobuf, reapi};

/// So many bytes of outputs are downloaded at a time, at least one file.
const PORTION: u64 = 32 << 20;

/// What an action printed is cut off here, in bytes.
const PRINTED: u64 = 64 << 20;

/// No path that the system takes is longer, in bytes.
const PATH_LIMIT: usize = 4095;

impl Engine {
    pub(super) async fn outputs(
        &self,
        response: &reapi::ExecuteResponse,
        into: Option<&Path>,
    ) -> Result<Done, RemoteError> {
        let bad = |what| RemoteError::Answer {
            endpoint: self.session.endpoint().clone(),
            call: "Execute",
            what,
        };
        let result = response.result.as_ref();
        let result = result.ok_or_else(|| bad("it has ended without a result"))?;
        let scratch = into.unwrap_or(&self.session.options.scratch);
        if let Some(into) = into {
            fs::create_dir_all(into).map_err(|error| RemoteError::file(into, error))?;
        }
        let mut listing = Listing::default();
        for file in &result.output_files {
            let digest = BlobDigest::from_proto(file.digest.as_ref());
            let digest = digest.ok_or_else(|| bad("an output without a digest"))?;
            listing.file(&file.path, digest, file.is_executable);
        }
        #[expect(deprecated)]
        let links = result
            .output_symlinks
            .iter()
            .chain(&result.output_file_symlinks);
        #[expect(deprecated)]
        for link in links.chain(&result.output_directory_symlinks) {
            listing.links.insert(link.path.clone(), link.target.clone());
        }
        for directory in &result.output_directories {
            let digest = BlobDigest::from_proto(directory.tree_digest.as_ref());
            let digest = digest.ok_or_else(|| bad("an output without a digest"))?;
            let tree = self.content(digest, scratch).await?;
            let tree = reapi::Tree::decode(&tree[..]).ok();
            let added = tree.and_then(|tree| listing.tree(&directory.path, &tree));
            added.ok_or_else(|| bad("a directory that is none"))?;
        }
        if !listing.paths().all(is_inside) {
            return Err(bad("an output outside of its directory"));
        }
        let stdout = self.printed(&result.stdout_raw, result.stdout_digest.as_ref(), scratch);
        let stdout = stdout.await?;
        let stderr = self.printed(&result.stderr_raw, result.stderr_digest.as_ref(), scratch);
        let stderr = stderr.await?;
        if let Some(into) = into {
            self.download_outputs(&listing, into).await?;
        }
        let metadata = result.execution_metadata.clone().unwrap_or_default();
        Ok(Done {
            exit_code: result.exit_code,
            files: listing.files.into_values().collect(),
            symlinks: listing.links.into_iter().collect(),
            stdout,
            stderr,
            cached: response.cached_result,
            queued: between(&metadata.queued_timestamp, &metadata.worker_start_timestamp),
            ran: between(
                &metadata.execution_start_timestamp,
                &metadata.execution_completed_timestamp,
            ),
            worker: metadata.worker,
        })
    }

    async fn content(&self, digest: BlobDigest, scratch: &Path) -> Result<Vec<u8>, RemoteError> {
        let mut received = self.session.download(vec![digest], scratch).await?;
        match received.remove(&digest) {
            Some(Received::Memory(content)) => Ok(content),
            Some(Received::File(file)) => {
                let read = tokio::fs::read(file.path()).await;
                read.map_err(|error| RemoteError::file(file.path(), error))
            }
            None => Err(self.missing(digest)),
        }
    }

    fn missing(&self, digest: BlobDigest) -> RemoteError {
        RemoteError::MissingBlob {
            endpoint: self.session.endpoint().clone(),
            digest,
        }
    }

    async fn printed(
        &self,
        raw: &[u8],
        digest: Option<&reapi::Digest>,
        scratch: &Path,
    ) -> Result<Vec<u8>, RemoteError> {
        match BlobDigest::from_proto(digest) {
            Some(digest) if raw.is_empty() && digest.size > 0 && digest.size <= PRINTED => {
                self.content(digest, scratch).await
            }
            _ => Ok(raw.to_vec()),
        }
    }

    async fn download_outputs(&self, listing: &Listing, into: &Path) -> Result<(), RemoteError> {
        let mut places: HashMap<BlobDigest, Vec<&DoneFile>> = HashMap::new();
        for file in listing.files.values() {
            places.entry(file.digest).or_default().push(file);
        }
        let mut left: Vec<BlobDigest> = places.keys().copied().collect();
        left.sort_unstable();
        while !left.is_empty() {
            let mut portion = vec![];
            let mut size = 0;
            while let Some(digest) = left.pop_if(|next| size == 0 || size + next.size <= PORTION) {
                size += digest.size.max(1);
                portion.push(digest);
            }
            let received = self.session.download(portion.clone(), into).await?;
            tokio::task::block_in_place(|| {
                for digest in portion {
                    let content = received.get(&digest).ok_or_else(|| self.missing(digest))?;
                    for file in &places[&digest] {
                        write(content, &into.join(&file.path), file.executable)?;
                    }
                }
                Ok::<_, RemoteError>(())
            })?;
        }
        for (path, target) in &listing.links {
            let path = into.join(path);
            let made = make_parent(&path).and_then(|()| symlink(target, &path));
            made.map_err(|error| RemoteError::file(&path, error))?;
        }
        Ok(())
    }
}

/// What an action made, by path.
#[derive(Debug, Default)]
struct Listing {
    files: BTreeMap<String, DoneFile>,
    links: BTreeMap<String, String>,
}

impl Listing {
    fn file(&mut self, path: &str, digest: BlobDigest, executable: bool) {
        let file = DoneFile {
            path: path.to_owned(),
            digest,
            executable,
        };
        self.files.insert(path.to_owned(), file);
    }

    fn paths(&self) -> impl Iterator<Item = &str> {
        self.files
            .keys()
            .chain(self.links.keys())
            .map(String::as_str)
    }

    /// Adds what is in a directory; `None` if it is not whole.
    fn tree(&mut self, path: &str, tree: &reapi::Tree) -> Option<()> {
        let children = tree.children.iter();
        let children: HashMap<BlobDigest, &reapi::Directory> = children
            .map(|child| (BlobDigest::of(&child.encode_to_vec()), child))
            .collect();
        let mut left = vec![(PathBuf::from(path), tree.root.as_ref()?)];
        // A tree is finite, but its parts may be used any number of times.
        let mut entries = 0;
        while let Some((path, directory)) = left.pop() {
            // No path is longer; without an end those of a deep tree add up to the square of its size.
            let fits = |path: &PathBuf| path.as_os_str().len() <= PATH_LIMIT;
            let below = |name: &str| Some(path.join(name)).filter(fits);
            let under = |name: &str| below(name)?.to_str().map(str::to_owned);
            entries += directory.files.len() + directory.symlinks.len() + 1;
            if entries > 1_000_000 {
                return None;
            }
            for file in &directory.files {
                let digest = BlobDigest::from_proto(file.digest.as_ref())?;
                plain_name(&file.name)?;
                self.file(&under(&file.name)?, digest, file.is_executable);
            }
            for link in &directory.symlinks {
                plain_name(&link.name)?;
                self.links.insert(under(&link.name)?, link.target.clone());
            }
            for inner in &directory.directories {
                plain_name(&inner.name)?;
                let digest = BlobDigest::from_proto(inner.digest.as_ref())?;
                left.push((below(&inner.name)?, children.get(&digest)?));
            }
        }
        Some(())
    }
}

/// Lists a tree of anybody's.
#[cfg(feature = "fuzzing")]
pub(crate) fn list_for_fuzzing(tree: &reapi::Tree) {
    let mut listing = Listing::default();
    if listing.tree("out", tree).is_some() {
        assert!(listing.paths().all(is_inside));
    }
}

fn plain_name(name: &str) -> Option<()> {
    (is_inside(name) && !name.contains('/')).then_some(())
}

/// Whether a path stays where it is put.
fn is_inside(path: &str) -> bool {
    let good = |name: &str| !matches!(name, "" | "." | "..") && !name.contains('\0');
    path.split('/').all(good)
}

fn write(content: &Received, to: &Path, executable: bool) -> Result<(), RemoteError> {
    let mode = if executable { 0o755 } else { 0o644 };
    let written = make_parent(to)
        .and_then(|()| match content {
            Received::Memory(content) => fs::write(to, content),
            Received::File(file) => fs::copy(file.path(), to).map(drop),
        })
        .and_then(|()| fs::set_permissions(to, Permissions::from_mode(mode)));
    written.map_err(|error| RemoteError::file(to, error))
}

fn make_parent(path: &Path) -> std::io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}

fn between(
    from: &Option<protobuf::Timestamp>,
    to: &Option<protobuf::Timestamp>,
) -> Option<Duration> {
    let nanos = |time: &protobuf::Timestamp| {
        i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos)
    };
    let passed = nanos(to.as_ref()?) - nanos(from.as_ref()?);
    u64::try_from(passed).ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree with a directory in a directory in a directory, each with a file.
    fn deep(depth: usize) -> reapi::Tree {
        let file = reapi::FileNode {
            name: "file".to_owned(),
            digest: Some(BlobDigest::of(b"x").to_proto()),
            ..Default::default()
        };
        let mut tree = reapi::Tree::default();
        let mut inner = reapi::Directory {
            files: vec![file.clone()],
            ..Default::default()
        };
        for _ in 0..depth {
            let below = reapi::DirectoryNode {
                name: "d".to_owned(),
                digest: Some(BlobDigest::of(&inner.encode_to_vec()).to_proto()),
            };
            tree.children.push(inner);
            inner = reapi::Directory {
                files: vec![file.clone()],
                directories: vec![below],
                ..Default::default()
            };
        }
        tree.root = Some(inner);
        tree
    }

    #[test]
    fn a_tree_deeper_than_any_path_is_none() {
        let mut listing = Listing::default();
        assert_eq!(listing.tree("out", &deep(100)), Some(()));
        assert_eq!(listing.paths().count(), 101);
        assert_eq!(Listing::default().tree("out", &deep(3000)), None);
    }
}
