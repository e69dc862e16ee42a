//! make inside a job: as without kiln, but for the jobs, which are those of the run.

use std::process::Command;

use super::{
    machine::{self, kernel},
    run::Run,
    world::World,
};

/// A package whose MAKE begins with a script.
fn running(world: &World, name: &str, script: &str) -> String {
    let package = world.package(name, "MAKE[0]='./run.sh && '\"${MAKE[0]}\"");
    let script = format!("#!/bin/bash\n{script}\n");
    world.write_script(format!("{name}/run.sh"), &script);
    package
}

/// Builds with one job at a time, and gives the log.
fn log(world: &World, package: &str) -> Run {
    world.build(package, "-j1").exits(0);
    world
        .kiln(format!("log {package} -k {}", kernel()))
        .exits(0)
}

#[test]
fn a_make_needs_no_environment() {
    let world = World::new();
    let package = world.compiled_package("envi", machine::HELLO_C, "MAKE[0]=./run.sh");
    world.write_script(
        "envi/run.sh",
        "#!/bin/bash -e\n\
         env -i PATH=\"$PATH\" make -C \"/lib/modules/$kernelver/build\" M=\"$PWD\" modules\n\
         env -i /usr/bin/make -j4 -f again.mk\n\
         env -i make -f again.mk\n",
    );
    world.write(
        "envi/again.mk",
        "all:\n\t@true && echo again $(MAKELEVEL)\n",
    );
    let log = log(&world, &package);
    let again = log.out.lines().filter(|line| *line == "again 0");
    assert_eq!(again.count(), 2, "{log}");
}

#[test]
fn the_callers_variables_reach_make() {
    let world = World::new();
    let names =
        "n arg value directory parallel serial ENV BASH_ENV IFS CDPATH POSIXLY_CORRECT kiln_words";
    let package = running(
        &world,
        "clobber",
        &format!(
            "f() {{ echo function; }}; export -f f\n\
             for name in {names}; do export \"$name=mine\"; done\n\
             make -j4 -f show.mk; make -f show.mk; make --directory . -sj4 -f show.mk"
        ),
    );
    let recipe = "SHELL := /bin/bash\nall:\n\t@f; for name in $(NAMES); do [ \"$${!name}\" = mine ] || echo lost $$name; done\n";
    let names = names.replace(" IFS", "");
    world.write("clobber/show.mk", format!("NAMES := {names}\n{recipe}"));
    let log = log(&world, &package).never_says("lost");
    let functions = log.out.lines().filter(|line| *line == "function");
    assert_eq!(functions.count(), 3, "{log}");
}

#[test]
fn make_shows_what_it_shows_without_kiln() {
    let world = World::new();
    let script = "make -f show.mk 'A=b c' x='\"q\"'; make -k -f show.mk; echo shown";
    let package = running(&world, "shown", script);
    let show = "$(info $(MAKE) $(origin MAKE) $(flavor MAKE) $(MAKE_COMMAND) $(MAKELEVEL))\n\
                $(info [$(MAKEFLAGS)] $(origin MAKEFLAGS) $(flavor MAKEFLAGS) [$(MFLAGS)])\n\
                $(info [$(MAKEOVERRIDES)] $(origin KILN_MAKE))\n\
                all: ; @echo \"$$MAKEFLAGS\" $$MAKELEVEL; [ $(MAKELEVEL) = 2 ] || $(MAKE) -f show.mk\n";
    world.write("shown/show.mk", show);
    let plain = Run::of(
        Command::new("bash")
            .args(["-c", script])
            .current_dir(&package)
            .env_remove("MAKEFLAGS")
            .env_remove("MAKELEVEL")
            .env("LC_ALL", "C"),
    )
    .exits(0);
    let here = world.path("shown").display().to_string();
    let plain = plain.out.replace(&here, "/var/lib/dkms/shown/1.0/build");
    log(&world, &package).says(&plain);
}

#[test]
fn no_make_brings_jobs_of_its_own() {
    let world = World::new();
    let calls = [
        "make -j4",
        "make -sj4",
        "make -kj",
        "make -j 4",
        "make --jobs",
        "make --jobs=4",
        "make -C . -j",
        "MAKEFLAGS=-j4 make",
        "MAKEFLAGS=sj4 make",
        "GNUMAKEFLAGS=-j4 make",
        "env -i make -j4",
        "/usr/bin/make -j4",
        "env -i PATH=/usr/bin:/bin make -j4",
        "make serial SUB='-j4'",
        "python3 -c 'import subprocess; subprocess.run([\"make\", \"-j4\"], env={})'",
    ];
    let numbered = calls.iter().enumerate();
    let script: String = numbered
        .map(|(i, call)| format!("{call} && echo done {i}\n"))
        .collect();
    let package = running(&world, "wide", &script);
    world.write(
        "wide/Makefile",
        "all: 1 2 3\n1 2 3:\n\t@mkdir alone || echo overlap; sleep 0.05; rmdir alone\n\
         serial:\n\t@$(MAKE) $(SUB) all\n",
    );
    let log = log(&world, &package).never_says("overlap");
    for (number, call) in calls.iter().enumerate() {
        assert!(
            log.out.contains(&format!("\ndone {number}\n")),
            "{call}: {log}"
        );
    }
}
