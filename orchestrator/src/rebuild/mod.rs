//! Builds some of the cache's records anew and compares: a stored outcome has to be what its inputs make.
//!
//! A record does not say where its inputs were, only what they were. So the package and the kernel that it
//! names are looked for on this machine, planned for with the cache, and if the key that comes of it is the
//! record's, everything is built in another cache that is thrown away. What has another key is not judged.

mod deviation;
mod sample;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use kiln_build::{
    job_run::{JobRun, Observer},
    outcome::{CellResult, Outcome},
    plan::{BuildSite, CellId, CellPlan, Plan, PlanRequest, Planner, SharedUse, Wish, differing},
};
use kiln_cache::{ActionKey, ActionRecord, Subject};
use kiln_kernel::{
    KernelRelease, KernelRequest, KernelSource, TargetKernel,
    fingerprints::{Fingerprints, Trust},
    package::{Found, find_package},
};
use kiln_scheduler::{CancelToken, OnFailure, TokenPool};

use crate::{error::CommandError, report};

pub(crate) use deviation::Deviation;
use deviation::{Made, deviations};
pub(crate) use sample::Sample;

/// What building a sample anew has shown.
#[derive(Debug, Default)]
pub(crate) struct Rebuilt {
    /// How many records came out as they are stored.
    pub(crate) same: usize,
    /// Those that did not.
    pub(crate) different: Vec<Different>,
    /// Those that cannot be rebuilt here.
    pub(crate) not_here: Vec<NotHere>,
}

/// A record whose inputs make something else.
#[derive(Debug)]
pub(crate) struct Different {
    pub(crate) key: ActionKey,
    pub(crate) subject: Subject,
    pub(crate) deviations: Vec<Deviation>,
}

/// A record that cannot be rebuilt here.
#[derive(Debug)]
pub(crate) struct NotHere {
    pub(crate) key: ActionKey,
    pub(crate) subject: Subject,
    pub(crate) why: Obstacle,
}

/// Why a record cannot be rebuilt here.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// No such kernel is here.
    NoKernel,
    /// No such package is here.
    NoPackage,
    /// The inputs are not those of the record: the names of the components that differ.
    Changed(Vec<String>),
    /// It did not come to an outcome: why, in words.
    NotBuilt(String),
}

/// Where records are rebuilt.
pub(crate) struct Rebuild<'a> {
    /// The cache that is judged.
    pub(crate) site: &'a Arc<BuildSite>,
    /// An empty one.
    pub(crate) fresh: &'a Arc<BuildSite>,
    /// Sources beside those that are registered.
    pub(crate) packages: Vec<Found>,
    /// Kernels beside those that are installed.
    pub(crate) kernels: Vec<TargetKernel>,
    /// The processors.
    pub(crate) tokens: &'a Arc<TokenPool>,
    /// How it is stopped.
    pub(crate) cancel: &'a CancelToken,
}

impl Rebuild<'_> {
    /// Builds a sample of the records anew.
    ///
    /// # Errors
    /// Fails if one of the caches cannot be used, or if there can be no plan for a kernel.
    pub(crate) fn run(&self, sample: Sample) -> Result<Rebuilt, CommandError> {
        let mut by_kernel: BTreeMap<String, Vec<ActionRecord>> = BTreeMap::new();
        for record in sample.choose(&self.site.store)? {
            let target = record.subject.target.clone();
            by_kernel.entry(target).or_default().push(record);
        }
        let mut rebuilt = Rebuilt::default();
        for (target, records) in by_kernel {
            match self.kernel(&target) {
                Some(kernel) => self.rebuild(&kernel, records, &mut rebuilt)?,
                None => {
                    let all = records.into_iter();
                    rebuilt.not_here.extend(all.map(|record| NotHere {
                        key: record.key,
                        subject: record.subject,
                        why: Obstacle::NoKernel,
                    }));
                }
            }
        }
        Ok(rebuilt)
    }

    fn kernel(&self, target: &str) -> Option<TargetKernel> {
        let given = self.kernels.iter();
        let mut given = given.filter(|kernel| kernel.tree.target() == target);
        given.next().cloned().or_else(|| {
            let release = KernelRelease::new(target.split_once('/')?.0).ok()?;
            let kernel = KernelRequest::new(KernelSource::Installed(release)).open();
            kernel.ok().filter(|kernel| kernel.tree.target() == target)
        })
    }

    /// The packages that the records name, where they can be found, and those that the user named.
    fn packages(&self, records: &[ActionRecord]) -> Vec<Found> {
        let framework = &self.site.framework;
        let names: BTreeSet<&str> = records.iter().map(|r| r.subject.name.as_str()).collect();
        let registered = names
            .into_iter()
            .filter_map(|name| {
                find_package(name, &framework.source_tree, &framework.dkms_tree).ok()
            })
            .filter(|found| found.registered.is_some());
        registered.chain(self.packages.iter().cloned()).collect()
    }

    fn rebuild(
        &self,
        kernel: &TargetKernel,
        records: Vec<ActionRecord>,
        rebuilt: &mut Rebuilt,
    ) -> Result<(), CommandError> {
        let request = PlanRequest {
            packages: self.packages(&records),
            kernels: vec![kernel.clone()],
            wishes: None,
            use_cache: true,
            retry_failed: false,
            shared: SharedUse::Take,
        };
        let fingerprints = Fingerprints::new(&self.site.store).trusting(Trust::Nothing);
        let mut planner = Planner::new(self.site, fingerprints);
        let plan = planner.plan(request.clone(), self.tokens, self.cancel, &mut |_, _| {})?;
        drop(planner);
        let mut here = Vec::new();
        for record in records {
            match obstacle(&plan, &record) {
                None => here.push(record),
                Some(why) => rebuilt.not_here.push(NotHere {
                    key: record.key,
                    subject: record.subject,
                    why,
                }),
            }
        }
        if !here.is_empty() {
            report::rebuilding(here.len(), &kernel.tree.release);
            self.build(request, here, rebuilt)?;
        }
        Ok(())
    }

    fn build(
        &self,
        request: PlanRequest<'_>,
        records: Vec<ActionRecord>,
        rebuilt: &mut Rebuilt,
    ) -> Result<(), CommandError> {
        let names: BTreeSet<&str> = records.iter().map(|r| r.subject.name.as_str()).collect();
        let wishes = |label: &str, _: &_| match names.contains(label) {
            true => Wish::Wanted,
            false => Wish::NotAsked,
        };
        let request = PlanRequest {
            wishes: Some(&wishes),
            ..request
        };
        let fingerprints = Fingerprints::new(&self.fresh.store).trusting(Trust::Nothing);
        let mut planner = Planner::new(self.fresh, fingerprints);
        let plan = planner.plan(request, self.tokens, self.cancel, &mut |_, _| {})?;
        drop(planner);
        let mut outcome = Outcome::of_plan(&plan);
        let jobs = JobRun {
            site: self.fresh,
            plan: &plan,
            tokens: self.tokens,
            cancel: self.cancel,
            costs: &[],
            use_cache: true,
            retry_failed: false,
            on_failure: OnFailure::KeepGoing,
        };
        jobs.run(&mut Unwatched, &mut outcome)?;
        let results: HashMap<Subject, &CellResult> = (outcome.results.iter().enumerate())
            .map(|(index, result)| (plan.subject(CellId::new(index)), result))
            .collect();
        for record in records {
            let result = results.get(&record.subject);
            let anew = result.and_then(|result| result.success().or(result.failure()));
            let (key, subject) = (record.key, record.subject.clone());
            let Some(anew) = anew else {
                let words = result.map(|result| report::result_cause(&plan, result));
                let why = Obstacle::NotBuilt(words.unwrap_or_default());
                rebuilt.not_here.push(NotHere { key, subject, why });
                continue;
            };
            let stored = Made {
                record: &record,
                store: &self.site.store,
            };
            let anew = Made {
                record: anew,
                store: &self.fresh.store,
            };
            let deviations = deviations(stored, anew)?;
            if deviations.is_empty() {
                rebuilt.same += 1;
            } else {
                rebuilt.different.push(Different {
                    key,
                    subject,
                    deviations,
                });
            }
        }
        Ok(())
    }
}

/// Why a record is not what the plan would be given; nothing if it is.
fn obstacle(plan: &Plan, record: &ActionRecord) -> Option<Obstacle> {
    let cells = plan.cells.iter().enumerate();
    let mut same = cells.filter(|(index, _)| plan.subject(CellId::new(*index)) == record.subject);
    let mut why = Obstacle::NoPackage;
    for (index, cell) in &mut same {
        match &cell.plan {
            CellPlan::Hit(found) | CellPlan::KnownFailure(found) if found.key == record.key => {
                return None;
            }
            _ => {}
        }
        why = match &cell.keys {
            Some(keys) => {
                let components = differing(&record.components, &keys.shown().components);
                Obstacle::Changed(components)
            }
            None => {
                let outcome = Outcome::of_plan(plan);
                Obstacle::NotBuilt(report::result_cause(plan, &outcome.results[index]))
            }
        };
    }
    Some(why)
}

/// Nobody wants to see the jobs one by one.
struct Unwatched;

impl Observer for Unwatched {
    fn finished(&mut self, _: &Plan, _: CellId, _: &CellResult) {}
}
