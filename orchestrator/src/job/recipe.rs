//! What a job does, as lines of text: the part of its key that comes from the dkms.conf.

use kiln_cache::ObjectDigest;

use crate::{conf::Conf, toolbox::TextComponent};

/// Changes when kiln itself does something else with the same inputs.
const RECIPE_FORMAT: u32 = 2;

/// The digest of the script that every job runs.
pub fn recipe_script_digest() -> ObjectDigest {
    ObjectDigest::of(super::script::BODY.as_bytes())
}

/// The recipe of a job.
pub fn recipe(conf: &Conf) -> TextComponent {
    let mut lines = vec![
        format!("recipe format={RECIPE_FORMAT}"),
        format!("job script={}", recipe_script_digest()),
        format!("package={}", conf.package),
        format!("MAKE={}", conf.make),
    ];
    for (index, module) in conf.modules.iter().enumerate() {
        let built = format!("{}{}", module.built_location, module.built_name);
        lines.push(format!("BUILT_MODULE_NAME[{index}]={built}"));
        lines.push(format!("DEST_MODULE_NAME[{index}]={}", module.dest_name));
        lines.push(format!("STRIP[{index}]={}", module.strip));
        if let Some(rule) = &module.excluded {
            lines.push(format!("excluded[{index}]={}", rule.directive));
        }
    }
    for patch in &conf.patches {
        lines.push(format!("PATCH[{}]={}", patch.index, patch.path));
    }
    for (name, hook) in [
        ("PRE_BUILD", &conf.pre_build),
        ("POST_BUILD", &conf.post_build),
    ] {
        if let Some(hook) = hook {
            lines.push(format!("{name}={hook}"));
        }
    }
    let compiler = &conf.compiler;
    for (name, value) in [
        (".kernelvariables CC", &compiler.required),
        ("CONFIG_CC_VERSION_TEXT", &compiler.built_with),
    ] {
        if let Some(value) = value {
            lines.push(format!("{name}={value}"));
        }
    }
    lines.push(format!("clang={}", compiler.clang));
    lines.push(format!("ld.lld={}", compiler.lld));
    for (name, value) in &conf.environment {
        lines.push(format!("build_environment {name}={value}"));
    }
    TextComponent::new("recipe", lines)
}
