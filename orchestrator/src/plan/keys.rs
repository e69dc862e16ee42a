//! The keys of conf actions and jobs: docs/keys.md says why each part is in them.

use std::{path::PathBuf, sync::Arc, time::Instant};

use kiln_cache::{
    ActionKey, ActionKind, ActionRecord, Component, ObjectDigest, Publication, Store, StoreError,
};

use super::{
    ConfAction, Dependency, DependencyRecords, Ingredient, JobSpec, KernelInput, Origin, PROGRAMS,
    Witness, components::key_of,
};
use crate::{
    conf::driver_digest,
    job::recipe,
    sandbox::{BUILD_EPOCH, Layout, MAKE_SCRIPT},
    sight::{Looker, SEEN, key_as_now},
    toolbox::TextComponent,
};

/// Changes when a conf is resolved in another way, or a [`crate::conf::Conf`] is stored in
/// another form.
const CONF_FORMAT: u32 = 5;

/// Changes when the sandbox shows or sets something else.
const SANDBOX_FORMAT: u32 = 4;

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

/// The keys of the evaluation of a dkms.conf.
pub(crate) fn conf_keys(action: &ConfAction) -> Keys {
    let ConfAction {
        package,
        kernel,
        layout,
        conf,
        directives,
        overrides,
        build_environment,
    } = action;
    let mut settings = vec![
        format!("conf format={CONF_FORMAT}"),
        format!("conf script={}", driver_digest()),
    ];
    if let Some(id) = &package.registered {
        settings.push(format!("registered as={id}"));
    }
    settings.extend(place(kernel, layout));
    for (number, directive) in directives.iter().enumerate() {
        let digest = ObjectDigest::of(directive.as_bytes());
        settings.push(format!("directive {number}={digest}"));
    }
    let mut ingredients = vec![
        told(TextComponent::new("settings", settings)),
        package.as_ingredient("source".to_owned()),
    ];
    let conf = conf.iter();
    ingredients.extend(conf.map(|(_, seen)| whole("dkms.conf".to_owned(), seen)));
    ingredients.extend(kernel_trees(kernel));
    let overrides = overrides.iter();
    ingredients.extend(overrides.map(|seen| whole("/etc/dkms".to_owned(), seen)));
    let environment = build_environment.iter();
    ingredients
        .extend(environment.map(|(_, seen)| whole("build_environment file".to_owned(), seen)));
    Keys::new(ActionKind::Conf, ingredients, None)
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
    pub(super) fn compare_with(
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

/// The keys of a job whose dependencies ended with these records, in the job's order. Which system
/// files count is still to be looked up.
pub(crate) fn job_keys(spec: &JobSpec, dependencies: &DependencyRecords) -> Keys {
    let mut ingredients = job_ingredients(spec, dependencies);
    let (programs, others): (Vec<_>, Vec<_>) = spec
        .tools
        .iter()
        .cloned()
        .partition(|tool| tool.name == PROGRAMS);
    ingredients.extend(programs);
    let remote = ingredients.iter().chain(&others).cloned().collect();
    Keys::new(ActionKind::Job, ingredients, Some(remote))
}

fn job_ingredients(spec: &JobSpec, dependencies: &DependencyRecords) -> Vec<Ingredient> {
    let mut settings = vec![
        format!("sandbox format={SANDBOX_FORMAT}"),
        format!("make shim={}", ObjectDigest::of(MAKE_SCRIPT.as_bytes())),
        format!("SOURCE_DATE_EPOCH={BUILD_EPOCH}"),
    ];
    settings.extend(place(&spec.kernel, &spec.layout));
    let mut ingredients = vec![
        told(recipe(&spec.conf)),
        told(TextComponent::new("settings", settings)),
        spec.package.as_ingredient("source".to_owned()),
    ];
    ingredients.extend(kernel_trees(&spec.kernel));
    let overrides = format!("/etc/dkms/{}", spec.conf.package.name);
    ingredients.extend(
        spec.overrides
            .iter()
            .map(|seen| whole(overrides.clone(), seen)),
    );
    for (dependency, record) in dependencies.iter() {
        ingredients.push(outputs(dependency, record));
        let name = format!("source of {}", dependency.package_id.name);
        ingredients.push(dependency.package.as_ingredient(name));
    }
    let extra = spec.extra_tools.iter();
    ingredients.extend(extra.map(|(path, seen)| whole(path.display().to_string(), seen)));
    ingredients
}

/// The names that an action is told: where things are, and which kernel it is for.
fn place(kernel: &KernelInput, layout: &Layout) -> Vec<String> {
    vec![
        format!("dkms_tree={}", layout.dkms_tree.display()),
        format!("source_tree={}", layout.source_tree.display()),
        format!("install_tree={}", layout.install_tree.display()),
        format!("kernel={}", kernel.tree.release),
        format!("arch={}", kernel.tree.arch),
        format!("kernel build={}", kernel.tree.build.display()),
        format!(
            "kernel source={}",
            kernel
                .tree
                .source
                .as_ref()
                .unwrap_or(&kernel.tree.build)
                .display()
        ),
    ]
}

/// What kiln or its caller says.
fn told(text: TextComponent) -> Ingredient {
    Ingredient::text(Arc::new(text), Origin::Told)
}

/// A tree or a file with all that is in it.
fn whole(name: String, seen: &Arc<Witness>) -> Ingredient {
    let digest = seen.digest().expect("trees and files have digests");
    Ingredient::seen(name, digest, seen)
}

fn kernel_trees(kernel: &KernelInput) -> impl Iterator<Item = Ingredient> + '_ {
    kernel.roots.iter().map(|root| {
        let name = format!("kernel tree {}", root.path.display());
        Ingredient::seen(name, root.digest, &root.seen)
    })
}

/// What a dependency made, as a dependent finds it.
fn outputs(dependency: &Dependency, record: &ActionRecord) -> Ingredient {
    let Dependency {
        cell: _,
        package_id: package,
        // Its source has a component of its own.
        package: _,
        places,
    } = dependency;
    let lines = record
        .outputs
        .iter()
        .map(|output| format!("{}={}", output.path, output.object));
    told(TextComponent::new(
        format!("BUILD_DEPENDS {}", package.name),
        [format!("version={}", package.version)]
            .into_iter()
            .chain(lines)
            .chain(
                places
                    .iter()
                    .map(|(name, place)| format!("installed {name}={place}")),
            ),
    ))
}
