//! Packages, a kernel and what they are built with, and how one of their inputs is changed before, during or after
//! their jobs.
//!
//! After each change the shared cache and an empty one must give the same: that is all that is asserted.

use std::{collections::BTreeMap, fmt, fs, path::PathBuf, time::Duration};

use super::{
    gate::Gate,
    ground::{Ground, gaps_count},
    input::{Input, Mutation},
    outcome::{Outcomes, outcomes},
};

/// A package with the inputs that only it has.
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: String,
    /// Its directory.
    pub(crate) directory: PathBuf,
    /// Its own inputs.
    pub(crate) inputs: Vec<Input>,
    /// The packages that it depends on, but for the one that all wait for.
    pub(crate) depends: Vec<String>,
}

/// When a change happens, seen from the job that has the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// After it.
    After,
    /// When it is planned but does not run yet.
    Before,
    /// While it runs.
    During,
    /// While it runs, and it is undone before it ends.
    DuringAndBack,
}

impl When {
    /// All.
    pub(crate) const ALL: [Self; 4] =
        [Self::After, Self::Before, Self::During, Self::DuringAndBack];
}

/// What became of changes.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// How many changes were made.
    pub(crate) mutations: usize,
    /// How many outcomes came from the cache.
    pub(crate) hits: usize,
    /// How many were made anew.
    pub(crate) misses: usize,
    /// How many of both are failures.
    pub(crate) failures: usize,
    /// The causes of failures with an empty cache, with how often.
    pub(crate) causes: BTreeMap<String, usize>,
    /// What went wrong.
    pub(crate) faults: Vec<String>,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            mutations,
            hits,
            misses,
            failures,
            causes,
            faults,
        } = self;
        write!(
            f,
            "{mutations} mutations: {hits} outcomes from the cache, {misses} made anew ({failures} failures), {} faults",
            faults.len()
        )?;
        causes
            .iter()
            .try_for_each(|(cause, times)| write!(f, "\n{times} times {cause}"))?;
        faults.iter().try_for_each(|fault| write!(f, "\n{fault}"))
    }
}

/// All of it.
pub(crate) struct Stage {
    /// The machine.
    pub(crate) ground: Ground,
    /// The kernel's tree.
    pub(crate) tree: PathBuf,
    /// The packages; the first one is the one that all depend on.
    pub(crate) packages: Vec<Package>,
    /// Inputs of all.
    pub(crate) shared: Vec<Input>,
    /// What became of the changes so far.
    pub(crate) tally: Tally,
    salt: u64,
    /// How long a job may take.
    patience: Duration,
}

impl Stage {
    /// Sets it up.
    pub(crate) fn new(
        ground: Ground,
        tree: PathBuf,
        packages: Vec<Package>,
        shared: Vec<Input>,
        patience: Duration,
    ) -> Self {
        Self {
            ground,
            tree,
            packages,
            shared,
            tally: Tally::default(),
            salt: 0,
            patience,
        }
    }

    /// Builds some packages, and what they depend on, then changes them, and compares.
    pub(crate) fn round(&mut self, packages: &[usize], mutations: &[Mutation], when: When) {
        let packages = self.with_dependencies(packages);
        let arguments = self.arguments(&packages);
        let waiting = packages
            .iter()
            .filter(|index| self.packages[**index].depends.is_empty());
        let waiting = waiting.count() - 1;
        let mut during = None;
        match when {
            When::After => {
                let before = self.ground.used(&arguments);
                self.tally.hits += before.values().filter(|one| one.cached).count();
                self.apply(mutations);
            }
            When::Before => {
                // What all depend on is to be built again, and so all of them.
                self.salt(0);
                let gate = Gate::Before.close();
                let run = self.ground.start(&arguments);
                gate.wait_for(1, self.patience);
                self.apply(mutations);
                drop(gate);
                during = Some(outcomes(&run.finish()));
            }
            When::During | When::DuringAndBack => {
                for index in packages.iter().skip(1) {
                    self.salt(*index);
                }
                let (gate, out) = (Gate::In.close(), Gate::Out.close());
                let run = self.ground.start(&arguments);
                gate.wait_for(waiting, self.patience);
                let undo: Vec<Mutation> = mutations
                    .iter()
                    .map(|mutation| mutation.undo(&self.ground.caller))
                    .collect();
                self.apply(mutations);
                drop(gate);
                if when == When::DuringAndBack {
                    out.wait_for(waiting, self.patience);
                    self.apply(&undo);
                }
                drop(out);
                during = Some(outcomes(&run.finish()));
            }
        }
        let after = self.ground.used(&arguments);
        let clean = self.ground.clean(&arguments);
        self.tally.mutations += mutations.len();
        for outcome in clean.values().filter(|outcome| outcome.word != "built") {
            let mut cause = outcome.to_string();
            if let [mutation] = mutations {
                cause.push_str(&format!(" after {mutation}"));
            }
            *self.tally.causes.entry(cause).or_default() += 1;
        }
        if let Some(mut during) = during {
            // What was found before the change was right then, and what is no outcome cannot be wrong.
            let is_read_once = mutations.iter().any(|mutation| mutation.input.is_read_once);
            during.retain(|_, one| {
                !is_read_once && !one.cached && ["built", "failed"].contains(&&*one.word)
            });
            self.compare(&during, &clean, mutations, when);
        }
        if after.keys().ne(clean.keys()) {
            let fault = format!("other packages: {after:?}, clean {clean:?}");
            self.tally.faults.push(fault);
        }
        self.compare(&after, &clean, mutations, when);
    }

    fn apply(&mut self, mutations: &[Mutation]) {
        for mutation in mutations {
            mutation.apply(&mut self.ground.caller);
        }
    }

    fn compare(&mut self, run: &Outcomes, clean: &Outcomes, mutations: &[Mutation], when: When) {
        for (name, outcome) in run {
            match outcome.cached {
                true => self.tally.hits += 1,
                false => self.tally.misses += 1,
            }
            self.tally.failures += usize::from(outcome.word == "failed");
            let Some(clean) = clean.get(name).filter(|clean| !outcome.is_as(clean)) else {
                continue;
            };
            let mut packages = self.packages.iter();
            let package = packages.find(|package| package.name == *name);
            let package = package.unwrap_or(&self.packages[0]);
            let places: Vec<_> = package.inputs.iter().map(|own| &own.place).collect();
            let mut own: Vec<&Mutation> = mutations.iter().collect();
            own.retain(|mutation| places.contains(&&mutation.input.place));
            if own.is_empty() {
                own = mutations.iter().collect();
            }
            let why = self.ground.why_everything(&package.directory, &self.tree);
            if !why.is_empty() && !gaps_count() {
                continue;
            }
            let changes: Vec<String> = own.iter().map(ToString::to_string).collect();
            self.tally.faults.push(format!(
                "{name}, changed {when:?}: {}\n    {}\n    {}",
                changes.join("; "),
                outcome.difference(clean),
                why,
            ));
        }
    }

    /// Packages and what they depend on, in order.
    fn with_dependencies(&self, packages: &[usize]) -> Vec<usize> {
        let mut wanted = vec![0];
        wanted.extend(packages);
        for index in packages {
            let depends = self.packages[*index].depends.iter();
            let place = |name: &String| self.packages.iter().position(|known| known.name == *name);
            wanted.extend(depends.map(|name| place(name).unwrap()));
        }
        wanted.sort_unstable();
        wanted.dedup();
        wanted
    }

    fn arguments(&self, packages: &[usize]) -> Vec<String> {
        let mut arguments = vec!["build".to_owned()];
        let directories = packages
            .iter()
            .map(|index| &self.packages[*index].directory);
        arguments.extend(directories.map(|directory| directory.display().to_string()));
        let jobs = packages.len().max(2);
        arguments.extend([
            "-k".to_owned(),
            self.tree.display().to_string(),
            format!("-j{jobs}"),
        ]);
        arguments
    }

    /// Gives a package a source that it never had.
    fn salt(&mut self, index: usize) {
        self.salt += 1;
        let path = self.packages[index].directory.join("salt");
        fs::write(path, format!("{}\n", self.salt)).unwrap();
    }
}
