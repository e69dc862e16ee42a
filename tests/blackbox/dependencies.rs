//! BUILD_DEPENDS: what is built first, what a dependent finds, and what a failure blocks.

use super::{
    machine::{self, kernel},
    world::World,
};

const EXPORTER: &str = "#include <linux/module.h>\nint kiln_test_answer(void);\n\
    int kiln_test_answer(void) { return 42; }\nEXPORT_SYMBOL_GPL(kiln_test_answer);\n\
    MODULE_LICENSE(\"GPL\");\nMODULE_DESCRIPTION(\"exporter\");\n";
const IMPORTER: &str = "#include <linux/module.h>\nextern int kiln_test_answer(void);\n\
    static int __init start(void) { return kiln_test_answer() == 42 ? 0 : -EINVAL; }\n\
    module_init(start);\nMODULE_LICENSE(\"GPL\");\nMODULE_DESCRIPTION(\"importer\");\n";

#[test]
fn a_dependent_finds_the_symbols_and_modules_of_its_dependency() {
    let world = World::new();
    let below = world.compiled_package("exporter", EXPORTER, "");
    let module = "/var/lib/dkms/exporter/1.0/$kernelver/$arch/module";
    let above = world.compiled_package(
        "importer",
        IMPORTER,
        &format!(
            "BUILD_DEPENDS[0]=exporter\nMAKE[0]=\"ls {module}; make -C $kernel_source_dir \
             M=/var/lib/dkms/importer/1.0/build KBUILD_EXTRA_SYMBOLS={module}/Module.symvers\""
        ),
    );
    let run = world.build(&format!("{above} {below}"), "--json").exits(0);
    assert_eq!(run.summary()["built"], 2);
    let order: Vec<String> = run
        .events()
        .iter()
        .filter(|event| event["event"] == "finished")
        .map(|event| event["package"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(order, ["exporter/1.0", "importer/1.0"]);
    world
        .kiln(format!("log {above} -k {}", kernel()))
        .exits(0)
        .says("\nModule.symvers\nexporter.ko\n");
    world
        .build(&format!("{above} {below}"), "")
        .exits(0)
        .says("2 from the cache");
}

#[test]
fn a_dependent_finds_the_modules_of_its_dependency_where_they_are_installed() {
    for look in [
        "modinfo -k $kernelver -F description exporter | grep -x exporter",
        "modinfo -F name /lib/modules/$kernelver/updates/dkms/exporter.ko* | grep -x exporter",
        "grep updates/dkms/exporter.ko /lib/modules/$kernelver/modules.dep",
        "find /lib/modules/$kernelver/ -follow -name 'exporter.ko*' | grep .",
        "find /lib/modules/$kernelver -type f -name 'exporter.ko*' | grep .",
        "grep -r -l kiln_test_answer /lib/modules/$kernelver/updates | grep .",
        "stat -c %a /lib/modules/$kernelver | grep -x 755",
        "grep kiln_test_answer /lib/modules/$kernelver/modules.symbols",
    ] {
        let world = World::new();
        let below = world.compiled_package("exporter", EXPORTER, "");
        let above = world.package("looking", "BUILD_DEPENDS[0]=exporter\nPRE_BUILD=look.sh");
        world.write_script(
            "looking/look.sh",
            &format!("#!/bin/sh -e\nkernelver={}\n{look}\n", kernel()),
        );
        let run = world.build(&format!("{above} {below}"), "--json").exits(0);
        assert_eq!(run.summary()["built"], 2, "{look}: {run}");
    }
}

#[test]
fn a_dependency_of_the_machine_is_built_unasked() {
    let world = World::new();
    world.package_at("machine/usr/src/lower-1.0", "lower", "1.0", "");
    let above = world.package("upper", "BUILD_DEPENDS[0]=lower");
    let run = world
        .on_machine("", format!("build {above} -k {} --json", kernel()))
        .exits(0);
    assert_eq!(run.cell("lower")["result"], "built");
    assert_eq!(run.cell("upper")["result"], "built");
}

#[test]
fn a_dependent_is_built_anew_when_its_dependency_comes_out_different() {
    let world = World::new();
    let below = world.package("lower", "");
    let above = world.package("upper", "BUILD_DEPENDS[0]=lower");
    let both = format!("{above} {below}");
    world.build(&both, "").exits(0).says("2 built");
    world.write("lower/note", "no part of the result");
    let run = world.build(&both, "--json").exits(0);
    assert_eq!(run.cell("lower")["result"], "built");
    world.write(
        "lower/dkms.conf",
        format!(
            "{}STRIP[0]=no\n",
            std::fs::read_to_string(world.path("lower/dkms.conf")).unwrap()
        ),
    );
    let run = world.build(&both, "--json").exits(0);
    assert_eq!(run.cell("lower")["result"], "built");
    assert_eq!(run.cell("upper")["result"], "built");
}

#[test]
fn a_dependency_that_is_not_there_is_named() {
    let world = World::new();
    let package = world.package("lonely", "BUILD_DEPENDS[0]=nobody-has-this");
    world
        .build(&package, "")
        .exits(1)
        .says("BUILD_DEPENDS names nobody-has-this, which is not there")
        .says("hint: install the source of nobody-has-this");
}

#[test]
fn a_circle_is_named_and_others_are_built() {
    let world = World::new();
    let a = world.package("aa", "BUILD_DEPENDS[0]=bb");
    let b = world.package("bb", "BUILD_DEPENDS[0]=cc");
    let c = world.package("cc", "BUILD_DEPENDS[0]=aa");
    let free = world.package("free", "");
    world
        .build(&format!("{a} {b} {c} {free}"), "")
        .exits(1)
        .says("BUILD_DEPENDS goes in a circle: aa/1.0 -> bb/1.0 -> cc/1.0 -> aa/1.0")
        .says("built free/1.0");
}

#[test]
fn a_package_that_depends_on_itself_is_a_circle() {
    let world = World::new();
    let package = world.package("ego", "BUILD_DEPENDS[0]=ego");
    world
        .build(&package, "")
        .exits(1)
        .says("BUILD_DEPENDS goes in a circle: ego/1.0 -> ego/1.0");
}

#[test]
fn a_failure_blocks_only_what_depends_on_it() {
    let world = World::new();
    let broken = world.package("broken", "MAKE[0]='echo error: broken; false'");
    let above = world.package("above", "BUILD_DEPENDS[0]=broken");
    let top = world.package("top", "BUILD_DEPENDS[0]=above");
    let aside = world.package("aside", "");
    let all = format!("{top} {above} {broken} {aside}");
    for _ in 0..2 {
        let run = world.build(&all, "--json").exits(1);
        assert_eq!(run.cell("broken")["result"], "failed");
        assert_eq!(run.cell("above")["result"], "blocked", "{run}");
        assert_eq!(run.cell("top")["result"], "blocked", "{run}");
        assert_ne!(run.cell("aside")["result"], "failed");
    }
    world
        .build(&all, "")
        .exits(1)
        .says("blocked above/1.0")
        .says("needs broken/1.0, which is not built");
}

#[test]
fn an_excluded_dependency_blocks_too() {
    let world = World::new();
    let below = world.package("lower", "BUILD_EXCLUSIVE_KERNEL=none");
    let above = world.package("upper", "BUILD_DEPENDS[0]=lower");
    world
        .build(&format!("{above} {below}"), "")
        .exits(1)
        .says("blocked upper/1.0")
        .says("1 excluded, 1 blocked");
}

#[test]
fn dependencies_are_built_for_each_kernel() {
    let world = World::new();
    let below = world.package("lower", "");
    let above = world.package("upper", "BUILD_DEPENDS[0]=lower");
    let run = world
        .build(
            &format!("{above} {below}"),
            &format!("-k {} --json", machine::other_kernel()),
        )
        .exits(0);
    assert_eq!(run.summary()["built"], 4);
}
