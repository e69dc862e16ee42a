//! Every key of kiln is composed here: of conf actions and jobs, of answers to probes.
//! docs/keys.md says why each part is in them.
//!
//! Whatever goes into a key is taken apart field by field: a new field does not compile until it is decided whether it
//! matters, and `tests.rs` has a change of each.

mod conf;
mod job;
mod parts;
#[cfg(feature = "remote")]
mod probes;
mod recipe;
#[cfg(test)]
mod tests;

use std::{path::PathBuf, time::Instant};

use kiln_cache::{ActionKey, ActionKind, ActionRecord, Component, Publication, Store, StoreError};

pub use conf::conf_keys;
pub(crate) use job::job_keys;
#[cfg(feature = "remote")]
pub(crate) use probes::probe_topic;

use crate::{
    plan::{Content, Ingredient, key_of},
    sight::{Looker, SEEN, Seen, key_as_now},
};
use kiln_kernel::toolbox::TextComponent;
use parts::told;

/// A key with what it was made from.
#[derive(Debug, Clone)]
pub struct Key {
    /// The key.
    pub key: ActionKey,
    /// Its components, as they go into a record.
    pub components: Vec<Component>,
    /// The same with their contents.
    pub ingredients: Vec<Ingredient>,
}

impl Key {
    fn new(kind: ActionKind, ingredients: Vec<Ingredient>) -> Self {
        let (key, components) = key_of(kind, &ingredients);
        Self {
            key,
            components,
            ingredients,
        }
    }

    /// Makes sure, before an action starts, that a look after it will tell whether an input was touched.
    ///
    /// # Errors
    /// Gives the path that is not what it was when the key was made.
    pub fn steady(&self) -> Result<(), PathBuf> {
        self.ingredients.iter().try_for_each(Ingredient::steady)
    }

    /// The set of paths that it names, if it names one.
    pub(crate) fn seen_paths(&self) -> Option<Seen> {
        let mut texts = self
            .ingredients
            .iter()
            .filter_map(|part| match &part.content {
                Content::Text(text) if part.name == SEEN => Some(text),
                _ => None,
            });
        Seen::parse(&texts.next()?.text)
    }

    /// Puts what the components are digests of beside the outcome, for later comparison.
    ///
    /// # Errors
    /// Fails if the store cannot be written.
    pub fn put_ingredients(
        &self,
        store: &Store,
        publication: &mut Publication<'_>,
    ) -> Result<(), StoreError> {
        for ingredient in &self.ingredients {
            if !store.contains(&ingredient.digest)
                && let Some(bytes) = ingredient.bytes()
            {
                publication.put_bytes(&bytes)?;
            }
        }
        Ok(())
    }

    /// The first input that was touched from when it was looked at for the key until `until`.
    pub fn moved(&self, until: Instant) -> Option<PathBuf> {
        self.ingredients.iter().find_map(|part| part.moved(until))
    }
}

/// The keys under which an action's outcome may be found.
#[derive(Debug, Clone)]
pub struct Keys {
    /// What the action is.
    kind: ActionKind,
    /// With all but the system's files. Under this one is which of those such actions looked at.
    pub trace: Key,
    /// With the system's files as they are now: a key for each known way of looking at them.
    pub system: Vec<Key>,
    /// With what is installed here: for a job that an engine ran, whose workers are to have the same.
    remote: Option<Key>,
    /// The one that compares best with an earlier outcome.
    shown: Option<Key>,
}

impl Keys {
    /// The keys of an action of which `common` is known. Which system files count is still to be looked up.
    fn new(kind: ActionKind, common: Vec<Ingredient>, remote: Option<Vec<Ingredient>>) -> Self {
        Self {
            kind,
            trace: Key::new(ActionKind::Trace, common),
            system: Vec::new(),
            remote: remote.map(|remote| Key::new(kind, remote)),
            shown: None,
        }
    }

    /// The key of an outcome, from what its action could see of the system's files, or did.
    ///
    /// Whoever found that out has made sure that none was touched since the action began.
    pub(crate) fn with_system(&self, files: TextComponent) -> Key {
        let mut ingredients = self.trace.ingredients.clone();
        ingredients.push(told(files));
        Key::new(self.kind, ingredients)
    }

    /// The key of a job that an engine ran.
    pub(crate) fn remote(&self) -> &Key {
        self.remote.as_ref().unwrap_or(&self.trace)
    }

    /// The keys of outcomes.
    pub fn outcomes(&self) -> impl Iterator<Item = &Key> {
        self.system.iter().chain(&self.remote)
    }

    /// Makes [`Keys::shown`] the one that compares best with an earlier outcome: with the same files looked at, or the
    /// same components.
    pub(crate) fn compare_with(
        &mut self,
        earlier: &ActionRecord,
        store: &Store,
        looker: &mut Looker<'_>,
    ) -> Result<(), StoreError> {
        let names = |components: &[Component]| -> Vec<String> {
            components.iter().map(|part| part.name.clone()).collect()
        };
        self.shown = match earlier.components.iter().find(|part| part.name == SEEN) {
            Some(seen) => key_as_now(store, &seen.digest, self, looker)?,
            None => {
                let earlier = names(&earlier.components);
                let mut all = self.outcomes();
                all.find(|key| names(&key.components) == earlier).cloned()
            }
        };
        Ok(())
    }

    /// The one to compare with an earlier outcome, and to show.
    pub fn shown(&self) -> &Key {
        let known = self.shown.as_ref().or_else(|| self.system.first());
        known.unwrap_or(&self.trace)
    }
}
