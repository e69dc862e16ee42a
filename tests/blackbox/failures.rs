//! Jobs that do not end well: what is said, what is remembered, and what is not.

use std::{fs, io::Read, process::Stdio};

use super::{
    machine::{self, kernel},
    run::{Run, wait_until},
    world::{KILN, World},
};

#[test]
fn the_first_compiler_error_is_shown_with_its_place_and_the_log() {
    let world = World::new();
    let package = world.compiled_package(
        "faulty",
        "#include <linux/module.h>\nMODULE_LICENSE(\"GPL\");\nint x = no_such_thing;\n",
        "",
    );
    let run = world
        .build(&package, "")
        .exits(1)
        .says("failed faulty/1.0")
        .says("faulty.c:3: ")
        .says("no_such_thing")
        .says(&format!("log: kiln log {package} -k {}", kernel()));
    assert!(run.err.contains("faulty.c:3: "), "on standard error: {run}");
    world
        .kiln(format!("log {package} -k {}", kernel()))
        .exits(0)
        .says("error: ")
        .says("faulty.c:3:");
}

/// A package whose build counts its runs in its log only, and fails.
fn failing(world: &World) -> String {
    world.package("failing", "MAKE[0]='echo error: it is broken; false'")
}

#[test]
fn a_known_failure_is_not_built_again() {
    let world = World::new();
    let package = failing(&world);
    let run = world.build(&package, "--json").exits(1);
    assert_eq!(run.cell("failing")["cached"], false);
    let run = world.build(&package, "--json").exits(1);
    assert_eq!(run.cell("failing")["cached"], true);
    world
        .build(&package, "")
        .exits(1)
        .says("error: it is broken")
        .says("hint: it failed before with the same inputs; --retry-failed");
}

#[test]
fn retry_failed_builds_it_again() {
    let world = World::new();
    let package = failing(&world);
    world.build(&package, "").exits(1);
    let run = world.build(&package, "--retry-failed --json").exits(1);
    assert_eq!(run.cell("failing")["cached"], false);
}

#[test]
fn a_failure_is_tried_again_when_its_input_changes() {
    let world = World::new();
    let package = failing(&world);
    world.build(&package, "").exits(1);
    world.package("failing", "");
    world.build(&package, "").exits(0).says("built failing/1.0");
}

#[test]
fn fail_fast_starts_nothing_more() {
    let world = World::new();
    let first = failing(&world);
    let second = world.package("second", "BUILD_DEPENDS[0]=third");
    let token = world.token();
    let waits = world.waits("third", &token);
    let third = world.package("third", &format!("MAKE[0]='{waits}; '\"${{MAKE[0]}}\""));
    let mut run = world.start(format!(
        "build {first} {second} {third} -k {} -j 2 --fail-fast --json",
        kernel()
    ));
    run.until("finished", "failing");
    machine::wake(&token);
    let run = run.finish().exits(1);
    assert_eq!(run.cell("failing")["result"], "failed");
    assert_eq!(run.cell("second")["result"], "not run", "{run}");
}

#[test]
fn a_build_without_its_module_fails() {
    let world = World::new();
    let package = world.package("empty", "MAKE[0]=true");
    world
        .build(&package, "")
        .exits(1)
        .says("Build of empty.ko failed: make made no such file")
        .says("BUILT_MODULE_NAME");
}

#[test]
fn a_result_that_is_no_module_is_refused() {
    let world = World::new();
    let package = world.package("fake", "STRIP[0]=no\nMAKE[0]='echo hello > fake.ko'");
    world
        .build(&package, "")
        .exits(1)
        .says("fake.ko is not a kernel module");
}

#[test]
fn a_module_for_other_symbol_versions_is_refused() {
    let world = World::new();
    let package = world.package("skewed", "");
    let tree = world.kernel_tree(kernel());
    let symvers = tree.join("Module.symvers");
    let text = fs::read_to_string(&symvers).unwrap();
    let changed: Vec<String> = text
        .lines()
        .map(|line| match line.split_once("\tmodule_layout\t") {
            Some((_, rest)) => format!("0x00000001\tmodule_layout\t{rest}\n"),
            None => format!("{line}\n"),
        })
        .collect();
    fs::write(&symvers, changed.concat()).unwrap();
    world
        .kiln(format!("build {package} -k {}", tree.display()))
        .exits(1)
        .says("of symbol module_layout, the kernel exports 0x00000001");
}

#[test]
fn a_job_that_takes_too_long_is_stopped_and_not_remembered() {
    let world = World::new();
    let token = world.token();
    let package = world.package("slow", &format!("MAKE[0]='sleep {token}'"));
    for _ in 0..2 {
        let run = world.build(&package, "--timeout 1 --json").exits(1);
        assert_eq!(run.cell("slow")["result"], "aborted");
    }
    world
        .build(&package, "--timeout 1")
        .exits(1)
        .says("stopped after the time limit of 1 s")
        .says("--timeout gives it more time");
    assert_eq!(machine::processes(&token), Vec::<u32>::new());
}

#[test]
fn a_job_killed_from_outside_is_not_remembered() {
    let world = World::new();
    let package = world.package("killed", "MAKE[0]=./kill.sh");
    world.write_script("killed/kill.sh", "#!/bin/sh\nkill -9 $$\n");
    for _ in 0..2 {
        let run = world.build(&package, "--json").exits(1);
        let cell = run.cell("killed");
        assert_ne!(cell["cached"], true, "{run}");
    }
}

#[test]
fn a_program_that_is_missing_may_be_there_next_time() {
    let world = World::new();
    let package = world.package("needy", "PRE_BUILD=pre.sh\nMAKE[0]=false");
    world.write_script("needy/pre.sh", "#!/bin/sh\nno-such-program || :\n");
    for _ in 0..2 {
        let run = world.build(&package, "--json").exits(1);
        let cell = run.cell("needy");
        assert_eq!(
            (&cell["result"], &cell["cached"]),
            (&"failed".into(), &false.into()),
            "{run}"
        );
    }
    world
        .kiln(format!("log {package} -k {}", kernel()))
        .exits(0)
        .says("no-such-program: not found");
}

#[test]
fn the_limits_of_the_caller_are_not_those_of_builds() {
    let world = World::new();
    let source = "#include <linux/module.h>\nMODULE_LICENSE(\"GPL\");\n";
    let package = world.compiled_package("limited", source, "PRE_BUILD=limits.sh");
    world.write_script(
        "limited/limits.sh",
        "#!/bin/bash\necho limits: $(ulimit -Ss) $(ulimit -Sn) $(ulimit -Sv) $(ulimit -Sf)\n\
         echo hard limits: $(ulimit -Hn) $(ulimit -Hc) $(ulimit -Hl) $(ulimit -Hu) $(ulimit -Hi)\n\
         echo \"ignored: $(trap -p | wc -l)\"\n",
    );
    world
        .on_machine(
            "ulimit -S -s 64\nulimit -S -n 40\nulimit -S -f 1000\ntrap '' HUP INT QUIT TERM",
            format!("build {package} -k {}", kernel()),
        )
        .exits(0);
    world
        .kiln(format!("log {package} -k {}", kernel()))
        .exits(0)
        .says("limits: 8192 1024 unlimited unlimited\n")
        .says("hard limits: 4096 0 64 32768 32768\n")
        .says("ignored: 0\n");
}

#[test]
fn what_fails_for_want_of_a_stack_is_built_when_there_is_one() {
    let world = World::new();
    let source = "#include <linux/module.h>\nMODULE_LICENSE(\"GPL\");\n";
    let package = world.compiled_package("flat", source, "");
    let line = format!("build {package} -k {} --json", kernel());
    // Whoever may raise limits has a stack all the same.
    let run = world.on_machine("ulimit -s 64", &line);
    let is_built = run.cell("flat")["result"] == "built";
    let run = world.kiln(&line).exits(0);
    let expected = if is_built { "hit" } else { "built" };
    assert_eq!(run.cell("flat")["result"], expected, "{run}");
}

/// A build that swallows what its disk has not room for is no outcome; with room it is built.
fn room_cures(swallows: &str, little: &str, much: &str) {
    let world = World::new();
    let package = world.package("hungry", &format!("MAKE[0]='{swallows}; '\"${{MAKE[0]}}\""));
    let disk = world.path("disk");
    fs::create_dir(&disk).unwrap();
    let line = format!("build {package} -k {} --cache-dir disk/cache", kernel());
    // Both runs in one mount namespace: the disk is gone with it.
    let script = format!(
        "mount -t tmpfs -o {little},mode=755 tmpfs {disk}\n\
         {KILN} {line} && exit 99; status=$?\n\
         echo \"first exit $status\"\n\
         mount -o remount,{much} {disk}",
        disk = disk.display()
    );
    world
        .on_machine(&script, line)
        .exits(0)
        .says("no space left in ")
        .says("hint: make room there")
        .says("first exit 1\n")
        .says("built hungry/1.0")
        .never_says("known");
}

#[test]
fn a_full_disk_is_no_outcome_and_room_cures_it() {
    room_cures(
        "head -c 300M /dev/zero > big; wc -c big",
        "size=200m",
        "size=900m",
    );
}

#[test]
fn room_that_was_wanting_for_a_moment_and_that_nobody_was_told_of_is_no_outcome() {
    room_cures(
        "head -c 300M /dev/zero > big 2> /dev/null; rm -f big",
        "size=200m",
        "size=900m",
    );
    // Nothing is ever written there, and nobody looks where the disk has plenty of room.
    room_cures(
        "(echo text > /dev/full) 2> /dev/null || :",
        "size=200m",
        "size=900m",
    );
    // Nothing is written, and there is room all the time.
    room_cures(
        "fallocate -l 2G big 2> /dev/null; rm -f big",
        "size=900m",
        "size=4g",
    );
}

#[test]
fn a_process_that_could_not_be_started_is_no_answer() {
    let world = World::new();
    let package = world.package("alone", "PRE_BUILD=alone.sh");
    let script = "#!/bin/sh\nprlimit --nproc=1 sh -c 'sleep 0 & wait' 2> /dev/null || :\n";
    world.write_script("alone/alone.sh", script);
    for _ in 0..2 {
        world
            .build(&package, "")
            .exits(1)
            .says("aborted alone/1.0")
            .says("no more processes could be started")
            .says("hint: nothing was stored");
    }
}

#[test]
fn a_disk_without_inodes_is_no_outcome_either() {
    // What cannot be made is taken for what is not there.
    room_cures(
        "seq 6000 | xargs touch 2> /dev/null || :",
        "size=900m,nr_inodes=5k",
        "size=900m,nr_inodes=50k",
    );
}

#[test]
fn a_log_of_a_gigabyte_is_kept_whole_in_little_memory() {
    let world = World::new();
    let size: u64 = 1 << 30;
    let package = world.package(
        "loud",
        &format!("MAKE[0]='yes | head -c {size}; '\"${{MAKE[0]}}\""),
    );
    world.write("settings/kiln/config.toml", "[limits]\nlog = '2G'\n");
    let mut run = world.start(format!("build {package} -k {} --json", kernel()));
    let pid = run.pid();
    let mut peak = 0;
    wait_until("the build ends", || {
        peak = peak.max(peak_memory(pid));
        run.has_ended()
    });
    run.finish().exits(0);
    assert!(peak > 0 && peak < 300 << 20, "{peak} bytes");

    let mut log = world
        .command(format!("log {package} -k {}", kernel()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = log.stdout.take().unwrap();
    let mut buffer = vec![0; 1 << 20];
    let mut lines = 0;
    loop {
        let length = stdout.read(&mut buffer).unwrap();
        if length == 0 {
            break;
        }
        lines += buffer[..length].iter().filter(|b| **b == b'y').count() as u64;
    }
    assert!(log.wait().unwrap().success());
    assert!(lines >= size / 2, "{lines} of {} lines", size / 2);
}

/// The most memory that a process has had resident, in bytes.
fn peak_memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|value| value.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}

#[test]
fn a_source_that_does_not_come_to_rest_is_not_stored() {
    let world = World::new();
    let token = world.token();
    let waits = world.waits("moving", &token);
    let package = world.package("moving", &format!("MAKE[0]='{waits}; '\"${{MAKE[0]}}\""));
    let source = world.write("moving/note", "before\n");
    let line = format!("build {package} -k {} --json", kernel());
    let mut run = world.start(&line);
    for text in ["after\n", "later\n"] {
        run.until("started", "moving");
        wait_until("the job sleeps", || !machine::processes(&token).is_empty());
        fs::write(&source, text).unwrap();
        machine::wake(&token);
    }
    let run = run.finish().exits(1);
    let cell = run.cell("moving");
    assert_eq!(cell["result"], "aborted", "{run}");
    assert!(cell["cause"].as_str().unwrap().contains("changed during"));
    assert!(cell["hint"].as_str().unwrap().contains("run again"));
    let run = world.start(&line);
    machine::wake(&token);
    assert_eq!(run.finish().exits(0).cell("moving")["result"], "built");
}

#[test]
fn words_that_cannot_be_written_are_missed() {
    let world = World::new();
    let package = world.package("one", "");
    let full = |line: String| {
        let full = fs::File::create("/dev/full").unwrap();
        Run::of(world.command(line).stdout(full))
    };
    for line in [
        format!("build {package} -k {}", kernel()),
        format!("log {package} -k {}", kernel()),
        "config show".to_owned(),
        "config show --json".to_owned(),
        "cache stats".to_owned(),
    ] {
        full(line).exits(1).says("standard output is not whole");
    }
    // It is built.
    world.build(&package, "").exits(0).says("hit");
    full(format!("build {package}/nothing -k {}", kernel())).exits(2);
}
