//! A build that misses a file which is there says that the sandbox hides it.

use crate::{machine::Machine, source::Source};

/// A package that includes a file.
fn including(file: &str) -> Source {
    Source::compiled("hello", "1.0", &format!("#include \"{file}\"\n"))
}

#[test]
fn by_a_path() {
    let machine = Machine::new();
    machine.shell("mkdir -p data; echo 'int x;' >data/x.h");
    let file = machine.path("/home/data/x.h").display().to_string();
    machine.add(&including(&file));
    machine
        .dkms("build hello/1.0 -k KERNEL")
        .exits(10)
        .says(&format!("it looked for {file}, which is there"));
}

#[test]
fn another_packages_source_is_shown() {
    let machine = Machine::new();
    machine.shell("mkdir /usr/src/other-1.0; echo 'extern int x;' >/usr/src/other-1.0/x.h");
    machine.add(&including("/usr/src/other-1.0/x.h"));
    machine.dkms("build hello/1.0 -k KERNEL").exits(0);
    machine.shell("rm /usr/src/other-1.0/x.h");
    machine
        .dkms("build hello/1.0 -k KERNEL --force")
        .exits(10)
        .never_says("builds do not see");
}

#[test]
fn by_a_link() {
    let machine = Machine::new();
    machine.shell("mkdir data; echo 'int x;' >data/x.h");
    machine.add(&including("sub/x.h"));
    let data = machine.path("/home/data").display().to_string();
    machine.shell(&format!("ln -s {data} /usr/src/hello-1.0/sub"));
    machine
        .dkms("build hello/1.0 -k KERNEL")
        .exits(10)
        .says(&format!("it looked for {data}, which is there"));
}
