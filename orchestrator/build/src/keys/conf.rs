//! The key of the evaluation of a dkms.conf.

use kiln_cache::{ActionKind, ObjectDigest};
use kiln_kernel::toolbox::TextComponent;

use super::{
    Keys,
    parts::{kernel_trees, limits, mounts, place, told, whole},
};
use crate::{conf::driver_digest, plan::ConfAction};

/// Changes when a conf is evaluated in another way, or an answer is stored in another form.
const CONF_FORMAT: u32 = 6;

/// The keys of the evaluation of a dkms.conf.
pub fn conf_keys(action: &ConfAction) -> Keys {
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
    if let Some(id) = package.as_ref().and_then(|it| it.registered.as_ref()) {
        settings.push(format!("registered as={id}"));
    }
    settings.extend(place(kernel, layout));
    settings.extend(limits());
    settings.extend(mounts(kernel, package.as_deref()));
    for (number, directive) in directives.iter().enumerate() {
        let digest = ObjectDigest::of(directive.as_bytes());
        settings.push(format!("directive {number}={digest}"));
    }
    let mut ingredients = vec![told(TextComponent::new("settings", settings))];
    let package = package.iter();
    ingredients.extend(package.map(|package| package.as_ingredient("source".to_owned())));
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
