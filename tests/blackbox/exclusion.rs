//! Kernels that a package's own conf excludes are no failure.

use super::{
    machine::{self, kernel},
    world::World,
};

/// A package with the directive in its conf is left out, and the directive is named.
fn excludes(directive: &str, value: &str) {
    let world = World::new();
    let package = world.package("picky", &format!("{directive}=\"{value}\""));
    let reason = format!("excluded by {directive}={value}");
    world.build(&package, "--dry-run").exits(0).says(&reason);
    world
        .build(&package, "")
        .exits(0)
        .says("1 excluded")
        .never_says("built");
    let cell = world.build(&package, "--json").exits(0).cell("picky");
    assert_eq!(cell["result"], "excluded");
    assert_eq!(cell["cause"], reason);
}

#[test]
fn by_kernel() {
    excludes("BUILD_EXCLUSIVE_KERNEL", "^9\\.");
}

#[test]
fn by_oldest_kernel() {
    excludes("BUILD_EXCLUSIVE_KERNEL_MIN", "99.0");
}

#[test]
fn by_newest_kernel() {
    excludes("BUILD_EXCLUSIVE_KERNEL_MAX", "2.6");
}

#[test]
fn by_architecture() {
    excludes("BUILD_EXCLUSIVE_ARCH", "^vax$");
}

#[test]
fn by_an_option_that_is_off() {
    excludes("BUILD_EXCLUSIVE_CONFIG", "CONFIG_NO_SUCH_OPTION");
}

#[test]
fn by_an_option_that_is_on() {
    excludes("BUILD_EXCLUSIVE_CONFIG", "!CONFIG_MODULES");
}

#[test]
fn by_a_kernel_that_has_the_module_itself() {
    excludes("OBSOLETE_BY", "2.6.0");
}

#[test]
fn rules_that_fit_exclude_nothing() {
    let world = World::new();
    let package = world.package(
        "easy",
        &format!(
            "BUILD_EXCLUSIVE_KERNEL='^[0-9]'\nBUILD_EXCLUSIVE_KERNEL_MIN=2.6\n\
             BUILD_EXCLUSIVE_KERNEL_MAX=99\nBUILD_EXCLUSIVE_ARCH='{}'\n\
             BUILD_EXCLUSIVE_CONFIG='CONFIG_MODULES !CONFIG_NO_SUCH_OPTION'",
            machine::arch()
        ),
    );
    world.build(&package, "").exits(0).says("built easy/1.0");
}

#[test]
fn one_module_of_a_package_alone() {
    let world = World::new();
    let package = world.package(
        "partly",
        "BUILT_MODULE_NAME[1]=never\nDEST_MODULE_LOCATION[1]=/updates\n\
         BUILD_EXCLUSIVE_KERNEL[1]='^9\\.'",
    );
    let run = world.build(&package, "--json").exits(0);
    let outputs = run.cell("partly")["outputs"].clone();
    assert_eq!(outputs.as_array().unwrap().len(), 1, "{run}");
    assert_eq!(outputs[0]["path"], "partly.ko");
}

#[test]
fn one_kernel_of_two() {
    let world = World::new();
    let package = world.package("only", &format!("BUILD_EXCLUSIVE_KERNEL='^{}$'", kernel()));
    let other = machine::other_kernel();
    let run = world
        .build(&package, &format!("-k {other} --json"))
        .exits(0);
    let summary = run.summary();
    assert_eq!(summary["built"], 1);
    assert_eq!(summary["excluded"], 1);
}
