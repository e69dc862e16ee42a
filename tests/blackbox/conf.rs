//! What a dkms.conf says is what is done, as dkms reads it.

use std::fs;

use super::{
    machine::{self, kernel},
    world::World,
};

/// The log of a package that was built for the usual kernel.
fn log(world: &World, package: &str) -> String {
    world
        .kiln(format!("log {package} -k {}", kernel()))
        .exits(0)
        .out
}

#[test]
fn carriage_returns_at_line_ends_do_no_harm() {
    let world = World::new();
    let package = world.package("dosish", "AUTOINSTALL=\"yes\"");
    let conf = world.path("dosish/dkms.conf");
    let text = fs::read_to_string(&conf).unwrap().replace('\n', "\r\n");
    fs::write(&conf, text).unwrap();
    world.build(&package, "").exits(0).says("built dosish/1.0");
}

#[test]
fn the_name_is_what_bash_says_whatever_is_stated() {
    let world = World::new();
    let package = world.package(
        "stated",
        "PACKAGE_NAME=$(echo computed)\nPRE_BUILD=\"look.sh $(ls -d /usr/src/*-1.0)\"",
    );
    world.write_script("stated/look.sh", "#!/bin/sh\necho source: $*\n");
    world
        .build(&package, "")
        .exits(0)
        .says("built computed/1.0");
    assert!(log(&world, &package).contains("source: /usr/src/computed-1.0\n"));
}

#[test]
fn a_list_of_modules_without_end_is_an_error_at_once() {
    for index in ["10000", "99999999", "9223372036854775807"] {
        let world = World::new();
        let more = format!("BUILT_MODULE_NAME[{index}]=x\nDEST_MODULE_LOCATION[{index}]=/extra");
        let package = world.package("long", &more);
        world
            .build(&package, "--timeout 20")
            .exits(1)
            .says(&format!("Record #{index} is beyond the 10000 modules"));
    }
}

#[test]
fn values_that_are_larger_than_any_are_named_so() {
    let world = World::new();
    let more = "for i in {0..4999}; do printf -v BUILT_MODULE_LOCATION[i] %01000d $i; done";
    let package = world.package("wide", more);
    world
        .build(&package, "")
        .exits(1)
        .says("it sets more than 4 MiB");
}

#[test]
fn values_are_expanded_twice_and_words_collapse() {
    let world = World::new();
    let package = world.package(
        "twice",
        "DEST_MODULE_NAME[0]='for_${arch}'\nMAKE[0]='cp   prebuilt/${kernelver}.ko    twice.ko'",
    );
    let name = format!("for_{}.ko", machine::arch());
    world.build(&package, "").exits(0).says(&name);
    let command = format!("# command: cp prebuilt/{}.ko twice.ko\n", kernel());
    assert!(log(&world, &package).contains(&command));
}

#[test]
fn a_conf_knows_its_kernel_and_trees() {
    let world = World::new();
    let package = world.package(
        "knowing",
        "MAKE[0]=\"echo [$kernelver] [$arch] [$kernel_source_dir] [$dkms_tree] [$source_tree] \
         [\\$module] [\\$module_version]; ${MAKE[0]}\"",
    );
    world.build(&package, "").exits(0);
    let (kernel, arch) = (kernel(), machine::arch());
    let line = format!(
        "\n[{kernel}] [{arch}] [/lib/modules/{kernel}/build] [/var/lib/dkms] [/usr/src] [knowing] [1.0]\n"
    );
    let log = log(&world, &package);
    assert!(log.contains(&line), "{log}");
}

#[test]
fn a_conf_may_call_make() {
    let world = World::new();
    let package = world.package(
        "making",
        "flavour=$(printf 'all:\\n\\t@echo sweet\\n' | make -s -f -)\n\
         MAKE[0]=\"echo flavour $flavour; ${MAKE[0]}\"",
    );
    world.build(&package, "").exits(0);
    assert!(log(&world, &package).contains("\nflavour sweet\n"));
}

#[test]
fn sparse_arrays_keep_their_indices() {
    let world = World::new();
    let package = world.package(
        "sparse",
        "BUILT_MODULE_NAME[1]=second\nDEST_MODULE_NAME[1]=renamed\nDEST_MODULE_LOCATION[1]=/extra\n\
         STRIP[1]=no\nMAKE[0]+='; cp sparse.ko second.ko'",
    );
    let out = world.path("out");
    world
        .build(&package, &format!("-o {}", out.display()))
        .exits(0);
    let size = |name: &str| {
        let directory = out.join(kernel()).join(machine::arch()).join("sparse/1.0");
        fs::metadata(directory.join(name)).unwrap().len()
    };
    assert!(size("sparse.ko") < size("renamed.ko"));
    assert_eq!(
        size("renamed.ko"),
        machine::module(kernel()).len() as u64,
        "STRIP[1]=no leaves the module as it was built"
    );
}

#[test]
fn the_last_matching_make_wins() {
    let world = World::new();
    let copy = "cp prebuilt/$kernelver.ko choosy.ko";
    let package = world.package(
        "choosy",
        &format!(
            "MAKE[0]=false\nMAKE[1]='echo first; {copy}'\nMAKE_MATCH[1]='^[0-9]'\n\
             MAKE[2]='echo second; {copy}'\nMAKE_MATCH[2]='.'\nMAKE[3]=false\nMAKE_MATCH[3]='^none'"
        ),
    );
    world.build(&package, "").exits(0);
    let log = log(&world, &package);
    assert!(log.contains("\nsecond\n") && !log.contains("\nfirst\n"));
}

const PATCH: &str = "--- a/note\n+++ b/note\n@@ -1 +1 @@\n-before\n+after\n";

#[test]
fn patches_that_match_the_kernel_are_applied() {
    let world = World::new();
    let package = world.package(
        "patched",
        "PATCH[0]=good.patch\nPATCH_MATCH[0]='^[0-9]'\nPATCH[1]=other.patch\n\
         PATCH_MATCH[1]='^none'\nMAKE[0]='grep after note; '\"${MAKE[0]}\"",
    );
    world.write("patched/note", "before\n");
    world.write("patched/patches/good.patch", PATCH);
    world.build(&package, "").exits(0);
    let log = log(&world, &package);
    assert!(log.contains("patching file note\n") && log.contains("\nafter\n"));
    assert!(!log.contains("other.patch"));
}

#[test]
fn a_patch_that_does_not_apply_fails_the_job() {
    let world = World::new();
    let package = world.package("unpatched", "PATCH[0]=bad.patch");
    world.write("unpatched/note", "something else\n");
    world.write("unpatched/patches/bad.patch", PATCH);
    world
        .build(&package, "")
        .exits(1)
        .says("failed unpatched/1.0")
        .says("Hunk #1 FAILED");
}

#[test]
fn a_patch_that_is_not_there_fails_the_job() {
    let world = World::new();
    let package = world.package("unpatched", "PATCH[0]=absent.patch");
    world
        .build(&package, "")
        .exits(1)
        .says("Patch absent.patch as specified in dkms.conf cannot be found");
}

#[test]
fn pre_build_gets_its_arguments_and_the_build_directory() {
    let world = World::new();
    let package = world.package(
        "prepared",
        "PRE_BUILD=\"prepare.sh one $kernelver\"\nMAKE[0]='grep . arguments; '\"${MAKE[0]}\"",
    );
    world.write_script(
        "prepared/prepare.sh",
        "#!/bin/sh\necho \"$# $1 $2\" > arguments\n",
    );
    world.build(&package, "").exits(0);
    let line = format!("\n2 one {}\n", kernel());
    assert!(log(&world, &package).contains(&line));
}

#[test]
fn a_failing_pre_build_fails_the_job() {
    let world = World::new();
    let package = world.package("unprepared", "PRE_BUILD=prepare.sh");
    world.write_script(
        "unprepared/prepare.sh",
        "#!/bin/sh\necho 'Error: no such luck' >&2\nexit 3\n",
    );
    world
        .build(&package, "")
        .exits(1)
        .says("Error: no such luck");
}

#[test]
fn post_build_runs_after_the_module_is_in_place() {
    let world = World::new();
    let package = world.package("finished", "POST_BUILD='finish.sh x'");
    world.write_script(
        "finished/finish.sh",
        "#!/bin/sh\ncd ../*/*/module && echo \"post $1 $(ls)\"\n",
    );
    world.build(&package, "").exits(0);
    assert!(log(&world, &package).contains("\npost x finished.ko\n"));
}

#[test]
fn kbuild_compiles_a_module_with_the_default_make() {
    let world = World::new();
    let package = world.compiled_package("compiled", machine::HELLO_C, "");
    world
        .build(&package, "")
        .exits(0)
        .says("built compiled/1.0");
    let log = log(&world, &package);
    assert!(log.contains("compiled.o") && log.contains("/var/lib/dkms/compiled/1.0/build"));
}
