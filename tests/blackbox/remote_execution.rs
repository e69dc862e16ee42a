//! Jobs on a remote execution engine, a real one.

use std::{fs, path::Path};

use rustix::process::Signal;

use super::{
    casd::Casd,
    farm_manifest::Manifest,
    machine::{self, kernel, processes},
    run::{Run, Running},
    world::World,
};

/// Builds for the usual kernel, with an engine.
fn build(world: &World, engine: &Casd, packages: &str) -> Run {
    Run::of(&mut world.command(line(engine, packages)))
}

/// The command that builds packages for the usual kernel, with an engine.
pub(crate) fn line(engine: &Casd, packages: &str) -> String {
    let (kernel, endpoint) = (kernel(), engine.endpoint());
    format!("build {packages} -k {kernel} --json --remote-exec {endpoint}")
}

/// The digest of a package's first module.
fn digest(run: &Run, package: &str) -> String {
    run.cell(package)["outputs"][0]["digest"].to_string()
}

/// Whether an engine ran a job: of those it says nothing of memory.
fn ran_there(run: &Run, package: &str) -> bool {
    run.cell(package)["cost"]["peak_memory_bytes"] == 0
}

#[test]
fn the_module_is_the_one_that_is_built_here() {
    let (here, there, engine) = (World::new(), World::new(), Casd::engine());
    let source = machine::placed_c();
    let package = here.compiled_package("plain", &source, "");
    let local = here.build(&package, "--json").exits(0);
    let remote = build(&there, &engine, &package).exits(0);
    assert!(!ran_there(&local, "plain"));
    assert!(ran_there(&remote, "plain"), "it was not run by the engine");
    assert_eq!(digest(&local, "plain"), digest(&remote, "plain"));
}

#[test]
fn dependents_find_what_the_engine_has_built() {
    let (here, engine) = (World::new(), Casd::engine());
    let base = here.package("base", "");
    let upper = here.package("upper", "BUILD_DEPENDS[0]=base");
    let run = build(&here, &engine, &format!("{base} {upper}")).exits(0);
    assert_eq!(run.cell("upper")["result"], "built");
    build(&here, &engine, &format!("{base} {upper}"))
        .exits(0)
        .says("\"hits\":2");
}

#[test]
fn what_is_to_be_built_anew_is_not_taken_from_the_engines_cache() {
    let engine = Casd::engine();
    let kernel = kernel();
    let log = |more: &str| {
        let world = World::new();
        // The same in each world, so that the action is.
        world.write_script("drawn/draw.sh", "#!/bin/bash\necho drawn $RANDOM $RANDOM\n");
        let package = world.package("drawn", "PRE_BUILD=draw.sh");
        Run::of(&mut world.command(format!("{} {more}", line(&engine, &package)))).exits(0);
        let log = world.kiln(format!("log {package} -k {kernel}")).exits(0);
        let drawn = log.out.lines().find(|line| line.starts_with("drawn "));
        drawn.unwrap_or_else(|| panic!("{log}")).to_owned()
    };
    let first = log("");
    assert_eq!(log(""), first, "the engine knows it");
    assert_ne!(log("--no-cache"), first);
}

#[test]
fn a_failure_there_is_a_failure_with_its_error_and_log() {
    let (here, engine) = (World::new(), Casd::engine());
    let package = here.compiled_package("broken", "int broken(void) { return undeclared; }\n", "");
    let run = build(&here, &engine, &package).exits(1);
    assert_eq!(run.cell("broken")["result"], "failed");
    run.says("undeclared");
    let kernel = kernel();
    here.kiln(format!("log {package} -k {kernel}"))
        .exits(0)
        .says("# exit code: 2");
}

#[test]
fn without_its_engine_a_run_goes_on_here() {
    let (here, mut engine) = (World::new(), Casd::engine());
    let package = here.package("alone", "");
    engine.kill();
    let run = build(&here, &engine, &package).exits(0);
    assert_eq!(run.cell("alone")["result"], "built");
    run.says("the engine cannot be used, building here");
}

#[test]
fn a_server_without_execution_is_no_engine() {
    let (here, server) = (World::new(), Casd::start());
    let run = build(&here, &server, &here.package("alone", "")).exits(0);
    run.says("the engine cannot be used, building here");
    let endpoint = server.endpoint();
    here.kiln(format!("remote status --remote-exec {endpoint}"))
        .exits(3)
        .says("runs no actions");
}

#[test]
fn a_worker_with_another_compiler_builds_nothing() {
    let here = World::new();
    let compiler = machine::compiler();
    let other = "#!/bin/sh\necho gcc of elsewhere 99\n";
    let other = here.write_script("elsewhere/gcc", other);
    let place = fs::canonicalize(Path::new("/usr/bin").join(&compiler)).unwrap();
    let (other, place) = (other.display(), place.display());
    let bind = format!("--runner-arg=--ro-bind-mount={other}:{place}");
    let engine = Casd::engine_with(&[&bind]);
    let run = build(&here, &engine, &here.package("plain", "")).exits(0);
    assert!(!ran_there(&run, "plain"));
    run.says(&format!(
        "its worker has gcc of elsewhere 99 as {compiler}, and this machine has {compiler} ("
    ))
    .says("\"place\":\"remote\"")
    .says("\"event\":\"handed back\"")
    .says("\"place\":\"local\"");
}

#[test]
fn an_interrupted_run_cancels_what_runs_there() {
    let (here, engine) = (World::new(), Casd::engine());
    let token = here.token();
    let package = here.package("endless", "PRE_BUILD=endless.sh");
    here.write_script("endless/endless.sh", &format!("#!/bin/sh\nsleep {token}\n"));
    let mut running = Running::start(&mut here.command(line(&engine, &package)));
    running.until("started", "endless");
    super::run::wait_until("the engine runs the job", || !processes(&token).is_empty());
    running.signal(Signal::INT);
    running.finish().exits(130);
    super::run::wait_until("the job is gone", || processes(&token).is_empty());
}

/// A provenance without the system's own files: nobody looks on at an engine, so there all that is installed counts.
fn without_system(provenance: &str) -> String {
    fn strip(value: &mut serde_json::Value) {
        let names = [
            "system files looked up",
            "toolbox packages",
            "toolbox system files",
        ];
        match value {
            serde_json::Value::Array(items) => {
                items.retain(|item| !names.iter().any(|name| item["name"] == *name));
                items.iter_mut().for_each(strip);
            }
            serde_json::Value::Object(fields) => {
                // It is of all inputs together.
                fields.remove("action key");
                fields.values_mut().for_each(strip);
            }
            _ => {}
        }
    }
    let mut value = serde_json::from_str(provenance).unwrap();
    strip(&mut value);
    value.to_string()
}

#[test]
fn a_provenance_names_the_same_inputs_wherever_the_job_ran() {
    let engine = Casd::engine();
    let made = |exec: Option<&Casd>| {
        let world = World::new();
        world.package("lower", "");
        world.package("upper", "BUILD_DEPENDS[0]=lower");
        Manifest::new(&["lower", "upper"], &[kernel()])
            .more("[outputs]\ndirectory = \"out\"\nprovenance = [\"in-toto\"]\n")
            .write(&world);
        let mut command = world.command("farm run --json");
        command.envs(exec.map(|engine| ("KILN_REMOTE_EXEC", engine.endpoint())));
        let run = Run::of(&mut command).exits(0);
        assert_eq!(ran_there(&run, "upper"), exec.is_some(), "{run}");
        let folder = world.path("out").join(kernel()).join(machine::arch());
        let of = |package| fs::read_to_string(folder.join(package).join("provenance.intoto.json"));
        ["lower/1.0", "upper/1.0"].map(|package| without_system(&of(package).unwrap()))
    };
    let here = made(None);
    assert!(here[1].contains("kernel tree ") && here[1].contains("BUILD_DEPENDS lower"));
    assert_eq!(here, made(Some(&engine)));
}
