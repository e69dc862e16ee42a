//! What bash made of a dkms.conf: directives by name and index, before any meaning.

use std::collections::BTreeMap;

use kiln_kernel::package::PackageId;
use serde::{Deserialize, Serialize};

/// Directives that a dkms.conf may set (dkms.8, "DKMS.CONF").
///
/// The driver script dumps these and no other variable.
pub const DIRECTIVES: &[&str] = &[
    "PACKAGE_NAME",
    "PACKAGE_VERSION",
    "POST_ADD",
    "POST_BUILD",
    "POST_INSTALL",
    "POST_REMOVE",
    "PRE_BUILD",
    "PRE_INSTALL",
    "BUILD_DEPENDS",
    "BUILD_EXCLUSIVE_ARCH",
    "BUILD_EXCLUSIVE_CONFIG",
    "BUILD_EXCLUSIVE_KERNEL",
    "BUILD_EXCLUSIVE_KERNEL_MIN",
    "BUILD_EXCLUSIVE_KERNEL_MAX",
    "MAKE",
    "MAKE_MATCH",
    "PATCH",
    "PATCH_MATCH",
    "BUILT_MODULE_NAME",
    "BUILT_MODULE_LOCATION",
    "DEST_MODULE_NAME",
    "DEST_MODULE_LOCATION",
    "STRIP",
    "AUTOINSTALL",
    "NO_WEAK_MODULES",
    "BUILD_DEPENDS_REBUILD",
    // From here on, those of GIVEN_UP.
    "CLEAN",
    "REMAKE_INITRD",
    "MODULES_CONF",
    "MODULES_CONF_OBSOLETES",
    "MODULES_CONF_ALIAS_TYPE",
    "MODULES_CONF_OBSOLETE_ONLY",
    "OBSOLETE_BY",
];

/// Directives that dkms has given up, in the order in which it complains of them.
pub(super) const GIVEN_UP: &[&str] = DIRECTIVES.split_at(DIRECTIVES.len() - 7).1;

/// Variables of framework.conf that bear on a build (dkms.8, "FRAMEWORK.CONF").
pub const FRAMEWORK_VARIABLES: &[&str] = &[
    "source_tree",
    "dkms_tree",
    "install_tree",
    "build_environment",
];

/// Why a dump cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DumpError {
    /// The evaluation stopped before its end: the conf made bash exit or fail.
    #[error("bash ended before the configuration was read to its end")]
    Unfinished,
    /// It sets more than any configuration does.
    #[error("it sets more than {} MiB", super::evaluate::DUMP_LIMIT >> 20)]
    TooLarge,
    /// A directive's value is not text.
    #[error("{directive} is not valid UTF-8")]
    NotUtf8 {
        /// The directive.
        directive: String,
    },
}

/// The parsed dump.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawConf {
    values: BTreeMap<String, BTreeMap<String, String>>,
}

impl RawConf {
    /// Parses what the driver script wrote.
    ///
    /// # Errors
    /// Fails if the dump is cut off or holds a value that is not UTF-8.
    pub fn parse(dump: &[u8]) -> Result<Self, DumpError> {
        let mut raw = Self::default();
        let mut fields = dump.split(|b| *b == 0);
        while let (Some(name), Some(index), Some(value)) =
            (fields.next(), fields.next(), fields.next())
        {
            let name = String::from_utf8_lossy(name).into_owned();
            let text = |bytes: &[u8]| {
                String::from_utf8(bytes.to_vec()).map_err(|_| DumpError::NotUtf8 {
                    directive: name.clone(),
                })
            };
            let (index, value) = (text(index)?, text(value)?);
            raw.values.entry(name).or_default().insert(index, value);
        }
        if raw.values.contains_key("@done") {
            Ok(raw)
        } else {
            Err(DumpError::Unfinished)
        }
    }

    /// Adds one record to those that are there.
    pub(super) fn record(&mut self, name: &str, index: &str, value: &str) {
        let elements = self.values.entry(name.to_owned()).or_default();
        elements.insert(index.to_owned(), value.to_owned());
    }

    /// Notes the name that the package had while the file was read.
    pub(crate) fn set_module(&mut self, package: &PackageId) {
        self.record("@module", "0", package.name.as_str());
        self.record("@module", "1", package.version.as_str());
    }

    /// A directive that is not an array, or element 0 of one; empty counts as unset.
    pub fn scalar(&self, name: &str) -> Option<&str> {
        self.element(name, 0)
    }

    /// Element 0 of a directive, empty or not, if it is set at all.
    pub fn stated(&self, name: &str) -> Option<&str> {
        self.values.get(name)?.get("0").map(String::as_str)
    }

    /// One element of a directive; empty counts as unset.
    pub fn element(&self, name: &str, index: usize) -> Option<&str> {
        self.values
            .get(name)?
            .get(&index.to_string())
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// Whether the regular expression in this element matched its subject.
    pub fn matched(&self, name: &str, index: usize) -> bool {
        self.values
            .get(&format!("=~{name}"))
            .is_some_and(|keys| keys.contains_key(&index.to_string()))
    }

    /// The indices at which an array is set, in order; arrays may be sparse.
    pub fn indices(&self, name: &str) -> Vec<usize> {
        let mut indices: Vec<usize> = self
            .values
            .get(name)
            .into_iter()
            .flat_map(|elements| elements.keys())
            .filter_map(|key| key.parse().ok())
            .collect();
        indices.sort_unstable();
        indices
    }

    /// All key and value pairs recorded under `name`.
    pub fn pairs(&self, name: &str) -> impl Iterator<Item = (&str, &str)> {
        self.values
            .get(name)
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }
}
