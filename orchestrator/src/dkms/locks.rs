//! Locks that one dkms or kiln takes so that another waits: one for each version of a
//! package, one for each kernel.

use std::{env, path::Path};

use kiln_install::{Transaction, TransactionError, lock_package};
use kiln_kernel::package::PackageId;
use rustix::fs::{FlockOperation, Mode, OFlags};

use super::{Session, console::Died, target::Target};
use crate::report::chain;

/// Set for packages' scripts: whoever finds it would wait for its own caller.
pub(crate) const INSIDE: &str = "KILN_DKMS_CHANGES_KERNEL";

/// Whether another process has a kernel's lock.
fn is_locked(directory: &Path) -> bool {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(directory, flags, Mode::empty()).is_ok_and(|directory| {
        rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive).is_err()
    })
}

impl Session {
    /// Locks a version of a package in the tree until the command ends; where there is no
    /// tree, there is no lock. Packages are locked before any kernel.
    ///
    /// # Errors
    /// Ends with 1 if the tree cannot be locked.
    pub(crate) fn lock_package(&mut self, package: &PackageId) -> Result<(), Died> {
        if self.locks.contains_key(package) {
            return Ok(());
        }
        let directory = self.tree.version(package);
        let console = &mut self.console;
        let mut waiting = || {
            console.note(format_args!(
                "Waiting for another dkms that works on {package}..."
            ));
        };
        match lock_package(&directory, &mut waiting) {
            Ok(lock) => {
                self.locks.extend(lock.map(|lock| (package.clone(), lock)));
                Ok(())
            }
            Err(error) => Err(self.transaction_failed(1, &error)),
        }
    }

    /// Lets others add packages: this one's directory is there now.
    pub(crate) fn narrow_lock(&mut self, package: &PackageId) {
        let directory = self.tree.version(package);
        if let Some(lock) = self.locks.get_mut(package) {
            // Without it, others wait a little longer.
            let _ = lock.narrow(&directory);
        }
    }

    /// Opens the transaction of a kernel; what an earlier process left is finished first.
    ///
    /// # Errors
    /// Ends with 6 if the kernel cannot be locked, or what was left cannot be finished.
    pub(crate) fn begin(&mut self, target: &Target) -> Result<(), Died> {
        if self
            .transaction
            .as_ref()
            .is_some_and(|(known, _)| known == target)
        {
            return Ok(());
        }
        debug_assert!(self.transaction.is_none(), "one kernel at a time");
        let directory = self.kernel_directory(target);
        if env::var_os(INSIDE).is_some() && is_locked(&directory) {
            return Err(self.console.die(
                6,
                &[&format!(
                    "A package's script that runs while the modules of kernel {} are changed cannot change them too.",
                    target.kernel
                )],
            ));
        }
        self.judge_kernel(target)?;
        let console = &mut self.console;
        let kernel = &target.kernel;
        let mut waiting = || {
            console.note(format_args!(
                "Waiting for another dkms that works on kernel {kernel}..."
            ));
        };
        let transaction = Transaction::begin(&directory, &self.tree.root, &mut waiting)
            .map_err(|error| self.transaction_failed(6, &error))?;
        let left = transaction.recovered();
        self.transaction = Some((target.clone(), transaction));
        if left.needs_depmod() {
            self.console.note(format_args!(
                "Finishing an interrupted change of the modules of kernel {kernel}."
            ));
            if self.depmod(target) == 0 {
                self.finish(target)?;
            }
        }
        Ok(())
    }

    /// Finishes what an earlier process left for a kernel, if it left anything.
    ///
    /// # Errors
    /// Ends as [`Session::begin`].
    pub(crate) fn recover(&mut self, target: &Target) -> Result<(), Died> {
        if Transaction::is_left(&self.kernel_directory(target)) {
            self.begin(target)?;
            self.end_transaction();
        }
        Ok(())
    }

    /// The open transaction.
    pub(crate) fn changes(&mut self) -> &mut Transaction {
        match &mut self.transaction {
            Some((_, transaction)) => transaction,
            None => unreachable!("changes are only made between begin and end"),
        }
    }

    /// Makes the recorded changes, all at once.
    ///
    /// # Errors
    /// Ends with 6; nothing has changed then, or the next call will finish.
    pub(crate) fn commit(&mut self) -> Result<(), Died> {
        let committed = self.changes().commit();
        committed.map_err(|error| {
            self.changes().forget();
            self.transaction_failed(6, &error)
        })
    }

    /// Says that depmod has seen all changes.
    ///
    /// # Errors
    /// Ends with 6 if the journal cannot be removed.
    pub(crate) fn finish(&mut self, target: &Target) -> Result<(), Died> {
        let finished = self.changes().finish();
        finished.map_err(|error| self.transaction_failed(6, &error))?;
        self.remove_bare_kernel(target);
        Ok(())
    }

    /// Lets others have the kernel; what was not committed is forgotten.
    pub(crate) fn end_transaction(&mut self) {
        self.transaction = None;
    }

    /// The end for a change that cannot be made.
    pub(crate) fn transaction_failed(&mut self, status: i32, error: &TransactionError) -> Died {
        let words = chain(error);
        self.console.die(status, &[&words])
    }
}
