//! What a job does, as lines of text: the part of its key that comes from the dkms.conf.

use kiln_cache::ObjectDigest;
use kiln_kernel::toolbox::TextComponent;

use crate::{
    conf::{Compiler, Conf, Exclusion, ModuleSpec, Patch},
    job::SCRIPT_BODY,
};

/// Changes when kiln itself does something else with the same inputs.
const RECIPE_FORMAT: u32 = 2;

/// The digest of the script that every job runs.
pub(super) fn recipe_script_digest() -> ObjectDigest {
    ObjectDigest::of(SCRIPT_BODY.as_bytes())
}

/// The recipe of a job.
pub(super) fn recipe(conf: &Conf) -> TextComponent {
    let Conf {
        package,
        modules,
        make,
        patches,
        pre_build,
        post_build,
        // They run when modules are added, installed or removed.
        other_hooks: _,
        // What they stand for has components of its own.
        build_depends: _,
        // Which builds are asked for.
        build_depends_rebuild: _,
        autoinstall: _,
        no_weak_modules: _,
        // Such a cell is not built.
        excluded: _,
        compiler,
        environment,
        // A conf with any is not built.
        problems: _,
        obsolete_by: _,
        states_exclusive: _,
        // Of these people are told.
        deprecated: _,
        complaints: _,
    } = conf;
    let mut lines = vec![
        format!("recipe format={RECIPE_FORMAT}"),
        format!("job script={}", recipe_script_digest()),
        format!("package={package}"),
        format!("MAKE={make}"),
    ];
    for (index, module) in modules.iter().enumerate() {
        let ModuleSpec {
            built_name,
            built_location,
            dest_name,
            // Where it is installed, not what it is.
            dest_location: _,
            strip,
            excluded,
        } = module;
        lines.push(format!(
            "BUILT_MODULE_NAME[{index}]={built_location}{built_name}"
        ));
        lines.push(format!("DEST_MODULE_NAME[{index}]={dest_name}"));
        lines.push(format!("STRIP[{index}]={strip}"));
        if let Some(Exclusion {
            directive,
            value: _,
        }) = excluded
        {
            lines.push(format!("excluded[{index}]={directive}"));
        }
    }
    for Patch { index, path } in patches {
        lines.push(format!("PATCH[{index}]={path}"));
    }
    for (name, hook) in [("PRE_BUILD", pre_build), ("POST_BUILD", post_build)] {
        lines.extend(hook.iter().map(|hook| format!("{name}={hook}")));
    }
    let Compiler {
        required,
        built_with,
        clang,
        lld,
    } = compiler;
    for (name, value) in [
        (".kernelvariables CC", required),
        ("CONFIG_CC_VERSION_TEXT", built_with),
    ] {
        lines.extend(value.iter().map(|value| format!("{name}={value}")));
    }
    lines.push(format!("clang={clang}"));
    lines.push(format!("ld.lld={lld}"));
    for (name, value) in environment {
        lines.push(format!("build_environment {name}={value}"));
    }
    TextComponent::new("recipe", lines)
}
