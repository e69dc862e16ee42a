//! `kiln build --report` and `kiln report compare`: the right cells, and nothing lost when it cannot be.

use std::{fs, path::Path};

use serde_json::Value;

use super::{
    casd::Casd,
    machine::{self, kernel, other_kernel},
    world::World,
};

/// A package whose compilation fails at a line that is known.
fn broken(world: &World, name: &str) -> String {
    let source = format!(
        "{}\nint broken(void) {{ return missing; }}\n",
        machine::HELLO_C
    );
    world.compiled_package(name, &source, "")
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// The cell of a package for a kernel in a report.
#[track_caller]
fn cell<'a>(report: &'a Value, package: &str, kernel: &str) -> &'a Value {
    let cells = report["run"]["cells"].as_array().unwrap();
    let found = cells
        .iter()
        .find(|c| c["package"] == package && c["kernel"] == kernel);
    found.unwrap_or_else(|| panic!("no {package} for {kernel} in {report}"))
}

#[test]
fn a_report_has_every_cell_as_it_ended() {
    let world = World::new();
    let good = world.package("good", "");
    let bad = broken(&world, "bad");
    let needs = world.package("needs", "BUILD_DEPENDS[0]=bad");
    let above = world.package("above", "BUILD_DEPENDS[0]=good");
    let only = format!(
        "BUILD_EXCLUSIVE_KERNEL[0]='^{}$'",
        kernel().replace('.', "\\.")
    );
    let only = world.package("only", &only);
    world.build(&good, "").exits(0);
    let (one, other) = (kernel(), other_kernel());
    let line =
        format!("build {good} {bad} {needs} {above} {only} -k {one} -k {other} -j 2 --report r");
    world.kiln(&line).exits(1);

    let report = read(&world.path("r/report.json"));
    assert_eq!(report["format"], "kiln-report");
    assert_eq!(report["run"]["cells"].as_array().unwrap().len(), 10);
    assert_eq!(report["run"]["cores"], 2);
    for (package, kernel, outcome) in [
        ("good", one, "hit"),
        ("good", other, "built"),
        ("bad", one, "failed"),
        ("needs", one, "blocked"),
        ("needs", other, "blocked"),
        ("above", one, "built"),
        ("only", one, "built"),
        ("only", other, "excluded"),
    ] {
        assert_eq!(
            cell(&report, package, kernel)["outcome"],
            outcome,
            "{package} {kernel}"
        );
    }
    let built = cell(&report, "good", other);
    assert_eq!(
        (&built["version"], &built["arch"]),
        (&"1.0".into(), &machine::arch().into())
    );
    assert_eq!(built["why"], "never built for this kernel");
    assert_eq!(built["key"].as_str().unwrap().len(), 64);
    assert_eq!(built["outputs"][0]["path"], "good.ko");
    assert!(built["lane"]["slot"].as_u64().unwrap() < 2);
    let phases = built["phases"].as_array().unwrap();
    let names: Vec<&str> = phases
        .iter()
        .map(|phase| phase["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["prepare", "make", "strip", "check", "store"]);
    assert!(
        phases
            .windows(2)
            .all(|pair| pair[0]["end_ms"] == pair[1]["start_ms"])
    );
    assert_eq!(phases.last().unwrap()["end_ms"], built["span"]["end_ms"]);

    let failed = cell(&report, "bad", one);
    assert_eq!(failed["first_error"]["file"], "bad.c");
    assert!(
        failed["first_error"]["message"]
            .as_str()
            .unwrap()
            .contains("missing")
    );
    let cells = report["run"]["cells"].as_array().unwrap();
    let place = |of: &Value| cells.iter().position(|one| one == of);
    let blocked = cell(&report, "needs", one);
    assert_eq!(
        blocked["blocked_by"].as_u64().map(|p| p as usize),
        place(failed)
    );
    let above = cell(&report, "above", one);
    let below = above["dependencies"][0].as_u64().map(|p| p as usize);
    assert_eq!(below, place(cell(&report, "good", one)));

    let page = fs::read_to_string(world.path("r/index.html")).unwrap();
    assert!(page.contains("bad.c:"));
    let logs = fs::read_dir(world.path("r/logs")).unwrap().count();
    assert_eq!(logs, 7, "of what was built, hit or failed");
    for name in ["trace.json", "junit.xml", "metrics.txt"] {
        assert!(world.path("r").join(name).exists(), "{name}");
    }
}

#[test]
fn what_an_engine_runs_is_on_a_track_of_its_own() {
    let (world, engine) = (World::new(), Casd::engine());
    let packages = ["one", "two", "three"].map(|name| world.package(name, ""));
    let (packages, kernel) = (packages.join(" "), kernel());
    let endpoint = engine.endpoint();
    world
        .kiln(format!(
            "build {packages} -k {kernel} -j 2 --remote-exec {endpoint} --remote-jobs 1 --report r"
        ))
        .exits(0);
    let report = read(&world.path("r/report.json"));
    assert_eq!(report["run"]["remote_slots"], 1);
    let trace = read(&world.path("r/trace.json"));
    let events = trace["traceEvents"].as_array().unwrap();
    let process = |title: &str| {
        let named = |e: &&Value| e["name"] == "process_name" && e["args"]["name"] == title;
        events.iter().find(named).map(|event| &event["pid"])
    };
    let remote = process("remote workers");
    assert!(remote.is_some(), "nothing ran there: {report}");
    for name in ["one", "two", "three"] {
        let cell = cell(&report, name, kernel);
        // Of what an engine ran it says nothing of memory.
        let there = cell["cost"]["peak_memory_bytes"] == 0;
        let place = if there { "remote" } else { "local" };
        assert_eq!(cell["lane"]["place"], place, "{cell}");
        let title = format!("{name}/1.0 for {kernel}");
        let slice = events.iter().find(|e| e["name"] == title.as_str()).unwrap();
        assert_eq!(Some(&slice["pid"]) == remote, there, "{slice}");
        let made_here = cell["phases"].to_string().contains("\"make\"");
        assert_eq!(made_here, !there, "{cell}");
    }
}

#[test]
fn two_reports_are_compared() {
    let world = World::new();
    let good = world.package("good", "");
    let turns = world.package("turns", "");
    world
        .build(&format!("{good} {turns}"), "--report before")
        .exits(0);
    broken(&world, "turns");
    world
        .build(&format!("{good} {turns}"), "--report after")
        .exits(1);
    let run = world
        .kiln("report compare before after")
        .exits(1)
        .says("newly failing (1)")
        .says("turns/1.0  turns.c:")
        .says("(before: built)")
        .never_says("good");
    assert_eq!(run.err, "");
    let json = world.kiln("report compare before after --json").exits(1);
    let json: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json["counts"]["broke"], 1);
    assert_eq!(
        json["changes"][0]["after"]["first_error"]["file"],
        "turns.c"
    );
    world
        .kiln("report compare after/report.json before --html page.html")
        .exits(0)
        .says("fixed (1)");
    let page = fs::read_to_string(world.path("page.html")).unwrap();
    assert!(page.contains("\"kind\":\"fixed\"") && page.contains("turns.c:"));
    world
        .kiln("report compare before after --html nowhere/page.html")
        .exits(1)
        .says("cannot write the report nowhere/page.html");

    world
        .build(&format!("{good} {turns}"), "--report before")
        .exits(1);
    assert!(world.path("before/previous.json").exists());
    world
        .kiln("report compare before/previous.json before")
        .exits(1);
    let page = fs::read_to_string(world.path("before/index.html")).unwrap();
    assert!(page.contains("\"kind\":\"broke\""));
}

#[test]
fn what_is_no_report_is_refused() {
    let world = World::new();
    world.write("text", "hello");
    world.write(
        "newer/report.json",
        r#"{"format":"kiln-report","version":99,"run":0}"#,
    );
    fs::create_dir(world.path("empty")).unwrap();
    for (line, words) in [
        (
            "report compare nowhere text",
            "cannot read the report nowhere",
        ),
        ("report compare text text", "text is not a report of kiln"),
        ("report compare empty empty", "empty/report.json"),
        (
            "report compare newer text",
            "is a report of version 99, and this kiln reads version 1",
        ),
        ("report compare text", "--help"),
        ("report", "compare"),
    ] {
        world.kiln(line).exits(2).says(words);
    }
}

#[test]
fn a_place_that_will_not_do_is_told_before_anything_is_built() {
    let world = World::new();
    let package = world.package("any", "");
    world.write("site/index.html", "somebody's");
    world
        .build(&package, "--report site")
        .exits(2)
        .says("site/index.html is there already")
        .says("hint: ")
        .never_says("built");
    let page = fs::read_to_string(world.path("site/index.html")).unwrap();
    assert_eq!(page, "somebody's");
    world.write("file", "");
    world
        .build(&package, "--report file")
        .exits(1)
        .says("cannot write");
    world.build(&package, "--report dry --dry-run").exits(0);
    assert!(!world.path("dry").exists());
}

#[test]
fn a_report_that_cannot_be_written_costs_no_results() {
    let world = World::new();
    let token = world.token();
    let waits = world.waits("slow", &token);
    let stays = format!("MAKE[0]='cp prebuilt/${{kernelver}}.ko slow.ko; {waits}; true'");
    let package = world.package("slow", &stays);
    let line = format!("build {package} -k {} --json --report r -o out", kernel());
    let mut running = world.start(&line);
    running.until("started", "slow");
    world.write("r/metrics.txt/in-the-way", "");
    machine::wake(&token);
    let run = running
        .finish()
        .exits(1)
        .says("cannot write the report r/metrics.txt");
    assert_eq!(run.summary()["exit"], 0);
    assert_eq!(run.cell("slow")["result"], "built");
    let module = format!("out/{}/{}/slow/1.0/slow.ko", kernel(), machine::arch());
    assert!(world.path(module).exists());
}

#[test]
fn an_interrupted_run_is_reported_too() {
    let world = World::new();
    let token = world.token();
    let stays = world.package("stays", &format!("MAKE[0]='sleep {token}; true'"));
    let quick = world.package("quick", "");
    world.build(&quick, "").exits(0);
    let line = format!("build {quick} {stays} -k {} --json --report r", kernel());
    let mut running = world.start(&line);
    running.until("started", "stays");
    super::run::wait_until("the job sleeps", || !machine::processes(&token).is_empty());
    running.signal(rustix::process::Signal::INT);
    running.finish().exits(130);
    let report = read(&world.path("r/report.json"));
    assert_eq!(report["run"]["interrupted"], true);
    assert_eq!(cell(&report, "stays", kernel())["outcome"], "not_run");
    assert_eq!(cell(&report, "quick", kernel())["outcome"], "hit");
}
