//! Which pairs of the matrix are wanted: the manifest's rules, and the shard.
//!
//! Every pair is, except those that an `exclude` fits; an `include` takes back in what an
//! `exclude` took out. A rule that has no effect is told of: it is a mistake more often than
//! not.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use kiln_build::plan::Wish;
use kiln_kernel::KernelTree;
use toml::Spanned;

use super::{FarmKernel, Located, Manifest, Shard, manifest::Rule};

/// The rules of one run.
pub struct Matrix<'a> {
    exclude: Vec<Counted<'a>>,
    include: Vec<Counted<'a>>,
    kernels: &'a [FarmKernel],
    shard: Option<Shard>,
}

/// A rule, and whether it did anything.
struct Counted<'a> {
    rule: &'a Rule,
    at: Located,
    effective: AtomicBool,
}

/// A rule without effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdleRule {
    /// An `exclude` that fits no pair.
    Exclude(Located),
    /// An `include` that fits no pair that an `exclude` takes out.
    Include(Located),
}

impl<'a> Matrix<'a> {
    /// The rules of `manifest` for its kernels.
    pub fn new(manifest: &'a Manifest, kernels: &'a [FarmKernel], shard: Option<Shard>) -> Self {
        let counted = |rules: &'a [Spanned<Rule>]| {
            let counted = rules.iter().map(|rule| Counted {
                rule: rule.get_ref(),
                at: manifest.at(rule),
                effective: AtomicBool::new(false),
            });
            counted.collect()
        };
        Self {
            exclude: counted(&manifest.rules().exclude),
            include: counted(&manifest.rules().include),
            kernels,
            shard,
        }
    }

    /// What is wanted of a package (`name/version`) for a kernel.
    pub fn wish(&self, package: &str, kernel: &KernelTree) -> Wish {
        let name = self.name_of(kernel);
        let fits = |counted: &&Counted<'_>| fits(counted.rule, package, kernel, name);
        let mut excluded = self.exclude.iter().filter(fits).peekable();
        if let Some(first) = excluded.peek().copied() {
            excluded.for_each(|one| one.effective.store(true, Ordering::Relaxed));
            let mut included = self.include.iter().filter(fits).peekable();
            if included.peek().is_none() {
                return self.here(package, kernel, Wish::LeftOut(words(first)));
            }
            included.for_each(|one| one.effective.store(true, Ordering::Relaxed));
        }
        self.here(package, kernel, Wish::Wanted)
    }

    /// A wish, if it is this shard's.
    fn here(&self, package: &str, kernel: &KernelTree, wish: Wish) -> Wish {
        match self.shard {
            Some(shard) if !shard.has(package, kernel) => Wish::NotAsked,
            _ => wish,
        }
    }

    fn name_of(&self, kernel: &KernelTree) -> Option<&str> {
        let same = |one: &&FarmKernel| {
            let tree = &one.target.tree;
            tree.release == kernel.release && tree.arch == kernel.arch
        };
        self.kernels.iter().find(same)?.name.as_deref()
    }

    /// The rules that had no effect on any pair judged so far.
    pub fn idle(&self) -> Vec<IdleRule> {
        let idle = |rules: &[Counted<'_>], kind: fn(Located) -> IdleRule| {
            let idle = rules
                .iter()
                .filter(|one| !one.effective.load(Ordering::Relaxed));
            idle.map(|one| kind(one.at.clone())).collect::<Vec<_>>()
        };
        let mut found = idle(&self.exclude, IdleRule::Exclude);
        found.extend(idle(&self.include, IdleRule::Include));
        found
    }
}

fn fits(rule: &Rule, package: &str, kernel: &KernelTree, name: Option<&str>) -> bool {
    let (package_name, version) = package.split_once('/').unwrap_or((package, ""));
    let all = |patterns: &Option<super::manifest::Patterns>, texts: &[&str]| {
        patterns
            .as_ref()
            .is_none_or(|patterns| texts.iter().any(|text| patterns.is_match(text)))
    };
    all(&rule.package, &[package_name, package])
        && all(&rule.version, &[version])
        && all(&rule.kernel, &[kernel.release.as_str()])
        && all(&rule.arch, &[kernel.arch.as_str()])
        && all(&rule.name, name.as_slice())
}

/// The rule as a plan shows it.
fn words(rule: &Counted<'_>) -> Arc<str> {
    let what = match &rule.rule.because {
        Some(because) => because.clone(),
        None => {
            let parts = [
                ("package", &rule.rule.package),
                ("version", &rule.rule.version),
                ("kernel", &rule.rule.kernel),
                ("name", &rule.rule.name),
                ("arch", &rule.rule.arch),
            ];
            let parts = parts
                .iter()
                .filter_map(|(key, patterns)| Some(format!("{key} {}", patterns.as_ref()?)));
            parts.collect::<Vec<_>>().join(", ")
        }
    };
    format!("excluded by {}: {what}", rule.at).into()
}
