//! The keys of conf actions and jobs: docs/keys.md says why each part is in them.

use std::{path::PathBuf, sync::Arc, time::Instant};

use kiln_cache::{ActionKey, ActionKind, ActionRecord, Component, ObjectDigest, Store, StoreError};

use super::{
    DependencyRecords, Ingredient, JobSpec, KernelInput, Origin, PROGRAMS, PackageInput, Witness,
    components::key_of,
};
use crate::{
    conf::driver_digest,
    job::recipe,
    package::PackageId,
    sandbox::{BUILD_EPOCH, Layout, MAKE_SCRIPT},
    sight::{Looker, SEEN, key_as_now},
    toolbox::TextComponent,
};

/// Changes when a conf is resolved in another way, or a [`crate::conf::Conf`] is stored in
/// another form.
const CONF_FORMAT: u32 = 4;

/// Changes when the sandbox shows or sets something else.
const SANDBOX_FORMAT: u32 = 3;

/// A key with what it was made from.
#[derive(Debug, Clone)]
pub struct JobKey {
    /// The key.
    pub key: ActionKey,
    /// Its components, as they go into a record.
    pub components: Vec<Component>,
    /// The same with their contents.
    pub ingredients: Vec<Ingredient>,
}

impl JobKey {
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

    /// The first input that was touched from when it was looked at for the key until `until`.
    pub fn moved(&self, until: Instant) -> Option<PathBuf> {
        self.ingredients.iter().find_map(|part| part.moved(until))
    }
}

/// The key of the evaluation of a package's dkms.conf for a kernel.
pub(super) fn conf_key(
    package: &PackageInput,
    kernel: &KernelInput,
    layout: &Layout,
    overrides: Option<&Arc<Witness>>,
    build_environment: Option<&Arc<Witness>>,
    tools: &[Ingredient],
) -> JobKey {
    let mut settings = vec![
        format!("conf format={CONF_FORMAT}"),
        format!("conf script={}", driver_digest()),
    ];
    if let Some(id) = &package.registered {
        settings.push(format!("registered as={id}"));
    }
    settings.extend(place(kernel, layout));
    let mut ingredients = vec![
        told(TextComponent::new("settings", settings)),
        package.as_ingredient("source".to_owned()),
    ];
    ingredients.extend(kernel_trees(kernel));
    ingredients.extend(overrides.map(|seen| whole("/etc/dkms".to_owned(), seen)));
    let environment = "build_environment file".to_owned();
    ingredients.extend(build_environment.map(|seen| whole(environment, seen)));
    ingredients.extend_from_slice(tools);
    JobKey::new(ActionKind::Conf, ingredients)
}

/// The keys under which a job's outcome may be found.
#[derive(Debug, Clone)]
pub struct JobKeys {
    /// Under this one is which system files such jobs looked at.
    pub trace: JobKey,
    /// With these system files, as they are now: a key for each known set of them.
    pub seen: Vec<JobKey>,
    /// With every system file, for a job that was not traced.
    pub whole: JobKey,
}

impl JobKeys {
    /// The keys of outcomes.
    pub fn outcomes(&self) -> impl Iterator<Item = &JobKey> {
        self.seen.iter().chain([&self.whole])
    }

    /// Makes [`JobKeys::shown`] the one that compares best with an earlier outcome: with the same files looked at.
    pub(super) fn compare_with(
        &mut self,
        earlier: &ActionRecord,
        store: &Store,
        looker: &mut Looker<'_>,
    ) -> Result<(), StoreError> {
        if let Some(seen) = earlier.components.iter().find(|part| part.name == SEEN)
            && let Some(key) = key_as_now(store, &seen.digest, &self.trace, looker)?
        {
            self.seen.retain(|known| known.key != key.key);
            self.seen.insert(0, key);
        }
        Ok(())
    }

    /// The one to compare with an earlier outcome, and to show.
    pub fn shown(&self) -> &JobKey {
        self.seen.first().unwrap_or(&self.whole)
    }
}

impl JobKey {
    /// The key of an outcome, from that of the trace and the files that were looked at.
    ///
    /// Whoever found those files out has made sure that none was touched since the job began.
    pub(crate) fn with_seen(&self, seen: TextComponent) -> Self {
        let mut ingredients = self.ingredients.clone();
        ingredients.push(told(seen));
        Self::new(ActionKind::Job, ingredients)
    }
}

/// The keys of a job whose dependencies ended with these records, in the job's order. Which system
/// files count is still to be looked up.
pub(crate) fn job_keys(spec: &JobSpec, dependencies: &DependencyRecords) -> JobKeys {
    let mut ingredients = job_ingredients(spec, dependencies);
    let (programs, others): (Vec<_>, Vec<_>) = spec
        .tools
        .iter()
        .cloned()
        .partition(|tool| tool.name == PROGRAMS);
    ingredients.extend(programs);
    let trace = JobKey::new(ActionKind::Trace, ingredients.clone());
    ingredients.extend(others);
    JobKeys {
        trace,
        seen: Vec::new(),
        whole: JobKey::new(ActionKind::Job, ingredients),
    }
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
        ingredients.push(outputs(&dependency.package_id, record));
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
fn outputs(package: &PackageId, record: &ActionRecord) -> Ingredient {
    let lines = record
        .outputs
        .iter()
        .map(|output| format!("{}={}", output.path, output.object));
    told(TextComponent::new(
        format!("BUILD_DEPENDS {}", package.name),
        [format!("version={}", package.version)]
            .into_iter()
            .chain(lines),
    ))
}
