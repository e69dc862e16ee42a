//! Several dkms at once, and one that is killed.

use crate::{kernel::named, machine::Machine, modules::Module, run::wait_until, source::Source};

/// A package whose build waits for a file of the test's, and tells that it waits.
fn waiting(machine: &Machine) -> Source {
    let gate = machine.path("/home");
    let gate = gate.to_str().unwrap();
    Source::hello().conf("PRE_INSTALL=wait.sh").script(
        "wait.sh",
        &format!("#!/bin/sh\n: >{gate}/waits\nuntil [ -e {gate}/go ]; do sleep 0.02; done\n"),
    )
}

#[test]
fn a_second_one_waits_for_the_package() {
    let machine = Machine::new();
    machine.build(&waiting(&machine));
    let mut first = machine.start("install hello/1.0 -k KERNEL");
    wait_until("it installs", || machine.has("/home/waits"));
    let mut second = machine.start("uninstall hello/1.0 -k KERNEL");
    second.until_says("Waiting for another dkms that works on hello/1.0...\n");
    machine.dkms("status").exits(0);
    assert!(!first.has_ended() && !second.has_ended());
    machine.write("/home/go", "");
    first.finish().exits(0);
    second
        .finish()
        .exits(0)
        .says("Deleting /lib/modules/KERNEL/updates/dkms/hello.ko\n");
    machine
        .dkms("status")
        .prints("hello/1.0, KERNEL, ARCH: built\n");
}

#[test]
fn a_second_one_waits_for_the_kernel() {
    let machine = Machine::new();
    machine.build(&waiting(&machine));
    machine.build(&Source::of("other", "1.0", Module::One));
    machine.build(&Source::of("third", "1.0", Module::One));
    machine.dkms("build third/1.0 -k SECOND").exits(0);
    let first = machine.start("install hello/1.0 -k KERNEL");
    wait_until("it installs", || machine.has("/home/waits"));
    let mut second = machine.start("install other/1.0 -k KERNEL");
    second.until_says("Waiting for another dkms that works on kernel KERNEL...\n");
    machine.dkms("install third/1.0 -k SECOND").exits(0);
    machine.write("/home/go", "");
    first.finish().exits(0);
    second.finish().exits(0);
    machine.dkms("status").prints(
        "
        hello/1.0, KERNEL, ARCH: installed
        other/1.0, KERNEL, ARCH: installed
        third/1.0, KERNEL, ARCH: built
        third/1.0, SECOND, ARCH: installed
        ",
    );
}

#[test]
fn the_same_package_is_added_once() {
    let machine = Machine::new();
    machine.source(&Source::hello());
    let runs = [(); 4].map(|()| machine.start("add hello/1.0"));
    let mut codes = runs.map(|run| run.finish().exits_with());
    codes.sort();
    assert_eq!(codes, [Some(0), Some(3), Some(3), Some(3)]);
}

#[test]
fn all_install_at_once() {
    let machine = Machine::new();
    for name in ["one", "two", "three"] {
        machine.add(&Source::of(name, "1.0", Module::One));
    }
    let runs = [
        "autoinstall -k KERNEL",
        "autoinstall -k KERNEL",
        "autoinstall -k SECOND",
        "install two/1.0 -k KERNEL",
    ]
    .map(|line| machine.start(line));
    for run in runs {
        run.finish().exits(0);
    }
    let installed = machine.dkms("status").out;
    assert_eq!(installed.matches(": installed\n").count(), 6, "{installed}");
}

/// Kills dkms while a script of the package's runs, and asserts that nothing is half done.
#[test]
fn one_that_is_killed_while_it_installs() {
    let machine = Machine::new();
    machine.install(&Source::hello());
    let source = Source::of("hello", "2.0", Module::Two)
        .conf("PRE_INSTALL=wait.sh")
        .script(
            "wait.sh",
            &format!(
                "#!/bin/sh\n: >{0}/waits\nuntil [ -e {0}/go ]; do sleep 0.02; done\n",
                machine.path("/home").display()
            ),
        );
    machine.build(&source);
    let run = machine.start("install hello/2.0 -k KERNEL");
    wait_until("it installs", || machine.has("/home/waits"));
    machine.shell("kill -KILL $(pgrep -x dkms)");
    machine.write("/home/go", "");
    assert_ne!(run.finish().exits_with(), Some(0));
    assert_eq!(
        machine.installed("updates/dkms/hello.ko"),
        Module::One.bytes()
    );
    machine.dkms("status").prints(
        "
        hello/1.0, KERNEL, ARCH: installed
        hello/2.0, KERNEL, ARCH: built
        ",
    );
    machine.dkms("install hello/2.0 -k KERNEL").exits(0);
    assert_eq!(
        machine.installed("updates/dkms/hello.ko"),
        Module::Two.bytes()
    );
}

/// Kills dkms when the modules are in place and depmod runs.
#[test]
fn one_that_is_killed_before_depmod_is_done() {
    let machine = Machine::setup()
        .installed_kernel()
        .program(
            "depmod",
            "#!/bin/sh\necho \"$*\" >>$TMPDIR/runs\nuntil [ -e $TMPDIR/go ]; do sleep 0.02; done\n",
        )
        .start();
    machine.build(&Source::hello());
    let run = machine.start("install hello/1.0 -k KERNEL");
    wait_until("depmod runs", || machine.has("/tmp/runs"));
    machine.shell("kill -KILL $(pgrep -x dkms)");
    machine.write("/tmp/go", "");
    assert_ne!(run.finish().exits_with(), Some(0));
    assert_eq!(
        machine.installed("updates/dkms/hello.ko"),
        Module::One.bytes()
    );
    machine
        .dkms("autoinstall -k KERNEL")
        .exits(0)
        .says("Finishing an interrupted change of the modules of kernel KERNEL.\n");
    assert_eq!(machine.read("/tmp/runs"), named("-a KERNEL\n-a KERNEL\n"));
    machine.holds(
        "/lib/modules",
        "
        KERNEL/
        KERNEL/modules.dep
        KERNEL/updates/
        KERNEL/updates/dkms/
        KERNEL/updates/dkms/hello.ko
        SECOND/
        ",
    );
    machine
        .dkms("status")
        .prints("hello/1.0, KERNEL, ARCH: installed\n");
}

/// Kills dkms while it builds.
#[test]
fn one_that_is_killed_while_it_builds() {
    let machine = Machine::new();
    // The build cannot see the machine's directories: it tells by a process of this name.
    let source = Source::hello().conf(
        "MAKE[0]='test -e /usr/src/hello-1.0/go || exec sleep 86399.7; cp -r prebuilt/${kernelver}/. .'",
    );
    machine.add(&source);
    let run = machine.start("build hello/1.0 -k KERNEL");
    wait_until("it builds", || {
        machine
            .shell("pgrep -f '[8]6399.7' || :")
            .out
            .lines()
            .count()
            > 0
    });
    machine.shell("kill -KILL $(pgrep -x dkms)");
    assert_ne!(run.finish().exits_with(), Some(0));
    machine.dkms("status").prints("hello/1.0: added\n");
    wait_until("the build has ended too", || {
        machine
            .shell("pgrep -f '[8]6399.7' || :")
            .out
            .lines()
            .count()
            == 0
    });
    machine.source(&Source::hello());
    machine.dkms("install hello/1.0 -k KERNEL").exits(0);
}

#[test]
fn an_interrupt_ends_a_build() {
    let machine = Machine::new();
    machine.add(&Source::hello().conf("MAKE[0]='exec sleep 86398.3'"));
    let run = machine.start("build hello/1.0 -k KERNEL");
    wait_until("it builds", || {
        machine
            .shell("pgrep -f '[8]6398.3' || :")
            .out
            .lines()
            .count()
            > 0
    });
    machine.shell("kill -INT $(pgrep -x dkms)");
    assert_ne!(run.finish().exits_with(), Some(0));
    assert_eq!(machine.shell("pgrep -f '[8]6398.3' || :").out, "");
    machine.dkms("status").prints("hello/1.0: added\n");
    machine.source(&Source::hello());
    machine.dkms("build hello/1.0 -k KERNEL").exits(0);
}

#[test]
fn a_build_that_is_killed_leaves_the_one_before() {
    let machine = Machine::new();
    machine.install(&Source::hello());
    let before = machine.tree("/var/lib/dkms/hello/1.0");
    machine.shell("sed -i '$ a MAKE=\"sleep 77.001\"' /usr/src/hello-1.0/dkms.conf");
    let killed = machine.shell(
        "dkms build hello/1.0 -k KERNEL --force & \
         until pgrep -f 'sleep 77[.]001' >/dev/null; do sleep 0.05; done; kill -KILL $!; wait $!",
    );
    killed.exits(137);
    assert_eq!(machine.tree("/var/lib/dkms/hello/1.0"), before);
    machine
        .dkms("status")
        .prints("hello/1.0, KERNEL, ARCH: installed\n");
    machine.dkms("uninstall hello/1.0 -k KERNEL").exits(0);
}

#[test]
fn what_a_killed_one_was_removing_is_gone() {
    let machine = Machine::new();
    machine.build(&Source::hello());
    // Nobody can remove it, which is as if it was killed.
    let built = named("/var/lib/dkms/hello/1.0/KERNEL/ARCH");
    machine.shell(&format!(
        "mkdir {built}/module/a; : >{built}/module/a/b; chattr +i {built}/module/a/b"
    ));
    machine
        .dkms("unbuild hello/1.0 -k KERNEL")
        .says("cannot remove");
    machine.dkms("status").prints("hello/1.0: added\n");
    machine.dkms("build hello/1.0 -k KERNEL").exits(0);
    machine.shell("chattr -R -i /var/lib/dkms");
    machine.dkms("remove hello/1.0 --all").exits(0);
    machine.holds("/var/lib/dkms", "");
}

#[test]
fn all_kernels_are_those_that_there_are_once_it_is_its_turn() {
    let machine = Machine::new();
    machine.build(&waiting(&machine));
    let first = machine.start("install hello/1.0 -k KERNEL -k SECOND");
    wait_until("it installs", || machine.has("/home/waits"));
    let mut second = machine.start("remove hello/1.0 --all");
    second.until_says("Waiting for another dkms that works on hello/1.0...\n");
    machine.write("/home/go", "");
    first.finish().exits(0);
    second.finish().exits(0);
    machine.holds("/var/lib/dkms", "");
    assert!(!machine.has(named("/lib/modules/SECOND/updates")));
}
