//! `kiln cache verify`: whether everything in the cache is what it should be.

use std::sync::Arc;

use kiln_build::{
    plan::{find_packages, read_again},
    probes::{Inspection, Remedy, has_answers, inspect},
};
use kiln_cache::{Store, VerifyMode};
use kiln_config::Settings;
use kiln_kernel::fingerprints::Fingerprints;
use kiln_sandbox::Isolation;
use kiln_scheduler::{CancelToken, TokenPool};

use super::session::{cache_directory, cancel_on_signals, kernels, open_site};
use crate::{
    Exit,
    cli::{ConfFlags, Selection, VerifyArgs},
    error::CommandError,
    rebuild::{Rebuild, Rebuilt, Sample},
    report,
};

pub(super) fn run(settings: &Settings, arguments: &VerifyArgs) -> Result<Exit, CommandError> {
    let directory = cache_directory(settings)?;
    let repair = arguments.repair;
    let (store, mode) = match repair {
        true => (Store::open(&directory)?, VerifyMode::Repair),
        false => (Store::open_reading(&directory)?, VerifyMode::Look),
    };
    let found = store.verify(mode)?;
    let reread = match arguments.inputs {
        true => read_again(&Store::open(&directory)?, repair)?,
        false => None,
    };
    let answers = inspect_answers(settings, store, repair)?;
    let cancel = CancelToken::new();
    let rebuilt = match arguments.rebuild {
        Some(sample) => Some(rebuild(settings, sample, arguments, &cancel)?),
        None => None,
    };
    report::cache_verify(
        &found,
        &answers,
        rebuilt.as_ref(),
        reread.as_ref(),
        arguments,
    );
    if cancel.is_cancelled() {
        return Ok(Exit::Interrupted);
    }
    let is_right = rebuilt.is_none_or(|rebuilt| rebuilt.different.is_empty());
    let is_known = reread.is_none_or(|reread| reread.stale.is_empty());
    if found.is_clean() && answers.is_clean() && is_right && is_known || repair {
        return Ok(Exit::Success);
    }
    Ok(Exit::Cache)
}

/// Has the compilers judge the answers that are kept; not where builds have no sandbox, and so no answers, nor in a
/// cache of somebody else's.
fn inspect_answers(
    settings: &Settings,
    store: Store,
    repair: bool,
) -> Result<Inspection, CommandError> {
    let has_answers = store
        .records()?
        .any(|record| record.is_ok_and(|r| has_answers(&r)));
    if !has_answers || Store::open(store.directory()).is_err() {
        return Ok(Inspection::default());
    }
    drop(store);
    let site = open_site(settings, &CancelToken::new())?;
    let remedy = if repair { Remedy::Forget } else { Remedy::None };
    match site.isolation {
        Isolation::Bubblewrap => Ok(inspect(&site, remedy)?),
        Isolation::Bare => Ok(Inspection::default()),
    }
}

/// Builds some records anew, here and in a cache of its own; a repair forgets those that come out otherwise.
fn rebuild(
    settings: &Settings,
    sample: Sample,
    arguments: &VerifyArgs,
    cancel: &CancelToken,
) -> Result<Rebuilt, CommandError> {
    cancel_on_signals(cancel);
    let settings = settings.clone().alone();
    let site = open_site(&settings, cancel)?;
    let scratch = site.store.scratch("rebuild")?;
    let mut elsewhere = settings.clone();
    elsewhere.cache.directory = Some(scratch.path().join("cache"));
    let fresh = open_site(&elsewhere, cancel)?;
    let selection = Selection {
        packages: Vec::new(),
        kernels: arguments.kernels.clone(),
        root: None,
        conf: ConfFlags { conf_timeout: None },
    };
    let kernels = match arguments.kernels.is_empty() {
        true => Vec::new(),
        false => kernels(&selection, false, &mut Fingerprints::new(&site.store))?,
    };
    let rebuild = Rebuild {
        site: &site,
        fresh: &fresh,
        packages: find_packages(&arguments.packages, &site)?,
        kernels,
        tokens: &Arc::new(TokenPool::new(settings.build.jobs_or_cores())),
        cancel,
    };
    let rebuilt = rebuild.run(sample)?;
    if arguments.repair {
        for different in &rebuilt.different {
            site.store.forget(&different.key)?;
        }
    }
    Ok(rebuilt)
}
