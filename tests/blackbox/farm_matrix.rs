//! The matrix of a farm: rules, shards, and what is built only because others depend on it.

use std::{collections::BTreeSet, fs};

use super::{
    farm_manifest::{Manifest, module},
    machine::{self, kernel, other_kernel},
    run::Run,
    world::World,
};

/// The results of a run by package and kernel.
fn results(run: &Run) -> Vec<(String, String, String)> {
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let summary = run.summary();
    let cells = summary["cells"].as_array().unwrap();
    cells
        .iter()
        .map(|cell| {
            (
                text(&cell["package"]),
                text(&cell["kernel"]),
                text(&cell["result"]),
            )
        })
        .collect()
}

/// What of a run came to an end.
fn with(run: &Run, end: &str) -> BTreeSet<(String, String)> {
    let results = results(run)
        .into_iter()
        .filter(|(_, _, result)| result == end);
    results
        .map(|(package, kernel, _)| (package, kernel))
        .collect()
}

fn pair(package: &str, kernel: &str) -> (String, String) {
    (package.to_owned(), kernel.to_owned())
}

#[test]
fn an_include_takes_back_in_what_an_exclude_takes_out() {
    let world = World::new();
    for name in ["aa", "bb", "cc"] {
        world.package(name, "");
    }
    let (one, other) = (kernel(), other_kernel());
    Manifest::new(&["aa", "bb", "cc"], &[one, other])
        .more(&format!(
            "[matrix]\nexclude = [{{ kernel = {other:?} }}, {{ package = [\"c*\"], arch = {:?} }}]\n\
             include = [{{ package = \"bb/1.*\" }}, {{ package = \"cc\", version = \"1.0\", kernel = {one:?} }}]\n",
            machine::arch()
        ))
        .write(&world);
    let run = world.kiln("farm run --json").exits(0).never_says("warning");
    let expected = [
        pair("aa/1.0", one),
        pair("bb/1.0", one),
        pair("bb/1.0", other),
        pair("cc/1.0", one),
    ];
    assert_eq!(with(&run, "built"), BTreeSet::from(expected));
    assert_eq!(
        with(&run, "excluded"),
        BTreeSet::from([pair("aa/1.0", other), pair("cc/1.0", other)])
    );
}

#[test]
fn rules_go_by_the_names_that_the_manifest_gives_to_kernels() {
    let world = World::new();
    world.package("any", "");
    world.write(
        "farm.toml",
        format!(
            "packages = [\"any\"]\n[[kernels]]\nname = \"old one\"\nrelease = {:?}\n\
             [[kernels]]\nrelease = {:?}\n[[matrix.exclude]]\nname = \"old *\"\n",
            kernel(),
            other_kernel()
        ),
    );
    let run = world.kiln("farm run --json").exits(0);
    assert_eq!(
        with(&run, "excluded"),
        BTreeSet::from([pair("any/1.0", kernel())])
    );
    assert_eq!(
        with(&run, "built"),
        BTreeSet::from([pair("any/1.0", other_kernel())])
    );
}

#[test]
fn a_rule_without_effect_is_told_of() {
    let world = World::new();
    world.package("any", "");
    Manifest::new(&["any"], &[kernel()])
        .more("[[matrix.exclude]]\npackage = \"many\"\n[[matrix.include]]\npackage = \"any\"\n")
        .write(&world);
    for command in ["farm plan", "farm run"] {
        world
            .kiln(command)
            .exits(0)
            .says("farm.toml:3: this rule excludes nothing")
            .says("farm.toml:5: this rule takes nothing back in");
    }
    // A shard sees the whole matrix when it judges rules.
    world
        .kiln("farm run --shard 1/7")
        .exits(0)
        .says("farm.toml:3: this rule excludes nothing");
}

#[test]
fn what_is_left_out_is_built_for_those_that_depend_on_it() {
    let world = World::new();
    world.package("lower", "");
    world.package("upper", "BUILD_DEPENDS[0]=lower");
    let (one, other) = (kernel(), other_kernel());
    Manifest::new(&["upper", "lower"], &[one, other])
        .outputs("out")
        .more(&format!(
            "[[matrix.exclude]]\npackage = \"lower\"\n\
             [[matrix.exclude]]\npackage = \"upper\"\nkernel = {other:?}\n"
        ))
        .write(&world);
    let run = world.kiln("farm run --json").exits(0);
    let expected = [pair("lower/1.0", one), pair("upper/1.0", one)];
    assert_eq!(with(&run, "built"), BTreeSet::from(expected));
    assert!(
        world
            .path("out")
            .join(module(one, "upper/1.0", "upper"))
            .exists()
    );
    assert!(
        !world
            .path("out")
            .join(one)
            .join(machine::arch())
            .join("lower")
            .exists()
    );
}

#[test]
fn shards_together_make_the_whole() {
    let world = World::new();
    let names: Vec<String> = (0..8).map(|n| format!("part{n}")).collect();
    for name in &names {
        world.package(name, "");
    }
    // Its dependency is built in whichever shard it falls.
    world.package("part9", "BUILD_DEPENDS[0]=part0");
    let kernels = [kernel(), other_kernel()];
    Manifest::new(&["part*"], &kernels).write(&world);
    let whole = world.kiln("farm run -o whole --json").exits(0);
    assert_eq!(whole.summary()["built"], 18);

    let mut seen: Vec<(String, String)> = Vec::new();
    for shard in 1..=3 {
        let cold = world.path(format!("cold{shard}"));
        let line = format!(
            "farm run --shard {shard}/3 -o parts --json --cache-dir {}",
            cold.display()
        );
        let run = world.kiln(&line).exits(0);
        let delivered = run.summary()["cells"].as_array().unwrap().len();
        assert!(delivered > 0 && delivered < 18, "{run}");
        let built = with(&run, "built");
        for kernel in kernels {
            let depends = built.contains(&pair("part9/1.0", kernel));
            assert!(
                !depends || built.contains(&pair("part0/1.0", kernel)),
                "{run}"
            );
        }
        seen.extend(built);
        // The same again, by another runner.
        let plan = world
            .kiln(format!("farm plan --shard {shard}/3 --json"))
            .exits(0);
        assert_eq!(plan.events().len() - 1, delivered, "{plan}");
    }
    let distinct: BTreeSet<_> = seen.iter().cloned().collect();
    assert_eq!(distinct.len(), 18, "every cell is in some shard");
    assert!(
        seen.len() <= 20,
        "only dependencies are built twice: {seen:?}"
    );
    assert_eq!(files(&world, "parts"), files(&world, "whole"));
}

/// The modules below a folder, with their contents.
fn files(world: &World, folder: &str) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![world.path(folder)];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|ending| ending == "ko") {
                let inner = path.strip_prefix(world.path(folder)).unwrap();
                found.push((inner.display().to_string(), fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty());
    found
}

#[test]
fn an_added_package_moves_no_other_to_another_shard() {
    let world = World::new();
    let names: Vec<String> = (0..6).map(|n| format!("part{n}")).collect();
    for name in &names {
        world.package(name, "");
    }
    Manifest::new(&["part*"], &[kernel(), other_kernel()]).write(&world);
    let cells = |shard: u32| -> BTreeSet<(String, String)> {
        let run = world
            .kiln(format!("farm plan --shard {shard}/2 --json"))
            .exits(0);
        let planned = run.events().into_iter().filter(|e| e["event"] == "planned");
        planned
            .map(|e| {
                pair(
                    e["package"].as_str().unwrap(),
                    e["kernel"].as_str().unwrap(),
                )
            })
            .collect()
    };
    let before = [cells(1), cells(2)];
    assert!(before[0].is_disjoint(&before[1]));
    assert_eq!(before[0].len() + before[1].len(), 12);
    world.package("part-new", "");
    let after = [cells(1), cells(2)];
    assert!(before[0].is_subset(&after[0]) && before[1].is_subset(&after[1]));
    assert_eq!(after[0].len() + after[1].len(), 14);
}
