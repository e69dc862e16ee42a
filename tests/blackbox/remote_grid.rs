//! Jobs on another engine: BuildGrid, which has a scheduler of its own, wants certificates and says that it takes no
//! absolute links.

use std::process::Command;

use super::{
    casd::Casd,
    certificates::Certificates,
    grid::Grid,
    machine::{self, kernel},
    run::Run,
    world::World,
};

/// Sets a client's certificate.
fn as_client(command: &mut Command, certificates: &Certificates, name: &str) {
    command
        .env("KILN_REMOTE_CA", certificates.file("ca.pem"))
        .env(
            "KILN_REMOTE_CERT",
            certificates.file(&format!("{name}.pem")),
        )
        .env("KILN_REMOTE_KEY", certificates.file(&format!("{name}.key")));
}

/// One server for all of it: it takes seconds to start.
#[test]
fn jobs_run_there_by_mutual_tls() {
    let certificates = Certificates::make();
    let grid = Grid::with_tls(&certificates);
    let near = Casd::with(&[format!("--remote={}", grid.back_door())]);
    let _worker = grid.worker_with_cas("worker", near.port());
    let (world, here, stranger) = (World::new(), World::new(), World::new());
    let source = machine::placed_c();
    let lower = world.compiled_package("lower", &source, "");
    // A link that says where on the machine its target is, as the `source` of each job does.
    std::os::unix::fs::symlink("/usr/src/lower-1.0/lower.c", world.path("lower/again.c")).unwrap();
    world.write("lower/Makefile", "obj-m := lower.o\nlower-y := again.o\n");
    let more = "BUILD_DEPENDS[0]=lower\nPRE_BUILD=show.sh";
    let upper = world.compiled_package("upper", &source, more);
    let show = "#!/bin/sh\nreadlink /usr/src/lower-1.0/again.c\n";
    world.write_script("upper/show.sh", show);
    let broken = world.compiled_package("broken", "int x = undeclared;\n", "");
    let packages = format!("{lower} {upper} {broken} -k {} --json", kernel());
    let line = format!(
        "build {packages} --remote-exec {} --remote-jobs 4 --remote-platform OSFamily=linux",
        grid.endpoint()
    );

    let mut command = world.command(&line);
    as_client(&mut command, &certificates, "client");
    let there = Run::of(&mut command).exits(1).never_says("building here");
    let local = here.kiln(format!("build {packages}")).exits(1);
    for package in ["lower", "upper", "broken"] {
        let (one, other) = (there.cell(package), local.cell(package));
        // Of what an engine runs it says nothing of memory.
        assert_eq!(one["cost"]["peak_memory_bytes"], 0, "{package}: {there}");
        for what in ["/result", "/outputs/0/digest", "/first_error"] {
            assert_eq!(one.pointer(what), other.pointer(what), "{package}: {there}");
        }
    }
    // The server says that it takes no absolute links: it got one that leads to the same.
    world
        .kiln(format!("log {upper} -k {}", kernel()))
        .exits(0)
        .says("\n../../../usr/src/lower-1.0/lower.c\n");

    let mut command = stranger.command(&line);
    as_client(&mut command, &certificates, "other");
    Run::of(&mut command)
        .exits(1)
        .says("the engine cannot be used, building here")
        .says("does not accept our certificate");
}
