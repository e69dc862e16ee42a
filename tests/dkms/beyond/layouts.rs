//! Links, bind mounts and directories in one another: whatever is done there, no file of the
//! user's is lost.

use crate::{machine::Machine, modules::Module, run::Run, source::Source};

/// A source of the user's, with a file in a directory.
fn source() -> Source {
    Source::hello().file("sub/b", "b\n").file("zz", "zz\n")
}

/// The user's directory and what is in it, before a test.
struct Theirs<'a> {
    machine: &'a Machine,
    directory: &'static str,
    before: String,
}

impl<'a> Theirs<'a> {
    fn new(machine: &'a Machine, directory: &'static str) -> Self {
        let before = content(machine, directory);
        Self {
            machine,
            directory,
            before,
        }
    }

    #[track_caller]
    fn are_whole(&self) {
        assert_eq!(content(self.machine, self.directory), self.before);
    }
}

/// Every file below a directory, with its content.
fn content(machine: &Machine, directory: &str) -> String {
    let script = format!("cd {directory}; find . -not -type d | sort | xargs -r cksum");
    machine.shell(&script).exits(0).out
}

#[track_caller]
fn is_added(machine: &Machine) {
    machine.dkms("status").prints("hello/1.0: added\n");
    machine
        .shell("[ -e /usr/src/hello-1.0/dkms.conf ]")
        .exits(0);
}

fn home(machine: &Machine, name: &str) -> String {
    machine.path(format!("/home/{name}")).display().to_string()
}

#[test]
fn a_link_to_the_source_is_no_other_source() {
    let machine = Machine::new();
    let directory = machine.source_at("from", &source());
    machine.shell(&format!("ln -s {directory} /usr/src/hello-1.0"));
    let theirs = Theirs::new(&machine, "from");
    for line in [
        format!("add {directory}"),
        "add /usr/src/hello-1.0".to_owned(),
        format!("add {directory}/dkms.conf"),
        format!("add {directory} --force"),
        format!("build {directory}/dkms.conf -k KERNEL"),
    ] {
        machine.dkms(&line).exits(0);
        theirs.are_whole();
        assert!(machine.path("/usr/src/hello-1.0").is_symlink(), "{line}");
        machine.dkms("remove hello/1.0 --all").exits(0);
        theirs.are_whole();
    }
}

#[test]
fn a_bind_mount_of_the_source_is_no_other_source() {
    let machine = Machine::new();
    let directory = machine.source_at("from", &source());
    machine
        .shell(&format!(
            "mkdir /usr/src/hello-1.0; mount --bind {directory} /usr/src/hello-1.0"
        ))
        .exits(0);
    let theirs = Theirs::new(&machine, "from");
    for force in ["", " --force"] {
        machine.dkms(format!("add {directory}{force}")).exits(0);
        theirs.are_whole();
        is_added(&machine);
        machine.dkms("remove hello/1.0 --all").exits(0);
        theirs.are_whole();
    }
}

#[test]
fn force_removes_nothing_before_the_copy_is_whole() {
    let machine = Machine::new();
    let there = machine.source(&source());
    let theirs = Theirs::new(&machine, "/usr/src/hello-1.0");
    // dkms itself removes the source that it is to add.
    machine.dkms(format!("add {there} --force")).exits(0);
    theirs.are_whole();
    is_added(&machine);
    machine.dkms("remove hello/1.0 --all").exits(0);
    let directory = machine.source_at("from", &Source::of("hello", "1.0", Module::Two));
    machine.dkms(format!("add {directory} --force")).exits(0);
    assert!(!machine.has("/usr/src/hello-1.0/zz"));
    assert_eq!(machine.shell("ls -A /usr/src | grep kiln").out, "");
}

#[track_caller]
fn is_refused(run: &Run, reason: &str) {
    assert!(
        run.err.contains("Error! cannot copy ") && run.err.contains(reason),
        "{run}"
    );
}

#[test]
fn what_is_mounted_in_an_old_source_stays() {
    let machine = Machine::new();
    machine.source(&source());
    let directory = machine.source_at("from", &Source::hello());
    machine
        .shell("mkdir data; echo mine >data/mine; mount --bind data /usr/src/hello-1.0/sub")
        .exits(0);
    let theirs = Theirs::new(&machine, "data");
    let run = machine.dkms(format!("add {directory} --force")).exits(1);
    is_refused(&run, "something is mounted on /usr/src/hello-1.0/sub");
    theirs.are_whole();
    assert!(machine.has("/usr/src/hello-1.0/zz"));
}

#[test]
fn one_inside_the_other_is_refused() {
    let machine = Machine::new();
    source().write(&machine.path("/usr/src/hello-1.0/inner"));
    // What dkms would copy the source's own sub over.
    machine.shell(
        "cd /usr/src/hello-1.0; cp inner/dkms.conf .; mkdir inner/inner; echo c >inner/inner/zz",
    );
    let theirs = Theirs::new(&machine, "/usr/src/hello-1.0");
    for force in ["", " --force"] {
        let run = machine
            .dkms(format!("add /usr/src/hello-1.0/inner{force}"))
            .exits(1);
        is_refused(&run, "are one inside the other");
        theirs.are_whole();
    }
    machine.shell("rm -r /usr/src/hello-1.0");
    source().write(&machine.path("/usr/src"));
    let run = machine.dkms("add /usr/src").exits(1);
    is_refused(&run, "are one inside the other");
    assert!(!machine.has("/usr/src/hello-1.0"));
}

#[test]
fn links_in_an_old_source_are_not_followed() {
    let machine = Machine::new();
    let directory = machine.source_at("from", &source());
    machine.shell("mkdir -p data /usr/src/hello-1.0; cp from/dkms.conf /usr/src/hello-1.0; echo mine >data/b; echo mine >data/zz");
    let data = home(&machine, "data");
    machine.shell(&format!(
        "ln -s {data} /usr/src/hello-1.0/sub; ln -s {data}/zz /usr/src/hello-1.0/zz"
    ));
    let theirs = Theirs::new(&machine, "data");
    let run = machine.dkms(format!("add {directory}")).exits(1);
    is_refused(&run, "/usr/src/hello-1.0/sub is in the way");
    theirs.are_whole();
    machine.dkms(format!("add {directory} --force")).exits(0);
    theirs.are_whole();
    is_added(&machine);
    machine.dkms("remove hello/1.0 --all").exits(0);
    // And the whole source a link to something else of theirs.
    machine.shell(&format!(
        "rm -r /usr/src/hello-1.0; ln -s {data} /usr/src/hello-1.0"
    ));
    for force in ["", " --force"] {
        machine
            .dkms(format!("add {directory}{force}"))
            .exits(1)
            .says("/usr/src/hello-1.0 is not the source of hello/1.0.");
        theirs.are_whole();
    }
}

#[test]
fn what_is_mounted_in_the_tree_outlives_the_package() {
    let machine = Machine::with_added(&Source::hello());
    machine
        .shell(
            "mkdir data; echo mine >data/mine; mkdir /var/lib/dkms/hello/1.0/tarball; \
             mount --bind data /var/lib/dkms/hello/1.0/tarball",
        )
        .exits(0);
    let theirs = Theirs::new(&machine, "data");
    let run = machine.dkms("remove hello/1.0 --all");
    assert!(run.err.contains("something is mounted on"), "{run}");
    theirs.are_whole();
}

#[test]
fn an_archive_replaces_a_file_when_it_is_whole_and_never_what_a_link_leads_to() {
    let machine = Machine::setup()
        .program("bzip2", "#!/bin/sh\nexit 1\n")
        .start();
    machine.add(&source());
    machine.shell(
        "echo mine >mine; echo old >old.tar.bz2; ln -s mine link.tar.gz; mkfifo pipe.tar.gz",
    );
    machine
        .dkms("mktarball hello/1.0 --source-only --archive ./old.tar.bz2")
        .exits(6);
    assert_eq!(machine.read("/home/old.tar.bz2"), "old\n");
    machine
        .dkms("mktarball hello/1.0 --source-only --archive ./link.tar.gz")
        .exits(0);
    assert_eq!(machine.read("/home/mine"), "mine\n");
    machine
        .dkms("mktarball hello/1.0 --source-only --archive ./pipe.tar.gz")
        .exits(6);
    machine
        .shell("test -p pipe.tar.gz && tar -tzf link.tar.gz")
        .exits(0);
    machine.shell("rm link.tar.gz; ln -s mine link.tar.bz2;");
    let run = machine.shell("PATH=/usr/bin:/bin \"$(command -v dkms)\" mktarball hello/1.0 --source-only --archive ./link.tar.bz2");
    run.exits(0);
    assert_eq!(machine.read("/home/mine"), "mine\n");
    machine.shell("/usr/bin/bzip2 -t <link.tar.bz2").exits(0);
}

#[test]
fn a_signing_key_survives_the_loss_of_its_certificate() {
    let machine = Machine::setup()
        .file("/etc/dkms/framework.conf", "try_sign_modules=true\n")
        .start();
    machine.dkms("generate_mok").exits(0);
    let key = machine.bytes("/var/lib/dkms/mok.key");
    machine.shell("rm /var/lib/dkms/mok.pub");
    machine.dkms("generate_mok").exits(0);
    assert_eq!(machine.bytes("/var/lib/dkms/mok.key"), key);
    let of_key = "openssl pkey -in /var/lib/dkms/mok.key -pubout";
    let of_certificate = "openssl x509 -inform DER -in /var/lib/dkms/mok.pub -noout -pubkey";
    assert_eq!(machine.shell(of_key).out, machine.shell(of_certificate).out);
    let certificate = machine.bytes("/var/lib/dkms/mok.pub");
    machine.shell("rm /var/lib/dkms/mok.key");
    machine.dkms("generate_mok").exits(0);
    assert_eq!(machine.bytes("/var/lib/dkms/mok.pub.old1"), certificate);
}
