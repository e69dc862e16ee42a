//! The keys of a job.

use kiln_cache::{ActionKind, ActionRecord, ObjectDigest, Output};
use kiln_kernel::toolbox::TextComponent;
use kiln_sandbox::{BUILD_EPOCH, Layout, MAKE_SCRIPT, Protection};

use super::{
    Keys,
    parts::{kernel_trees, limits, mounts, place, told, whole},
    recipe::recipe,
};
use crate::plan::{Dependency, DependencyRecords, Ingredient, JobSpec, PROGRAMS};

/// Changes when the sandbox shows or sets something else.
const SANDBOX_FORMAT: u32 = 7;

/// The keys of a job whose dependencies ended with these records, in the job's order. Which system
/// files count is still to be looked up.
pub(crate) fn job_keys(spec: &JobSpec, dependencies: &DependencyRecords) -> Keys {
    let JobSpec {
        // Its place in the plan.
        cell: _,
        package,
        kernel,
        conf,
        layout,
        tools,
        extra_tools,
        overrides,
        // With their records, in `dependencies`.
        dependencies: _,
    } = spec;
    let mut settings = vec![
        format!("sandbox format={SANDBOX_FORMAT}"),
        format!("make shim={}", ObjectDigest::of(MAKE_SCRIPT.as_bytes())),
        format!("SOURCE_DATE_EPOCH={BUILD_EPOCH}"),
    ];
    settings.push(format!(
        "protection={}",
        Protection::of_layout(layout).name()
    ));
    settings.extend(place(kernel, layout));
    settings.extend(limits());
    settings.extend(mounts(kernel, Some(package)));
    let mut common = vec![
        told(recipe(conf)),
        told(TextComponent::new("settings", settings)),
        package.as_ingredient("source".to_owned()),
    ];
    common.extend(kernel_trees(kernel));
    let name = Layout::overrides(&conf.package.name);
    let overrides = overrides.iter();
    common.extend(overrides.map(|seen| whole(name.display().to_string(), seen)));
    for (dependency, record) in dependencies.iter() {
        common.push(outputs(dependency, record));
        let name = format!("source of {}", dependency.package_id.name);
        common.push(dependency.package.as_ingredient(name));
    }
    let extra = extra_tools.iter();
    common.extend(extra.map(|(path, seen)| whole(path.display().to_string(), seen)));
    let (programs, others): (Vec<_>, Vec<_>) = tools
        .iter()
        .cloned()
        .partition(|tool| tool.name == PROGRAMS);
    common.extend(programs);
    let remote = common.iter().chain(&others).cloned().collect();
    Keys::new(ActionKind::Job, common, Some(remote))
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
    let lines = record.outputs.iter().map(|output| {
        let Output {
            path,
            object,
            // The object's.
            size: _,
            executable,
        } = output;
        let mode = if *executable { " executable" } else { "" };
        format!("{path}={object}{mode}")
    });
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
