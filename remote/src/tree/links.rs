//! Links that lead out by the root of all files, as links that lead to the same place from where they are.
//!
//! A server may refuse absolute links (`symlink_absolute_path_strategy` of its capabilities). In a tree whose
//! root is `/` to whoever uses it, `a/b -> /c` and `a/b -> ../c` are one; only `readlink` tells them apart.

use std::sync::Arc;

use super::{Directory, Node, Part, Tree};

impl Tree {
    /// Whether there is any absolute link in it.
    pub(crate) fn has_absolute_links(&self) -> bool {
        self.root.absolute
    }

    /// The same tree with relative links only.
    pub(crate) fn with_relative_links(&self) -> Arc<Self> {
        let parts = self.parts.iter().map(|part| Part {
            depth: part.depth,
            root: relative_below(&part.root, part.depth),
        });
        Arc::new(Self {
            root: relative_below(&self.root, 0),
            parts: parts.collect(),
        })
    }
}

/// A directory that is so many names below the root.
fn relative_below(directory: &Arc<Directory>, depth: usize) -> Arc<Directory> {
    if !directory.absolute {
        return Arc::clone(directory);
    }
    let entries = directory.entries.iter().map(|(name, node)| {
        let node = match node {
            Node::Symlink(target) => Node::Symlink(relative(target, depth)),
            Node::Directory(below) => Node::Directory(relative_below(below, depth + 1)),
            Node::File(..) => node.clone(),
        };
        (name.clone(), node)
    });
    Directory::seal(entries.collect())
}

fn relative(target: &str, depth: usize) -> String {
    match target.strip_prefix('/') {
        None => target.to_owned(),
        Some(rest) => match ("../".repeat(depth), rest.trim_start_matches('/')) {
            (up, "") if up.is_empty() => ".".to_owned(),
            (up, rest) => format!("{up}{rest}"),
        },
    }
}
