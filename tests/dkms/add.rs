//! `dkms add`: by name, from a directory, from a dkms.conf; and what it refuses.

use std::fs;

use super::{machine::Machine, modules::Module, source::Source};

const CREATED: &str = "Creating symlink /var/lib/dkms/hello/1.0/source -> /usr/src/hello-1.0\n";

const TREE: &str = "
    hello/
    hello/1.0/
    hello/1.0/build/
    hello/1.0/source -> /usr/src/hello-1.0
    ";

#[test]
fn by_name() {
    let machine = Machine::new();
    machine.source(&Source::hello());
    machine.dkms("add hello/1.0").exits(0).prints(CREATED);
    machine.holds("/var/lib/dkms", TREE);
}

#[test]
fn by_name_without_a_source() {
    let machine = Machine::new();
    machine.dkms("add hello/1.0").exits(2).warns(
        "

        Error! Could not find module source directory.
        Directory: /usr/src/hello-1.0 does not exist.
        ",
    );
    machine.holds("/var/lib/dkms", "");
}

#[test]
fn from_a_directory() {
    let machine = Machine::new();
    let source = Source::hello()
        .script("configure", "#!/bin/sh\n")
        .file("sub/a.h", "int a;\n");
    let directory = machine.source_at("from", &source);
    machine
        .dkms(format!("add {directory}"))
        .exits(0)
        .prints(CREATED);
    machine.holds("/var/lib/dkms", TREE);
    assert_eq!(machine.read("/usr/src/hello-1.0/sub/a.h"), "int a;\n");
    let there = |path: &str| fs::metadata(machine.path(path)).unwrap();
    let (before, after) = (
        there("/home/from/configure"),
        there("/usr/src/hello-1.0/configure"),
    );
    assert_eq!(after.permissions(), before.permissions());
    assert_eq!(after.modified().unwrap(), before.modified().unwrap());
}

#[test]
fn from_a_directory_that_is_named_in_other_ways() {
    let machine = Machine::new();
    machine.source_at("from", &Source::hello());
    for spelling in ["./from", "from/", "from/dkms.conf", "./from/../from"] {
        machine
            .dkms(format!("add {spelling}"))
            .exits(0)
            .prints(CREATED);
        machine.holds("/var/lib/dkms", TREE);
        machine.dkms("remove hello/1.0 --all").exits(0);
        machine.shell("rm -r /usr/src/hello-1.0");
    }
    machine.shell("ln -s from link");
    machine.dkms("add ./link").exits(0).prints(CREATED);
    assert!(!machine.path("/usr/src/hello-1.0").is_symlink());
}

#[test]
fn from_the_directory_where_sources_go() {
    let machine = Machine::new();
    let directory = machine.source(&Source::hello());
    for path in [directory.clone(), format!("{directory}/dkms.conf")] {
        machine.dkms(format!("add {path}")).exits(0).prints(CREATED);
        machine.dkms("remove hello/1.0 --all").exits(0);
    }
}

#[test]
fn from_a_directory_over_another_source() {
    let machine = Machine::new();
    machine.source(&Source::hello().file("old", "").file("both", "old\n"));
    let directory = machine.source_at("from", &Source::hello().file("both", "new\n"));
    machine
        .dkms(format!("add {directory}"))
        .exits(0)
        .prints(CREATED);
    assert_eq!(machine.read("/usr/src/hello-1.0/both"), "new\n");
    assert!(machine.has("/usr/src/hello-1.0/old"));
    machine.dkms("remove hello/1.0 --all").exits(0);
    machine
        .dkms(format!("add {directory} --force"))
        .exits(0)
        .prints_both(&format!("Forcing install of hello/1.0\n{CREATED}"), "\n");
    assert!(!machine.has("/usr/src/hello-1.0/old"));
}

#[test]
fn from_a_directory_without_a_conf() {
    let machine = Machine::new();
    machine.shell("mkdir empty");
    machine.dkms("add ./empty").exits(2).warns(
        "

        Error! Could not find module source directory.
        Directory: /usr/src/.-empty does not exist.
        ",
    );
    machine.dkms("add ./empty/dkms.conf").exits(2).warns(
        "

        Error! Could not find module source directory.
        Directory: /usr/src/.-empty/dkms.conf does not exist.
        ",
    );
    machine.shell("mkdir /usr/src/hello-1.0");
    machine.dkms("add hello/1.0").exits(4).warns(
        "

        Error! Could not locate dkms.conf file.
        File: /usr/src/hello-1.0/dkms.conf does not exist.
        ",
    );
    machine.holds("/var/lib/dkms", "");
}

#[test]
fn from_a_directory_with_a_conf_that_names_nothing() {
    let machine = Machine::new();
    machine.shell("mkdir nothing; : >nothing/dkms.conf");
    let conf = machine.path("/home/nothing/dkms.conf");
    machine.dkms("add ./nothing").exits(8).warns(&format!(
        "dkms.conf: Error! No 'PACKAGE_NAME' directive specified.\n\
         dkms.conf: Error! No 'PACKAGE_VERSION' directive specified.\n\n\
         Error! Bad conf file.\nFile: {} does not represent a valid dkms.conf file.\n",
        conf.display()
    ));
    machine.holds("/usr/src", "");
    machine.holds("/var/lib/dkms", "");
}

#[test]
fn twice() {
    let machine = Machine::with_added(&Source::hello());
    for line in [
        "add hello/1.0",
        "add /usr/src/hello-1.0",
        "add hello/1.0 --force",
    ] {
        let err = "
            Error! DKMS tree already contains: hello/1.0
            You cannot add the same module/version combo more than once.
            ";
        let run = machine.dkms(line).exits(3);
        assert!(run.err.contains(&super::run::text(err)), "{run}");
        assert_eq!(run.out, "");
    }
}

#[test]
fn two_versions_and_two_packages() {
    let machine = Machine::with_added(&Source::hello());
    machine.add(&Source::of("hello", "2.0", Module::Two));
    machine.add(&Source::of("other", "1.0", Module::One));
    machine.dkms("status").prints(
        "
        hello/1.0: added
        hello/2.0: added
        other/1.0: added
        ",
    );
}

#[test]
fn names_and_versions_of_all_sorts() {
    let machine = Machine::new();
    for (name, version) in [
        ("a", "0"),
        ("nvidia-current", "535.247.01"),
        ("zfs", "2.1.11~rc1+git-3"),
        ("UPPER_lower.dot", "1:2.0_x"),
    ] {
        let source = Source::of(name, version, Module::One);
        machine.source(&source);
        machine
            .dkms(format!("add {name}/{version}"))
            .exits(0)
            .prints(&format!(
                "Creating symlink /var/lib/dkms/{name}/{version}/source -> \
                 /usr/src/{name}-{version}\n"
            ));
        machine
            .dkms(format!("build {name}/{version} -k KERNEL"))
            .exits(0);
        machine
            .dkms(format!("status {name}/{version}"))
            .prints(&format!("{name}/{version}, KERNEL, ARCH: built\n"));
    }
}

#[test]
fn another_conf() {
    let machine = Machine::new();
    machine.source(&Source::hello());
    machine.write("/home/other.conf", "PACKAGE_NAME=hello\n");
    let conf = machine.path("/home/other.conf");
    machine
        .dkms(format!("add hello/1.0 -c {}", conf.display()))
        .exits(8)
        .warns(&format!(
            "dkms.conf: Error! No 'PACKAGE_VERSION' directive specified.\n\n\
             Error! Bad conf file.\nFile: {} does not represent a valid dkms.conf file.\n",
            conf.display()
        ));
    machine
        .dkms("add hello/1.0 -c /nowhere/dkms.conf")
        .exits(4)
        .warns(
            "

            Error! Could not locate dkms.conf file.
            File: /nowhere/dkms.conf does not exist.
            ",
        );
}

#[test]
fn after_its_source_link_has_gone() {
    let machine = Machine::with_added(&Source::hello());
    machine.shell("rm /var/lib/dkms/hello/1.0/source");
    machine.dkms("add hello/1.0").exits(0).prints(CREATED);
    machine.dkms("status").prints("hello/1.0: added\n");
}

/// An archive whose conf says this name and version, with another file; gives its path.
pub(super) fn archive(machine: &Machine, name: &str, version: &str) -> &'static str {
    machine
        .shell(&format!(
            "mkdir -p /usr/src/a/p/scripts; cd /usr/src/a; echo theirs >p/Makefile; echo theirs >p/hello.c
             printf 'PACKAGE_NAME=%s\nPACKAGE_VERSION=%s\nBUILT_MODULE_NAME=x\nDEST_MODULE_LOCATION=/extra\n' '{name}' '{version}' >p/dkms.conf
             tar czf ../a.tar.gz p"
        ))
        .exits(0);
    "/usr/src/a.tar.gz"
}

#[test]
fn the_place_of_something_else_is_not_taken() {
    let machine = Machine::new();
    machine.add(&Source::of("hello", "1.0-2", Module::One));
    machine
        .shell("mkdir -p /usr/src/headers-1.0; echo ours >/usr/src/headers-1.0/Makefile")
        .exits(0);
    for force in ["", " --force"] {
        for (name, version) in [("headers", "1.0"), ("hello-1.0", "2")] {
            let path = archive(&machine, name, version);
            for line in [format!("ldtarball {path}"), "add /usr/src/a/p".to_owned()] {
                machine
                    .dkms(format!("{line}{force}"))
                    .exits(1)
                    .says(&format!(
                        "{name}-{version} is not the source of {name}/{version}."
                    ));
            }
        }
    }
    assert_eq!(machine.read("/usr/src/headers-1.0/Makefile"), "ours\n");
    assert!(!machine.has("/usr/src/hello-1.0-2/hello.c"));
}

#[test]
fn the_source_of_an_added_package_stays() {
    let machine = Machine::new();
    machine.add(&Source::hello());
    let path = archive(&machine, "hello", "1.0");
    for line in [format!("ldtarball {path}"), "add /usr/src/a/p".to_owned()] {
        machine
            .dkms(line)
            .exits(3)
            .says("Error! DKMS tree already contains: hello/1.0");
    }
    assert!(!machine.has("/usr/src/hello-1.0/hello.c"));
}

#[test]
fn names_that_the_tree_has_for_itself() {
    let machine = Machine::new();
    for (name, version) in [
        ("hello", "original_module"),
        ("hello", ".superseded_module"),
        ("hello", ".new_1.0"),
        ("hello", ".tmp_1.0"),
        ("hello", "kernel-6.1.0-x86_64"),
        (".tmp_x", "1.0"),
        ("mok.key", "1.0"),
    ] {
        let path = archive(&machine, name, version);
        for line in [format!("ldtarball {path}"), "add /usr/src/a/p".to_owned()] {
            let run = machine.dkms(line);
            assert!(run.exits_with() != Some(0), "{name} {version}: {run}");
        }
        machine.dkms("status").prints("");
    }
    machine.holds("/var/lib/dkms", "");
}

#[test]
fn a_name_that_is_reserved_is_said_to_be() {
    for (name, version, told) in [
        ("mok.key", "1.0", "PACKAGE_NAME \"mok.key\" is reserved"),
        (
            "hello",
            "original_module",
            "PACKAGE_VERSION \"original_module\" is reserved",
        ),
        (".x", "1.0", "PACKAGE_NAME \".x\" starts with a dot"),
    ] {
        let machine = Machine::new();
        let source = Source::of(name, version, Module::One);
        let directory = machine.source_at("source", &source);
        machine
            .dkms(format!("add {directory}"))
            .exits(8)
            .says(&format!("dkms.conf: Error! {told}"));
        machine.source(&source);
        machine
            .dkms(format!("add {name}/{version}"))
            .exits(2)
            .says(&format!("Error! {told}"))
            .never_says("does not exist");
        machine.holds("/var/lib/dkms", "");
    }
}

#[test]
fn an_archive_has_modules_for_kernels_and_nothing_else() {
    for kernel in ["source", "build", ".tmp_x", "KERNEL"] {
        let machine = Machine::new();
        archive(&machine, "hello", "1.0");
        machine
            .shell(&format!(
                "cd /usr/src/a; mv p dkms_source_tree; mkdir -p dkms_main_tree/{kernel}; echo x >dkms_main_tree/{kernel}/file
                 tar czf ../a.tar.gz dkms_source_tree dkms_main_tree"
            ))
            .exits(0);
        machine
            .dkms("ldtarball /usr/src/a.tar.gz")
            .exits(7)
            .says(" of the tarball is of no kernel.");
        machine.holds("/var/lib/dkms", "");
        assert!(!machine.has("/usr/src/hello-1.0"));
    }
}
