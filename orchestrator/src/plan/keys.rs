//! The keys of conf actions and jobs: docs/keys.md says why each part is in them.

use std::sync::Arc;

use kiln_cache::{
    ActionKey, ActionKind, ActionRecord, Component, ObjectDigest, Store, StoreError, TreeScan,
};

use super::{
    Ingredient, JobSpec, KernelInput, PROGRAMS, PackageInput, SourceLocation,
    components::{Content, key_of},
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
}

/// The key of the evaluation of a package's dkms.conf for a kernel.
pub(super) fn conf_key(
    package: &PackageInput,
    kernel: &KernelInput,
    layout: &Layout,
    overrides: Option<&Arc<TreeScan>>,
    build_environment: Option<ObjectDigest>,
    tools: &[Arc<TextComponent>],
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
        Ingredient::text(Arc::new(TextComponent::new("settings", settings))),
        source(package),
    ];
    ingredients.extend(kernel_trees(kernel));
    if let Some(scan) = overrides {
        ingredients.push(Ingredient::tree("/etc/dkms", scan));
    }
    if let Some(digest) = build_environment {
        ingredients.push(Ingredient::opaque("build_environment file", digest));
    }
    ingredients.extend(tools.iter().cloned().map(Ingredient::text));
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
    pub(crate) fn with_seen(&self, seen: TextComponent) -> Self {
        let mut ingredients = self.ingredients.clone();
        ingredients.push(Ingredient::text(Arc::new(seen)));
        Self::new(ActionKind::Job, ingredients)
    }
}

/// The keys of a job whose dependencies ended with these records, in the job's order. Which system
/// files count is still to be looked up.
pub(crate) fn job_keys(spec: &JobSpec, dependencies: &[Arc<ActionRecord>]) -> JobKeys {
    let mut ingredients = job_ingredients(spec, dependencies);
    let (programs, others): (Vec<_>, Vec<_>) = spec
        .tools
        .iter()
        .cloned()
        .partition(|tool| tool.name == PROGRAMS);
    ingredients.extend(programs.into_iter().map(Ingredient::text));
    let trace = JobKey::new(ActionKind::Trace, ingredients.clone());
    ingredients.extend(others.into_iter().map(Ingredient::text));
    JobKeys {
        trace,
        seen: Vec::new(),
        whole: JobKey::new(ActionKind::Job, ingredients),
    }
}

fn job_ingredients(spec: &JobSpec, dependencies: &[Arc<ActionRecord>]) -> Vec<Ingredient> {
    let mut settings = vec![
        format!("sandbox format={SANDBOX_FORMAT}"),
        format!("make shim={}", ObjectDigest::of(MAKE_SCRIPT.as_bytes())),
        format!("SOURCE_DATE_EPOCH={BUILD_EPOCH}"),
    ];
    settings.extend(place(&spec.kernel, &spec.layout));
    let mut ingredients = vec![
        Ingredient::text(Arc::new(recipe(&spec.conf))),
        Ingredient::text(Arc::new(TextComponent::new("settings", settings))),
        source(&spec.package),
    ];
    ingredients.extend(kernel_trees(&spec.kernel));
    if let Some(scan) = &spec.overrides {
        ingredients.push(Ingredient::tree(
            format!("/etc/dkms/{}", spec.conf.package.name),
            scan,
        ));
    }
    for (record, dependency) in dependencies.iter().zip(&spec.dependencies) {
        ingredients.push(outputs(&dependency.package_id, record));
        ingredients.push(Ingredient::opaque(
            format!("source of {}", dependency.package_id.name),
            dependency.package.digest,
        ));
    }
    for (path, scan) in &spec.extra_tools {
        ingredients.push(Ingredient::tree(path.display().to_string(), scan));
    }
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

fn source(package: &PackageInput) -> Ingredient {
    Ingredient {
        name: "source".to_owned(),
        digest: package.digest,
        content: match (&package.location, package.scan()) {
            (SourceLocation::Directory(_), Some(scan)) => Content::Tree(Arc::clone(scan)),
            _ => Content::Opaque,
        },
    }
}

fn kernel_trees(kernel: &KernelInput) -> impl Iterator<Item = Ingredient> + '_ {
    kernel.roots.iter().map(|root| {
        let name = format!("kernel tree {}", root.path.display());
        match &root.scan {
            Some(scan) => Ingredient::tree(name, scan),
            None => Ingredient::opaque(name, root.digest),
        }
    })
}

/// What a dependency made, as a dependent finds it.
fn outputs(package: &PackageId, record: &ActionRecord) -> Ingredient {
    let lines = record
        .outputs
        .iter()
        .map(|output| format!("{}={}", output.path, output.object));
    Ingredient::text(Arc::new(TextComponent::new(
        format!("BUILD_DEPENDS {}", package.name),
        [format!("version={}", package.version)]
            .into_iter()
            .chain(lines),
    )))
}
