//! The parts of a key together with what they stand for, so that a difference between two
//! keys can be traced to a file or a line.

use std::sync::Arc;

use kiln_cache::{
    ActionKey, ActionKind, Component, Detail, KeyBuilder, Manifest, ObjectDigest, TreeScan,
};

use crate::toolbox::TextComponent;

/// What a component's digest is the digest of.
#[derive(Debug, Clone)]
pub enum Content {
    /// Nothing that could be compared.
    Opaque,
    /// A text of `NAME=VALUE` lines.
    Text(Arc<TextComponent>),
    /// A tree that was scanned.
    Tree(Arc<TreeScan>),
    /// A tree whose manifest is at hand.
    Manifest(Arc<Manifest>),
}

/// One component of a key.
#[derive(Debug, Clone)]
pub struct Ingredient {
    /// Its name.
    pub name: String,
    /// Its digest.
    pub digest: ObjectDigest,
    /// What the digest is of.
    pub content: Content,
}

impl Ingredient {
    /// A text.
    pub fn text(component: Arc<TextComponent>) -> Self {
        Self {
            name: component.name.clone(),
            digest: component.digest,
            content: Content::Text(component),
        }
    }

    /// A scanned tree.
    pub fn tree(name: impl Into<String>, scan: &Arc<TreeScan>) -> Self {
        Self {
            name: name.into(),
            digest: scan.digest,
            content: Content::Tree(Arc::clone(scan)),
        }
    }

    /// Something of which only the digest is known.
    pub fn opaque(name: impl Into<String>, digest: ObjectDigest) -> Self {
        Self {
            name: name.into(),
            digest,
            content: Content::Opaque,
        }
    }

    /// The bytes that the digest is of, for the store; none for opaque ones.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        match &self.content {
            Content::Opaque => None,
            Content::Text(text) => Some(text.text.clone().into_bytes()),
            Content::Tree(scan) => Some(scan.manifest().encode()),
            Content::Manifest(manifest) => Some(manifest.encode()),
        }
    }

    fn detail(&self) -> Detail {
        match self.content {
            Content::Opaque => Detail::Opaque,
            Content::Text(_) => Detail::Text,
            Content::Tree(_) | Content::Manifest(_) => Detail::Manifest,
        }
    }
}

/// Makes the key of an action from its ingredients, in their order.
pub(super) fn key_of(kind: ActionKind, ingredients: &[Ingredient]) -> (ActionKey, Vec<Component>) {
    let mut key = KeyBuilder::new(kind);
    for ingredient in ingredients {
        key.component(
            ingredient.name.clone(),
            ingredient.digest,
            ingredient.detail(),
        );
    }
    key.finish()
}
