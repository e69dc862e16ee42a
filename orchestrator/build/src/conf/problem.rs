//! What can be wrong with a dkms.conf that bash could read.
//!
//! The wording of the first group is part of dkms's interface.

use serde::{Deserialize, Serialize};

/// One defect; a conf with any of them is not built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum ConfProblem {
    /// A directive that every conf must have is missing.
    #[error("No '{directive}' directive specified.")]
    Missing {
        /// The directive.
        directive: String,
    },
    /// A module lacks a directive.
    #[error("No '{directive}' directive specified for record #{index}.")]
    MissingFor {
        /// The directive.
        directive: String,
        /// The module's index.
        index: usize,
    },
    /// More modules are listed than any package has.
    #[error(
        "Record #{index} is beyond the {} modules that a dkms.conf may list.",
        super::modules::MOST_MODULES
    )]
    TooMany {
        /// The last module's index.
        index: usize,
    },
    /// A module's name has a file ending.
    #[error("'{directive}' directive ends in '.o' or '.ko' in record #{index}.")]
    Suffix {
        /// The directive.
        directive: String,
        /// The module's index.
        index: usize,
    },
    /// A module would be installed outside the places for modules.
    #[error(
        "Directive 'DEST_MODULE_LOCATION' does not begin with '/kernel', '/updates', or '/extra' in record #{index}."
    )]
    Destination {
        /// The module's index.
        index: usize,
    },
    /// A yes-or-no directive has another value.
    #[error("Unsupported {directive} value '{value}'")]
    YesNo {
        /// The directive.
        directive: String,
        /// Its value.
        value: String,
    },
    /// Two modules have one name.
    #[error("Duplicate module '{module}' in '{directive}[{index}]'.")]
    Duplicate {
        /// The module.
        module: String,
        /// The directive.
        directive: String,
        /// The second module's index.
        index: usize,
    },
    /// A name cannot be a path component.
    #[error("{0}")]
    Name(String),
    /// A path leaves the directory that it is in.
    #[error("{directive}[{index}]={value:?} leaves {}", folder_of(directive))]
    Escapes {
        /// The directive.
        directive: String,
        /// Its index.
        index: usize,
        /// Its value.
        value: String,
    },
    /// A part of a path is none that a module or its directory can have.
    #[error("{directive}[{index}]={value:?} has a name that {reason}")]
    Part {
        /// The directive.
        directive: String,
        /// Its index.
        index: usize,
        /// Its value.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// The directory that what a directive names is in.
fn folder_of(directive: &str) -> &'static str {
    match directive {
        "DEST_MODULE_LOCATION" => "the kernel's directory of modules",
        "DEST_MODULE_NAME" => "the directory of the package's built modules",
        _ => "the package's directory",
    }
}
