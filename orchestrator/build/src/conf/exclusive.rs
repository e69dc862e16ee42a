//! BUILD_EXCLUSIVE_*: which modules of a package are built for a kernel.
//!
//! Element 0 of each array is also the global rule, because bash reads an array without
//! an index as its element 0; dkms checks it for every module.

use std::cmp::Ordering;

use kiln_kernel::{KernelConfig, KernelRelease, version::compare_padded};
use serde::{Deserialize, Serialize};

use super::RawConf;

/// The rule that keeps a module from being built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exclusion {
    /// The directive, with its index where that is not 0.
    pub directive: String,
    /// Its value.
    pub value: String,
}

/// Judges every module of a package against one kernel.
pub(super) struct ExclusiveRules<'a> {
    raw: &'a RawConf,
    kernel: &'a str,
    config: &'a KernelConfig,
    /// OBSOLETE_BY, where it stands in for a missing BUILD_EXCLUSIVE_KERNEL_MAX.
    obsolete_by: Option<&'a str>,
}

impl<'a> ExclusiveRules<'a> {
    /// The rules for so many modules.
    pub(super) fn new(
        raw: &'a RawConf,
        kernel: &'a KernelRelease,
        config: &'a KernelConfig,
        modules: usize,
    ) -> Self {
        let stated =
            (0..modules.max(1)).any(|i| raw.element("BUILD_EXCLUSIVE_KERNEL_MAX", i).is_some());
        Self {
            raw,
            kernel: kernel.as_str(),
            config,
            obsolete_by: raw.scalar("OBSOLETE_BY").filter(|_| !stated),
        }
    }

    /// The first rule that excludes module `index`: the global ones, then its own.
    pub(super) fn exclusion(&self, index: usize) -> Option<Exclusion> {
        let elements: &[usize] = if index == 0 { &[0] } else { &[0, index] };
        elements.iter().find_map(|&element| self.violated(element))
    }

    /// Whether any rule is stated that bears on module `index`.
    pub(super) fn is_stated(&self, index: usize) -> bool {
        self.obsolete_by.is_some()
            || [
                "BUILD_EXCLUSIVE_KERNEL",
                "BUILD_EXCLUSIVE_KERNEL_MIN",
                "BUILD_EXCLUSIVE_KERNEL_MAX",
                "BUILD_EXCLUSIVE_ARCH",
                "BUILD_EXCLUSIVE_CONFIG",
            ]
            .iter()
            .any(|name| self.raw.scalar(name).is_some() || self.raw.element(name, index).is_some())
    }

    fn violated(&self, element: usize) -> Option<Exclusion> {
        let rule = |name: &str, value: &str| Exclusion {
            directive: if element == 0 {
                name.to_owned()
            } else {
                format!("{name}[{element}]")
            },
            value: value.to_owned(),
        };
        for name in ["BUILD_EXCLUSIVE_KERNEL", "BUILD_EXCLUSIVE_ARCH"] {
            if let Some(value) = self.raw.element(name, element)
                && !self.raw.matched(name, element)
            {
                return Some(rule(name, value));
            }
        }
        if let Some(min) = self.raw.element("BUILD_EXCLUSIVE_KERNEL_MIN", element)
            && compare_padded(self.kernel, min) == Ordering::Less
        {
            return Some(rule("BUILD_EXCLUSIVE_KERNEL_MIN", min));
        }
        let stated_max = self.raw.element("BUILD_EXCLUSIVE_KERNEL_MAX", element);
        let obsolete = self.obsolete_by.filter(|_| element == 0);
        if let Some(max) = stated_max.or(obsolete)
            && compare_padded(self.kernel, max) == Ordering::Greater
        {
            let name = if stated_max.is_some() {
                "BUILD_EXCLUSIVE_KERNEL_MAX"
            } else {
                "OBSOLETE_BY"
            };
            return Some(rule(name, max));
        }
        let symbols = self.raw.element("BUILD_EXCLUSIVE_CONFIG", element)?;
        symbols
            .split_whitespace()
            .find(|word| match word.strip_prefix('!') {
                Some(symbol) => self.config.is_enabled(symbol),
                None => !self.config.is_enabled(word),
            })
            .map(|word| rule("BUILD_EXCLUSIVE_CONFIG", word))
    }
}
