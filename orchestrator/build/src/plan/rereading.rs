//! Reads again what is taken for what it was because its times are: whether that was right.
//!
//! What could be wrong: a store through a mapping, an image in another's place (docs/keys.md says when).

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use kiln_cache::{
    FileSnapshot, Index, ScanError, ScanOptions, Store, StoreError, TreeSnapshot, scan_file,
    scan_tree,
};

use kiln_kernel::fingerprints::INDEX_WAIT;

/// What was read again.
#[derive(Debug, Default)]
pub struct Rereading {
    /// Files that were read.
    pub files: u64,
    /// Bytes that they have.
    pub bytes: u64,
    /// What has another content than its times say.
    pub stale: Vec<PathBuf>,
}

/// Reads every tree and file again that the index knows; with `repair` it knows the right content from then on.
///
/// What is not there any more, or cannot be read now, is passed over: a build would not take it for anything.
///
/// # Errors
/// Fails if the index cannot be read, or somebody else has it for long.
pub fn read_again(store: &Store, repair: bool) -> Result<Option<Rereading>, StoreError> {
    let Some(index) = Index::burst(store, INDEX_WAIT)? else {
        return Ok(None);
    };
    let (trees, lists) = (index.trees()?, index.file_lists()?);
    // Other processes may have it meanwhile.
    drop(index);
    let mut found = Rereading::default();
    let mut right_trees: Vec<(Vec<u8>, TreeSnapshot)> = Vec::new();
    for (name, tree) in trees {
        let root = Path::new(OsStr::from_bytes(&name));
        if let Ok(Some(right)) = found.tree(root, &tree) {
            right_trees.push((name, right));
        }
    }
    let mut right_lists: Vec<(Vec<u8>, Vec<FileSnapshot>)> = Vec::new();
    for (name, mut files) in lists {
        let before = found.stale.len();
        for file in &mut files {
            if let Ok(Some(right)) = found.file(file) {
                *file = right;
            }
        }
        if found.stale.len() > before {
            right_lists.push((name, files));
        }
    }
    if let (true, Some(index)) = (repair, Index::burst(store, INDEX_WAIT)?) {
        for (name, tree) in &right_trees {
            index.put_tree(name, tree)?;
        }
        for (name, files) in &right_lists {
            index.put_files(name, files)?;
        }
    }
    Ok(Some(found))
}

impl Rereading {
    /// Reads a tree; gives what it is, if its times lie.
    fn tree(
        &mut self,
        root: &Path,
        known: &TreeSnapshot,
    ) -> Result<Option<TreeSnapshot>, ScanError> {
        let believed = scan_tree(root, Some(known), &ScanOptions::default())?;
        let read = scan_tree(root, None, &ScanOptions::default())?;
        self.files += read.files_read;
        self.bytes += read.bytes_read;
        if believed.digest == read.digest {
            return Ok(None);
        }
        let changes = believed.manifest().diff(&read.manifest());
        let paths = changes
            .iter()
            .map(|change| root.join(OsStr::from_bytes(&change.path)));
        self.stale.extend(paths);
        Ok(Some(read.snapshot))
    }

    /// Reads a file; gives what it is, if its times lie.
    fn file(&mut self, known: &FileSnapshot) -> Result<Option<FileSnapshot>, ScanError> {
        let path = known.path();
        let believed = scan_file(&path, Some(known))?.snapshot;
        let read = scan_file(&path, None)?.snapshot;
        self.files += 1;
        self.bytes += std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
        if believed.digest() == read.digest() {
            return Ok(None);
        }
        self.stale.push(path);
        Ok(Some(read))
    }
}

#[cfg(test)]
mod tests {
    #![allow(unsafe_code, reason = "a mapping of a file is what is tested")]

    use std::{fs, thread, time::Duration};

    use memmap2::MmapMut;

    use super::*;
    use kiln_kernel::fingerprints::Fingerprints;

    #[test]
    fn a_store_through_a_mapping_is_found_and_then_known() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("cache")).unwrap();
        // On tmpfs only the first store to a page moves the file's times.
        let memory = tempfile::tempdir_in("/dev/shm").unwrap();
        let file = memory.path().join("tree/file");
        fs::create_dir(memory.path().join("tree")).unwrap();
        fs::write(&file, "a").unwrap();
        let opened = fs::File::options()
            .read(true)
            .write(true)
            .open(&file)
            .unwrap();
        // SAFETY: nobody else has this file.
        let mut mapping = unsafe { MmapMut::map_mut(&opened) }.unwrap();
        mapping[0] = b'b';
        // Until then it would be read again in any case.
        thread::sleep(Duration::from_millis(50));
        let look = || {
            let mut fingerprints = Fingerprints::new(&store);
            let tree = fingerprints.tree(&memory.path().join("tree")).unwrap();
            let file = fingerprints.file(&file).unwrap();
            fingerprints.close();
            (tree.digest, file)
        };
        let before = look();
        let clean = read_again(&store, false).unwrap().unwrap();
        assert_eq!((clean.files, clean.stale.len()), (2, 0));

        mapping[0] = b'c';
        assert_eq!(look(), before);
        for repair in [false, true] {
            let found = read_again(&store, repair).unwrap().unwrap();
            assert_eq!(found.stale, [&*file, &*file]);
        }
        let after = look();
        assert!(after.0 != before.0 && after.1 != before.1);
        assert_eq!(read_again(&store, false).unwrap().unwrap().stale.len(), 0);
    }
}
