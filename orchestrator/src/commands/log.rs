//! `kiln log`: the whole log of the newest job of a package for a kernel.

use kiln_cache::{ActionKind, Store};
use kiln_scheduler::CancelToken;

use super::session::{cache_directory, kernels, open_site, packages};
use crate::{
    Exit,
    cli::{CellArgs, Global},
    error::CommandError,
    job::open_log,
    kernel::select_kernels,
    package::Found,
    report,
};

pub(super) fn run(global: &Global, arguments: &CellArgs) -> Result<Exit, CommandError> {
    let cancel = CancelToken::new();
    let site = open_site(global, &arguments.selection, None, &cancel)?;
    let packages = packages(&arguments.selection, false, &site)?;
    let kernels = select_kernels(&kernels(&arguments.selection, false))?;
    drop(site);
    let store = Store::open_reading(&cache_directory(global)?)?;
    for package in &packages {
        for kernel in &kernels {
            show(&store, package, &kernel.target())?;
        }
    }
    Ok(Exit::Success)
}

/// Prints the newest log of a package for a kernel.
fn show(store: &Store, package: &Found, target: &str) -> Result<(), CommandError> {
    let label = package.label();
    let mut newest = None;
    for record in store.records()? {
        let record = record?;
        let fits = record.kind == ActionKind::Job
            && record.subject.target == target
            && names(package, &record.subject.name);
        if fits
            && newest
                .as_ref()
                .is_none_or(|n: &kiln_cache::ActionRecord| n.created <= record.created)
        {
            newest = Some(record);
        }
    }
    let record = newest.ok_or_else(|| CommandError::NoRecord {
        package: label.clone(),
        kernel: target.to_owned(),
    })?;
    let gone = || CommandError::NoLog {
        package: label.clone(),
        kernel: target.to_owned(),
    };
    let log = record.log.ok_or_else(gone)?;
    let file = store.open_object(&log)?.ok_or_else(gone)?;
    let text = open_log(file).map_err(|_| gone())?;
    report::copy_log(text).map_err(|_| gone())
}

/// Whether a record's subject is the package: by its registered name, or by what its
/// directory or archive is called.
fn names(package: &Found, subject: &str) -> bool {
    match &package.registered {
        Some(id) => subject == id.to_string(),
        None => {
            let (name, version) =
                crate::package::literal_identity(&package.source.path().join("dkms.conf"));
            match (name, version) {
                (Some(name), Some(version)) => subject == format!("{name}/{version}"),
                (Some(name), None) => subject.split('/').next() == Some(&name),
                _ => {
                    let (name, version) = subject.split_once('/').unwrap_or((subject, ""));
                    let label = package.label();
                    label.starts_with(name) && label.contains(version)
                }
            }
        }
    }
}
