//! Which changes are made, in which order: each kind once, or many at random.

use std::{collections::BTreeSet, env, iter, time::Instant};

use super::{
    input::{How, Input, Mutation},
    stage::{Package, Stage, When},
};

/// How often all packages get a change of their own, for one change that is for all.
const OWN: usize = 3;

/// More faults than these tell nothing new.
const FAULTS: usize = 12;

/// How many changes a soak makes; none if this run is no soak.
pub(crate) fn wanted(usual: usize) -> Option<usize> {
    let number = |name: &str| env::var(name).ok().and_then(|value| value.parse().ok());
    let is_soak = env::var_os("KILN_SOAK").is_some();
    number("KILN_MUTATIONS").or(is_soak.then_some(usual))
}

/// Changes each kind of input once; the kinds take turns at the moments of a job.
pub(crate) fn each(stage: &mut Stage) {
    let mut rng = fastrand::Rng::with_seed(1);
    let packages: Vec<usize> = (1..stage.packages.len()).collect();
    let mut moments = When::ALL.into_iter().cycle();
    let mut done = BTreeSet::new();
    loop {
        let mut chosen = Vec::new();
        for index in &packages {
            let inputs = stage.packages[*index].inputs.iter();
            let mut new = inputs.filter(|input| !done.contains(&input.name));
            if let Some(input) = new.next().cloned() {
                done.insert(input.name.clone());
                chosen.extend(Mutation::draw(&input, &stage.ground.caller, &mut rng));
            }
        }
        if chosen.is_empty() {
            break;
        }
        stage.round(&packages, &chosen, moments.next().unwrap());
        if stage.tally.faults.len() >= FAULTS {
            return finish(stage);
        }
    }
    below(stage, &mut rng);
    // What no other component of a key has.
    let inputs = stage.packages[packages[0]].inputs.clone();
    after(
        stage,
        packages[0],
        &inputs,
        "override of the version",
        &mut rng,
    );
    for input in stage.shared.clone() {
        if stage.tally.faults.len() >= FAULTS {
            break;
        }
        let Some(mutation) = Mutation::draw(&input, &stage.ground.caller, &mut rng) else {
            continue;
        };
        // What is changed for all must not hide what is changed next.
        let undo = mutation.undo(&stage.ground.caller);
        stage.round(&packages[..1], &[mutation], moments.next().unwrap());
        undo.apply(&mut stage.ground.caller);
    }
    finish(stage);
}

/// Changes what shows in a dependency's module, and what only its dependents look at.
fn below(stage: &mut Stage, rng: &mut fastrand::Rng) {
    let depends = |package: &Package| package.depends.first().cloned();
    let above = stage
        .packages
        .iter()
        .position(|package| depends(package).is_some());
    let above = above.unwrap();
    let name = depends(&stage.packages[above]).unwrap();
    let below = stage.packages.iter().find(|package| package.name == name);
    let inputs = below.unwrap().inputs.clone();
    for name in ["a", "source for dependents"] {
        after(stage, above, &inputs, name, rng);
    }
}

/// Changes an input of these after the job of a package.
fn after(stage: &mut Stage, package: usize, inputs: &[Input], name: &str, rng: &mut fastrand::Rng) {
    let input = inputs.iter().find(|input| input.name == name).unwrap();
    let mutation = iter::repeat_with(|| Mutation::draw(input, &stage.ground.caller, rng))
        .find_map(|drawn| drawn.filter(|mutation| mutation.how != How::Touched));
    stage.round(&[package], &[mutation.unwrap()], When::After);
}

/// Changes some inputs of all once, after a job.
pub(crate) fn some(stage: &mut Stage, names: &[&str]) {
    let mut rng = fastrand::Rng::with_seed(1);
    for name in names {
        let mut inputs = stage.shared.iter().chain(&stage.packages[1].inputs);
        let input = inputs.find(|input| input.name == *name).cloned().unwrap();
        let mutation = Mutation::draw(&input, &stage.ground.caller, &mut rng).unwrap();
        let undo = mutation.undo(&stage.ground.caller);
        stage.round(&[1], &[mutation], When::After);
        undo.apply(&mut stage.ground.caller);
    }
    finish(stage);
}

/// Makes so many changes at random.
pub(crate) fn random(stage: &mut Stage, mutations: usize) {
    let seed = env::var("KILN_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    eprintln!("KILN_SEED={seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let all: Vec<usize> = (1..stage.packages.len()).collect();
    let (started, mut told) = (Instant::now(), 0);
    while stage.tally.mutations < mutations && stage.tally.faults.len() < FAULTS {
        let when = rng.choice(When::ALL).unwrap();
        if rng.usize(..=OWN) > 0 {
            let inputs: Vec<Input> = all
                .iter()
                .filter_map(|index| rng.choice(&stage.packages[*index].inputs).cloned())
                .collect();
            let drawn = inputs.iter();
            let drawn =
                drawn.filter_map(|input| Mutation::draw(input, &stage.ground.caller, &mut rng));
            let drawn: Vec<Mutation> = drawn.collect();
            stage.round(&all, &drawn, when);
        } else {
            let some = [
                rng.choice(&all).copied().unwrap(),
                rng.choice(&all).copied().unwrap(),
            ];
            let input = rng.choice(&stage.shared).cloned().unwrap();
            if let Some(mutation) = Mutation::draw(&input, &stage.ground.caller, &mut rng) {
                stage.round(&some, &[mutation], when);
            }
        }
        if stage.tally.mutations >= told + mutations / 10 {
            told = stage.tally.mutations;
            let faults = stage.tally.faults.len();
            let seconds = started.elapsed().as_secs_f64();
            eprintln!("{seconds:.0} s: {told} mutations, {faults} faults");
        }
    }
    eprintln!("{:.0} s", started.elapsed().as_secs_f64());
    finish(stage);
}

fn finish(stage: &Stage) {
    let tally = &stage.tally;
    eprintln!("{tally}");
    assert!(tally.faults.is_empty(), "{tally}");
    assert!(
        tally.hits > 0 && tally.misses > 0,
        "nothing was tried: {tally}"
    );
}
