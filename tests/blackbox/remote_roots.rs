//! Jobs with a toolchain root on a remote execution engine: the root goes there with the job.

use super::{
    casd::{Casd, executing, worker_binds},
    header_packages::toolchain_root,
    machine::{self, kernel},
    run::Run,
    toolchain_roots::tree_for,
    world::World,
};

/// Whether an engine ran a job: of those it says nothing of memory.
fn ran_there(run: &Run, package: &str) -> bool {
    run.cell(package)["cost"]["peak_memory_bytes"] == 0
}

fn digest(run: &Run, package: &str) -> String {
    run.cell(package)["outputs"][0]["digest"].to_string()
}

/// The arguments for building a package with a root, and the compiler that only that has.
fn rooted(world: &World, more: &str) -> (String, String) {
    let (root, compiler) = toolchain_root();
    let source = machine::placed_c();
    let package = world.compiled_package("rooted", &source, more);
    let tree = tree_for(world, &compiler);
    let line = format!(
        "build {package} -k {} --json --root {}",
        tree.display(),
        root.display()
    );
    (line, compiler)
}

#[test]
fn a_root_is_sent_to_a_worker_without_programs() {
    let (world, other) = (World::new(), World::new());
    let engine = Casd::with(&executing());
    let (line, compiler) = rooted(&world, "PRE_BUILD=show.sh");
    world.write_script(
        "rooted/show.sh",
        "#!/bin/sh\necho seen: $(ls -d /usr/bin/gcc-[0-9]* /usr/bin/bwrap 2> /dev/null)\n\
         echo name: $(/usr/bin/uname -r) $(awk 'BEGIN { print \"awk\" }')\n",
    );
    let local = other.kiln(&line).exits(0);
    let mut command = world.command(format!("{line} --remote-exec {}", engine.endpoint()));
    let remote = Run::of(command.env("KILN_REMOTE_ROOT_PLATFORM", "OSFamily=linux")).exits(0);
    assert!(!ran_there(&local, "rooted"));
    assert!(
        ran_there(&remote, "rooted"),
        "it was not run by the engine: {remote}"
    );
    assert_eq!(digest(&local, "rooted"), digest(&remote, "rooted"));
    let log = line.replace("build", "log").replace("--json", "");
    world
        .kiln(log)
        .exits(0)
        .says(&format!("\nseen: /usr/bin/{compiler}\n"))
        .says(&format!("\nname: {} awk\n", kernel()));
}

#[test]
fn one_engine_takes_jobs_with_a_root_and_without() {
    let (one, two) = (World::new(), World::new());
    let mut arguments = executing();
    arguments.extend(worker_binds("machine:"));
    let engine = Casd::with(&arguments);
    let plain = one.compiled_package("plain", machine::HELLO_C, "");
    let local = two.build(&plain, "--json").exits(0);
    let platform = |command: &mut std::process::Command| {
        command
            .env("KILN_REMOTE_EXEC", engine.endpoint())
            .env("KILN_REMOTE_PLATFORM", "inject=machine")
            .env("KILN_REMOTE_ROOT_PLATFORM", "OSFamily=linux");
        Run::of(command).exits(0)
    };
    let run = platform(&mut one.command(format!("build {plain} -k {} --json", kernel())));
    assert!(ran_there(&run, "plain"), "{run}");
    assert_eq!(digest(&local, "plain"), digest(&run, "plain"));
    let (line, _) = rooted(&one, "");
    let run = platform(&mut one.command(line));
    assert!(ran_there(&run, "rooted"), "{run}");
}

#[test]
fn without_workers_for_it_a_job_with_a_root_runs_here() {
    let (world, engine) = (World::new(), Casd::engine());
    let (line, _) = rooted(&world, "");
    let line = format!("{line} --remote-exec {}", engine.endpoint());
    let run = world.kiln(line).exits(0);
    assert!(!ran_there(&run, "rooted"));
    run.says("jobs with a toolchain root run here: remote_exec.root_platform");
}
