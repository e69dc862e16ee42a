//! `dkms status --json`.

use serde_json::{Value, json};

use crate::{
    kernel::{self, named},
    machine::Machine,
    modules::Module,
    source::Source,
};

#[track_caller]
fn rows(machine: &Machine, line: &str) -> Value {
    let run = machine.dkms(format!("status --json {line}")).exits(0);
    serde_json::from_str(&run.out).unwrap_or_else(|error| panic!("{error}: {run}"))
}

#[test]
fn of_nothing() {
    assert_eq!(rows(&Machine::new(), ""), json!([]));
}

#[test]
fn of_every_state() {
    let machine = Machine::new();
    let original = named("/lib/modules/KERNEL/kernel/hello.ko");
    machine.write(original, Module::Unversioned.bytes());
    machine.install(&Source::hello());
    machine.write(
        named("/lib/modules/KERNEL/updates/dkms/hello.ko"),
        Module::Two.bytes(),
    );
    machine.add(&Source::of("only-added", "2.0-1", Module::One));
    machine.add(&Source::of("third", "1.0", Module::One));
    machine.dkms("build third/1.0 -k SECOND/toaster").exits(0);
    machine.shell("rm /var/lib/dkms/third/1.0/SECOND/toaster/module/third.ko");
    machine.add(&Source::of("without", "1.0", Module::One));
    machine.shell("rm -r /usr/src/without-1.0");
    assert_eq!(
        rows(&machine, ""),
        json!([
            {"module": "hello", "version": "1.0", "kernel": "KERNEL", "arch": "ARCH",
             "state": "installed", "remarks": ["original_modules_exist", "differs"]},
            {"module": "only-added", "version": "2.0-1", "state": "added", "remarks": []},
            {"module": "third", "version": "1.0", "kernel": "SECOND", "arch": "toaster",
             "state": "built", "remarks": ["built_modules_missing"]},
            {"module": "without", "version": "1.0", "state": "broken", "remarks": []},
        ])
    );
    assert_eq!(
        rows(&machine, "third -k SECOND")[0]["arch"],
        json!("toaster")
    );
    assert_eq!(rows(&machine, "nothing"), json!([]));
}

#[test]
fn says_what_the_lines_say() {
    let machine = Machine::new();
    machine.add(&Source::hello());
    machine
        .dkms("install hello/1.0 -k KERNEL -k SECOND")
        .exits(0);
    machine.add(&Source::of("hello", "2.0", Module::Two));
    let lines = machine.dkms("status").out;
    let rows = rows(&machine, "");
    let of_rows: String = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            let text = |key: &str| row[key].as_str().unwrap().to_owned();
            let package = format!("{}/{}", text("module"), text("version"));
            match row.get("kernel") {
                Some(_) => format!(
                    "{package}, {}, {}: {}\n",
                    text("kernel"),
                    text("arch"),
                    text("state")
                ),
                None => format!("{package}: {}\n", text("state")),
            }
        })
        .collect();
    assert_eq!(of_rows, lines);
    assert_eq!(kernel::redacted(&lines), lines);
}
