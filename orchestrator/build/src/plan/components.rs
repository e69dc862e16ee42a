//! The parts of a key together with what they stand for, so that a difference between two
//! keys can be traced to a file or a line.

use std::{path::PathBuf, sync::Arc, time::Instant};

use kiln_cache::{
    ActionKey, ActionKind, Component, Detail, KeyBuilder, Manifest, ObjectDigest, TreeScan,
};
use kiln_kernel::{
    toolbox::TextComponent,
    witness::{Origin, Witness},
};

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
    /// Where it comes from: nobody makes an ingredient without saying it.
    origin: Origin,
}

impl Ingredient {
    /// A text.
    pub fn text(component: Arc<TextComponent>, origin: Origin) -> Self {
        Self {
            name: component.name.clone(),
            digest: component.digest,
            content: Content::Text(component),
            origin,
        }
    }

    /// A tree or a file that was looked at, with the digest that it goes by.
    pub fn seen(name: impl Into<String>, digest: ObjectDigest, witness: &Arc<Witness>) -> Self {
        Self {
            name: name.into(),
            digest,
            content: match witness.scan() {
                Some(scan) if scan.digest == digest => Content::Tree(Arc::clone(scan)),
                _ => Content::Opaque,
            },
            origin: Arc::clone(witness).into(),
        }
    }

    /// Where it comes from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Makes sure that a look after an action will tell whether this was touched.
    ///
    /// # Errors
    /// Gives the path that is not what it was.
    pub fn steady(&self) -> Result<(), PathBuf> {
        self.origin.steady()
    }

    /// What of it was touched until `until`.
    pub fn moved(&self, until: Instant) -> Option<PathBuf> {
        self.origin.moved(until)
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
pub(crate) fn key_of(kind: ActionKind, ingredients: &[Ingredient]) -> (ActionKey, Vec<Component>) {
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
