//! `dkms mktarball`, `dkms ldtarball`, and `dkms add` of an archive.

use super::{add::archive, kernel::named, machine::Machine, modules::Module, source::Source};

/// Files in a tarball, a path a line, sorted, without directories.
fn files(machine: &Machine, tarball: &str) -> String {
    let script = format!("tar -tf {tarball} | grep -v '/$' | LC_ALL=C sort");
    machine.shell(&script).exits(0).out
}

/// A source with few files.
fn small() -> Source {
    Source::empty("hello", "1.0")
        .conf("BUILT_MODULE_NAME=hello\nDEST_MODULE_LOCATION=/extra\nMAKE=\"cp one.ko hello.ko\"")
        .file("one.ko", Module::One.bytes())
        .script("sub/configure", "#!/bin/sh\n")
}

const NAME: &str = "/var/lib/dkms/hello/1.0/tarball/hello-1.0-kernelKERNEL-ARCH.dkms.tar.gz";

#[test]
fn of_a_source_and_its_modules() {
    let machine = Machine::new();
    machine.build(&small());
    machine
        .dkms("mktarball hello/1.0 -k KERNEL")
        .exits(0)
        .prints(
            "
            Marking modules for KERNEL (ARCH) for archiving...

            Marking /var/lib/dkms/hello/1.0/source for archiving...

            Tarball location: /var/lib/dkms/hello/1.0/tarball//hello-1.0-kernelKERNEL-ARCH.dkms.tar.gz
            ",
        );
    assert_eq!(
        files(&machine, NAME),
        super::run::text(
            "
            ./dkms_main_tree/KERNEL/ARCH/log/make.log
            ./dkms_main_tree/KERNEL/ARCH/module/hello.ko
            ./dkms_source_tree/dkms.conf
            ./dkms_source_tree/one.ko
            ./dkms_source_tree/sub/configure
            "
        )
    );
    machine.dkms("remove hello/1.0 --all").exits(0);
}

#[test]
fn of_two_kernels() {
    let machine = Machine::with_added(&Source::hello());
    machine.dkms("build hello/1.0 -k KERNEL -k SECOND").exits(0);
    for kernels in ["-k KERNEL -k SECOND", "--all"] {
        machine
            .dkms(format!("mktarball hello/1.0 {kernels}"))
            .exits(0)
            .says("hello-1.0-kernelKERNEL-ARCH-kernelSECOND-ARCH.dkms.tar.gz\n");
    }
    let tarball =
        "/var/lib/dkms/hello/1.0/tarball/hello-1.0-kernelKERNEL-ARCH-kernelSECOND-ARCH.dkms.tar.gz";
    let files = files(&machine, tarball);
    assert!(
        files.contains("./dkms_main_tree/KERNEL/ARCH/module/hello.ko\n"),
        "{files}"
    );
    assert!(
        files.contains("./dkms_main_tree/SECOND/ARCH/module/hello.ko\n"),
        "{files}"
    );
}

#[test]
fn of_many_kernels() {
    let machine = Machine::with_added(&small());
    machine.shell(
        "for i in 1 2 3 4 5 6 7; do d=/var/lib/dkms/hello/1.0/6.$i-of-a-rather-long-name/ARCH/module; \
         mkdir -p $d; : >$d/hello.ko; done",
    );
    machine.dkms("mktarball hello/1.0 --all").exits(0).says(
        "Tarball location: /var/lib/dkms/hello/1.0/tarball//hello-1.0-manykernels.dkms.tar.gz\n",
    );
}

#[test]
fn of_the_source_only() {
    let machine = Machine::with_added(&small());
    machine
        .dkms("mktarball hello/1.0 --source-only")
        .exits(0)
        .prints(
            "

            Marking /var/lib/dkms/hello/1.0/source for archiving...

            Tarball location: /var/lib/dkms/hello/1.0/tarball//hello-1.0-source-only.dkms.tar.gz
            ",
        );
    assert_eq!(
        files(
            &machine,
            "/var/lib/dkms/hello/1.0/tarball/hello-1.0-source-only.dkms.tar.gz"
        ),
        super::run::text(
            "
            ./dkms_source_tree/dkms.conf
            ./dkms_source_tree/one.ko
            ./dkms_source_tree/sub/configure
            "
        )
    );
}

#[test]
fn of_the_modules_only() {
    let machine = Machine::new();
    machine.build(&small());
    machine
        .dkms("mktarball hello/1.0 -k KERNEL --binaries-only")
        .exits(0)
        .prints(
            "
            Marking modules for KERNEL (ARCH) for archiving...

            Creating tarball structure to specifically accommodate binaries.

            Tarball location: /var/lib/dkms/hello/1.0/tarball//hello-1.0-kernelKERNEL-ARCH.dkms.tar.gz
            ",
        );
    assert_eq!(
        files(&machine, NAME),
        super::run::text(
            "
            ./dkms_binaries_only/PACKAGE_NAME
            ./dkms_binaries_only/PACKAGE_VERSION
            ./dkms_binaries_only/dkms.conf
            ./dkms_main_tree/KERNEL/ARCH/log/make.log
            ./dkms_main_tree/KERNEL/ARCH/module/hello.ko
            "
        )
    );
}

#[test]
fn at_a_place_that_is_given() {
    let machine = Machine::new();
    machine.build(&small());
    let place = machine.path("/home/new/ours.tar.xz");
    let place = place.to_str().unwrap();
    machine
        .dkms(format!("mktarball hello/1.0 -k KERNEL --archive {place}"))
        .exits(0)
        .says(&format!("Tarball location: {place}\n"));
    machine.shell("xz -t new/ours.tar.xz").exits(0);
    let place = machine.path("/home/new/ours.tbz");
    machine
        .dkms(format!(
            "mktarball hello/1.0 -k KERNEL --archive {}",
            place.display()
        ))
        .exits(0);
    machine.shell("tar -tf new/ours.tbz").exits(0);
    machine.shell("bzip2 -t <new/ours.tbz").exits(0);
    machine
        .dkms("mktarball hello/1.0 -k KERNEL --archive=plain.tar")
        .exits(0)
        .says("Tarball location: /var/lib/dkms/hello/1.0/tarball//plain.tar\n");
}

#[test]
fn of_what_is_not_built() {
    let machine = Machine::with_added(&small());
    machine
        .dkms("mktarball hello/1.0 -k KERNEL")
        .exits(6)
        .warns(
            "

            Error! No modules built for KERNEL (ARCH).
            Modules must already be in the built state before using mktarball.
            ",
        );
}

#[test]
fn to_where_nobody_may_write() {
    let machine = Machine::new();
    machine.build(&small());
    machine
        .dkms("mktarball hello/1.0 -k KERNEL --archive /proc/none/a.tar")
        .exits(9)
        .prints_both(
            "
            Marking modules for KERNEL (ARCH) for archiving...

            Marking /var/lib/dkms/hello/1.0/source for archiving...

            Tarball location: /proc/none/a.tar
            ",
            "

            Error! Missing write permissions for /proc/none.
            ",
        );
    machine
        .dkms("mktarball hello/1.0 -k KERNEL --archive ours.tar.what")
        .exits(0);
}

/// What loading a package with its source and its modules says.
const LOADED: &str = "

    Loading tarball for hello/1.0
    Loading /var/lib/dkms/hello/1.0/KERNEL/ARCH...
    Creating symlink /var/lib/dkms/hello/1.0/source -> /usr/src/hello-1.0
    ";

/// A machine with a tarball in `home`, and nothing in the tree.
fn machine_with_tarball(options: &str) -> (Machine, String) {
    let machine = Machine::new();
    machine.build(&small());
    let tarball = machine.path("/home/hello.tar.gz");
    let tarball = tarball.to_str().unwrap().to_owned();
    machine
        .dkms(format!(
            "mktarball hello/1.0 -k KERNEL {options} --archive {tarball}"
        ))
        .exits(0);
    machine.dkms("remove hello/1.0 --all").exits(0);
    machine.shell("rm -r /usr/src/hello-1.0");
    (machine, tarball)
}

#[test]
fn loading_a_source_and_its_modules() {
    let (machine, tarball) = machine_with_tarball("");
    machine
        .dkms(format!("ldtarball {tarball}"))
        .exits(0)
        .prints(LOADED);
    machine
        .dkms("status")
        .prints("hello/1.0, KERNEL, ARCH: built\n");
    let module = named("/var/lib/dkms/hello/1.0/KERNEL/ARCH/module/hello.ko");
    assert_eq!(machine.bytes(module), Module::One.bytes());
    machine.dkms("install hello/1.0 -k KERNEL").exits(0);
}

#[test]
fn loading_twice() {
    let (machine, tarball) = machine_with_tarball("");
    machine
        .dkms(format!("ldtarball --archive={tarball}"))
        .exits(0);
    machine.dkms(format!("ldtarball {tarball}")).exits(8).warns(
        "

            Error! hello/1.0 is already added!
            Aborting.
            ",
    );
    machine
        .dkms(format!("ldtarball {tarball} --force"))
        .exits(3)
        .says("Loading /var/lib/dkms/hello/1.0/KERNEL/ARCH...\n")
        .says("Error! DKMS tree already contains: hello/1.0\n");
    machine
        .dkms("status")
        .prints("hello/1.0, KERNEL, ARCH: built\n");
}

#[test]
fn loading_the_source_only() {
    let (machine, tarball) = machine_with_tarball("--source-only");
    machine
        .dkms(format!("ldtarball {tarball}"))
        .exits(0)
        .prints(
            "

            Loading tarball for hello/1.0
            Creating symlink /var/lib/dkms/hello/1.0/source -> /usr/src/hello-1.0
            ",
        );
    machine.dkms("status").prints("hello/1.0: added\n");
}

#[test]
fn loading_modules_only() {
    let (machine, tarball) = machine_with_tarball("--binaries-only");
    machine
        .dkms(format!("ldtarball {tarball}"))
        .exits(1)
        .prints(
            "

            Loading tarball for hello/1.0
            Creating /var/lib/dkms/hello/1.0/source
            Copying dkms.conf to /var/lib/dkms/hello/1.0/source ...
            Loading /var/lib/dkms/hello/1.0/KERNEL/ARCH...
            ",
        );
    machine.holds(
        "/var/lib/dkms",
        "
        hello/
        hello/1.0/
        hello/1.0/KERNEL/
        hello/1.0/KERNEL/ARCH/
        hello/1.0/KERNEL/ARCH/log/
        hello/1.0/KERNEL/ARCH/log/make.log
        hello/1.0/KERNEL/ARCH/module/
        hello/1.0/KERNEL/ARCH/module/hello.ko
        hello/1.0/source/
        hello/1.0/source/dkms.conf
        ",
    );
}

#[test]
fn loading_modules_only_beside_a_source() {
    let (machine, tarball) = machine_with_tarball("--binaries-only");
    machine.source(&small());
    machine
        .dkms(format!("ldtarball {tarball}"))
        .exits(0)
        .prints(LOADED);
    machine
        .dkms("status")
        .prints("hello/1.0, KERNEL, ARCH: built\n");
}

#[test]
fn loading_what_is_not_there() {
    let machine = Machine::new();
    machine
        .dkms("ldtarball --archive /home/none.tar.gz")
        .exits(2)
        .warns("\nError! /home/none.tar.gz does not exist.\n");
    machine
        .dkms("ldtarball")
        .exits(2)
        .warns("\nError!  does not exist.\n");
}

#[test]
fn loading_what_is_no_package() {
    let machine = Machine::new();
    machine.shell("mkdir in; : >in/readme; tar -czf no.tar.gz in; mkdir -p bad/dkms_main_tree; tar -C bad -cf bad.tar .");
    machine.dkms("ldtarball no.tar.gz").exits(3).warns(
        "

        Error! Tarball does not appear to be a correctly formed DKMS archive. No dkms.conf found \
         within it.
        ",
    );
    machine.dkms("ldtarball bad.tar").exits(7).warns(
        "

        Error! No valid dkms.conf in dkms_source_tree or dkms_binaries_only.
        bad.tar is not a valid DKMS tarball.
        ",
    );
    machine.shell("ls -A $TMPDIR").prints("");
}

#[test]
fn adding_a_tarball_of_a_source() {
    for (ending, option) in [
        ("tar", "--sparse"),
        ("tar.gz", "--gzip"),
        ("tar.xz", "--xz"),
        ("tar.zst", "--zstd"),
    ] {
        let machine = Machine::new();
        machine.source_at("tree/hello-anything", &small());
        machine.shell(&format!(
            "tar -C tree {option} -cf ours.{ending} hello-anything"
        ));
        for action in ["add", "ldtarball"] {
            machine
                .dkms(format!("{action} ours.{ending}"))
                .exits(0)
                .prints(
                    "
                    Creating symlink /var/lib/dkms/hello/1.0/source -> /usr/src/hello-1.0
                    ",
                );
            assert_eq!(
                machine.bytes("/usr/src/hello-1.0/one.ko"),
                Module::One.bytes()
            );
            machine.dkms("remove hello/1.0 --all").exits(0);
            machine.shell("rm -r /usr/src/hello-1.0");
        }
    }
}

#[test]
fn adding_a_tarball_that_dkms_made() {
    let (machine, tarball) = machine_with_tarball("");
    machine
        .dkms(format!("add {tarball}"))
        .exits(0)
        .prints(LOADED);
    machine
        .dkms("status")
        .prints("hello/1.0, KERNEL, ARCH: built\n");
}

#[test]
fn building_and_installing_an_archive() {
    let machine = Machine::new();
    machine.source_at("tree", &small());
    machine.shell("tar -C tree -czf ours.tar.gz .");
    machine
        .dkms("install ours.tar.gz -k KERNEL")
        .exits(0)
        .prints(
            "
            Creating symlink /var/lib/dkms/hello/1.0/source -> /usr/src/hello-1.0

            Module signing is disabled by policy, modules won't be signed

            Building module(s)... done.
            Installing /lib/modules/KERNEL/updates/dkms/hello.ko
            Running depmod... done.
            ",
        );
}

#[test]
fn a_package_of_rpm() {
    let machine = Machine::setup()
        .program("rpm", "#!/bin/sh\necho \"rpm $*\"; [ \"$2\" != bad.rpm ]\n")
        .start();
    machine.write("/home/good.rpm", "");
    machine.write("/home/bad.rpm", "");
    machine.add(&Source::hello());
    machine
        .dkms("ldtarball good.rpm -k KERNEL")
        .exits(0)
        .prints(
            "
            rpm -Uvh good.rpm
            Module signing is disabled by policy, modules won't be signed

            Autoinstall of module hello/1.0 for kernel KERNEL (ARCH)
            Building module(s)... done.
            Installing /lib/modules/KERNEL/updates/dkms/hello.ko
            Running depmod... done.

            Autoinstall on KERNEL succeeded for module(s) hello.
            ",
        );
    machine
        .dkms("ldtarball bad.rpm -k KERNEL")
        .exits(9)
        .prints_both(
            "rpm -Uvh bad.rpm\n",
            "

            Error! Unable to install bad.rpm using rpm.
            Check to ensure that your system can install .rpm files.
            ",
        );
}

/// A machine with `good.tar.gz`, which has a source and a module of it, in a directory.
fn with_a_tarball() -> (Machine, String) {
    let machine = Machine::new();
    let place = machine.path("/tmp").display().to_string();
    machine.build(&small());
    machine
        .dkms(format!(
            "mktarball hello/1.0 -k KERNEL --archive={place}/good.tar.gz"
        ))
        .exits(0);
    machine.dkms("remove hello/1.0 --all").exits(0);
    (machine, place)
}

#[test]
fn that_is_cut_short() {
    let (machine, place) = with_a_tarball();
    machine.shell(&format!(
        "cd {place}; head -c $(($(stat -c %s good.tar.gz) / 2)) good.tar.gz >half.tar.gz"
    ));
    machine.write("/usr/src/hello-1.0/mine", "the owner's");
    let before = machine.tree("/usr/src/hello-1.0");
    machine
        .dkms(format!("ldtarball {place}/half.tar.gz --force"))
        .exits(7)
        .says("half.tar.gz cannot be unpacked whole");
    assert_eq!(machine.tree("/usr/src/hello-1.0"), before);
    assert!(!machine.has("/var/lib/dkms/hello"));
}

#[test]
fn with_a_link_for_a_module_and_a_program_that_runs_as_root() {
    let (machine, place) = with_a_tarball();
    let remade = |change: &str| {
        machine.shell(&format!(
            "rm -rf {place}/x /usr/src/hello-1.0; mkdir {place}/x; cd {place}/x; tar xf ../good.tar.gz; {change}; \
             tar czf ../bad.tar.gz ."
        ));
    };
    remade("chmod 6755 dkms_source_tree/sub/configure");
    machine
        .dkms(format!("ldtarball {place}/bad.tar.gz"))
        .exits(0);
    machine
        .shell("find /usr/src/hello-1.0 -perm /6000 | grep . && exit 1; true")
        .exits(0);
    machine.dkms("remove hello/1.0 --all").exits(0);
    machine.shell(&format!(
        "cd {place}; echo secret >secret; chmod 600 secret"
    ));
    remade(&named(
        "ln -sf ../../../../../secret dkms_main_tree/KERNEL/ARCH/module/hello.ko",
    ));
    machine
        .dkms(format!("ldtarball {place}/bad.tar.gz"))
        .exits(7)
        .says("KERNEL/ARCH/module/hello.ko of the tarball is a link");
}

/// A package as .rpm that has a script for each step, whose machine has another with triggers for it.
const SPEC: &str = "Name: foo
Version: 1.0
Release: 1
Summary: The source of a module
License: GPL-2.0-only
BuildArch: noarch
Provides: /bin/sh
%description
The source of a module.
%install
mkdir -p %{buildroot}/usr/src
cp -r /usr/src/hello-1.0 %{buildroot}/usr/src/foo-1.0
sed -i s/PACKAGE_NAME=.*/PACKAGE_NAME=foo/ %{buildroot}/usr/src/foo-1.0/dkms.conf
%files
/usr/src/foo-1.0
%pre
echo pre >>/var/lib/dkms/ran
%post
echo post >>/var/lib/dkms/ran
dkms add foo/1.0
%posttrans
echo posttrans >>/var/lib/dkms/ran
%transfiletriggerin -- /usr/src
echo filetrigger >>/var/lib/dkms/ran; cat >/dev/null
";

#[test]
fn a_real_rpm_runs_its_scripts_only_where_they_are_wanted() {
    for (option, setting, reason) in [
        ("", "", None),
        ("--no-scripts", "", Some("--no-scripts")),
        ("", "no_scripts=yes\n", Some("no_scripts in framework.conf")),
    ] {
        let machine = Machine::setup()
            .file("/etc/dkms/framework.conf.d/more.conf", setting)
            .file("/usr/src/rpm/foo.spec", SPEC)
            .start();
        machine.source(&Source::hello());
        // Its database is below HOME or /var/lib, by distribution.
        let run = machine
            .shell(&format!(
                "export HOME=/usr/src/rpm; cd $HOME; printf '%%_dbpath /usr/src/rpm/db\n' >.rpmmacros
                 rpmbuild -bb --quiet --define '_topdir /usr/src/rpm/top' --define '_rpmdir /usr/src/rpm' foo.spec
                 rpm --initdb
                 dkms ldtarball noarch/foo-1.0-1.noarch.rpm -k KERNEL {option}"
            ))
            .exits(0);
        match reason {
            None => {
                let ran = machine.read("/var/lib/dkms/ran");
                assert_eq!(ran, "pre\npost\nposttrans\nfiletrigger\n");
                machine
                    .dkms("status foo/1.0")
                    .says("foo/1.0, KERNEL, ARCH: installed");
            }
            Some(reason) => {
                run.says(&format!(
                    "scripts of noarch/foo-1.0-1.noarch.rpm ({reason})"
                ));
                assert!(!machine.has("/var/lib/dkms/ran"));
                machine.dkms("status foo/1.0").prints("");
                machine.dkms("add foo/1.0").exits(0);
            }
        }
    }
}

#[test]
fn what_a_killed_command_left_goes_with_the_next() {
    let machine = Machine::setup()
        .file(
            "/etc/dkms/framework.conf",
            "tmp_location=/var/lib/dkms/tmp\n",
        )
        .start();
    let path = archive(&machine, "hello", "1.0");
    machine
        .shell("mkdir -p /usr/src/.kiln-tree-left/new /var/lib/dkms/tmp/kiln-dkms-left/deep /var/lib/dkms/tmp/dkms.other")
        .exits(0);
    machine.dkms(format!("ldtarball {path}")).exits(0);
    assert!(machine.has("/usr/src/hello-1.0"));
    machine
        .shell("ls -A /usr/src /var/lib/dkms/tmp")
        .never_says("kiln")
        .says("dkms.other");
}

#[test]
fn a_module_of_another_kernel_is_not_installed() {
    let other = "cd /usr/src; tar xzf hello.tar.gz; cd dkms_main_tree; mv KERNEL SECOND; cd ..";
    let none = "cd /usr/src; tar xzf hello.tar.gz; mv dkms_main_tree/KERNEL dkms_main_tree/SECOND
                echo garbage >$(find dkms_main_tree -name hello.ko)";
    for (change, words) in [
        (
            other,
            "hello.ko was built for kernel KERNEL, not for SECOND.",
        ),
        (none, "hello.ko is not a kernel module: "),
    ] {
        let machine = Machine::new();
        machine.build(&Source::hello());
        machine
            .dkms("mktarball hello/1.0 -k KERNEL --archive=/usr/src/hello.tar.gz")
            .exits(0);
        machine.dkms("remove hello/1.0 --all").exits(0);
        machine
            .shell(&format!(
                "{change}; rm -r hello-1.0; tar czf other.tar.gz dkms_*"
            ))
            .exits(0);
        machine.dkms("ldtarball /usr/src/other.tar.gz").exits(0);
        machine
            .dkms("install hello/1.0 -k SECOND")
            .exits(6)
            .says(words)
            .says("You may override by specifying --force.");
        machine.dkms("install hello/1.0 -k SECOND --force").exits(0);
    }
}

#[test]
fn nothing_is_read_through_a_link_out_of_an_archive() {
    let prepare = "mkdir -p /etc/closed/6.1/x86/module; chmod 700 /etc/closed; echo secret >/etc/closed/6.1/x86/module/key
         mkdir -p /etc/source; chmod 700 /etc/source; echo secret >/etc/source/private
         printf 'PACKAGE_NAME=h\nPACKAGE_VERSION=1\nBUILT_MODULE_NAME=h\nDEST_MODULE_LOCATION=/extra\n' >/etc/source/dkms.conf
         mkdir -p /usr/src/t; cd /usr/src/t";
    for (layout, place) in [
        (
            "mkdir dkms_source_tree; cp /etc/source/dkms.conf dkms_source_tree; ln -s /etc/closed dkms_main_tree",
            "dkms_main_tree",
        ),
        (
            "ln -s /etc/source dkms_source_tree; mkdir -p dkms_main_tree/6.1/x86; echo >dkms_main_tree/6.1/x86/a",
            "dkms_source_tree",
        ),
        (
            "ln -s /etc/source dkms_binaries_only; mkdir -p dkms_main_tree/6.1/x86; echo >dkms_main_tree/6.1/x86/a",
            "dkms_binaries_only",
        ),
        (
            "mkdir -p dkms_main_tree/6.1/x86 dkms_source_tree; ln -s /etc/source/dkms.conf dkms_source_tree",
            "dkms_source_tree/dkms.conf",
        ),
        ("mkdir p; ln -s /etc/source/dkms.conf p", "p/dkms.conf"),
    ] {
        let machine = Machine::new();
        machine
            .shell(&format!("{prepare}; {layout}; tar cf ../t.tar *"))
            .exits(0);
        machine
            .dkms("ldtarball /usr/src/t.tar")
            .exits(7)
            .says(&format!("{place} of the tarball leads out of it."));
        machine.holds("/var/lib/dkms", "");
        assert!(!machine.has("/usr/src/h-1"));
    }
}

#[test]
fn nobody_reads_in_a_tarball_what_they_cannot_read_outside() {
    for (script, mode) in [
        (":", "644"),
        ("chmod 700 /usr/src/hello-1.0", "600"),
        ("chmod 700 /usr/src/hello-1.0/sub", "600"),
        ("chmod 600 /usr/src/hello-1.0/one.ko", "600"),
        ("chmod 711 /usr/src/hello-1.0/sub", "600"),
        (
            "chmod 600 /var/lib/dkms/hello/1.0/KERNEL/ARCH/module/hello.ko",
            "600",
        ),
        ("chmod 700 /var/lib/dkms/hello", "600"),
        (
            "mkdir -m 700 /usr/src/x; mv /usr/src/hello-1.0 /usr/src/x/s; ln -s x/s /usr/src/hello-1.0",
            "600",
        ),
    ] {
        let machine = Machine::new();
        machine.build(&small());
        machine.shell(script).exits(0);
        for name in ["a.tar.gz", "a.tar", "a.tar.bz2"] {
            machine
                .shell(&format!(
                    "umask 022; : >{name}; dkms mktarball hello/1.0 -k KERNEL --archive $PWD/{name}"
                ))
                .exits(0);
            let run = machine.shell(&format!("stat -c %a {name}"));
            assert_eq!(run.out.trim(), mode, "{script}: {name}");
        }
    }
    let machine = Machine::new();
    machine.build(&small());
    machine
        .shell("chmod 600 /usr/src/hello-1.0/dkms.conf; umask 022; dkms mktarball hello/1.0 -k KERNEL --binaries-only --archive $PWD/a.tar")
        .exits(0);
    machine.shell("stat -c %a a.tar").prints("600\n");
}
