//! The variables that a configuration file sees and sets.
//!
//! A variable is known if it was given, assigned, or is one that dkms clears before it reads
//! a file. All others may be bash's own or come from an environment: they have no value here,
//! not even an empty one. Names that mean something to bash cannot be assigned either.

use std::collections::BTreeMap;

use super::super::DIRECTIVES;

/// Longer values are left to bash: doubling them line by line would take all memory.
const VALUE_LIMIT: usize = 64 << 10;

/// The beginnings of names that are bash's, dkms's or the driver's own.
const RESERVED_PREFIXES: [&str; 9] = [
    "BASH",
    "COMPREPLY",
    "COMP_",
    "DKMS_DIRECTIVE",
    "EPOCH",
    "HIST",
    "KILN_",
    "LC_",
    "kiln_",
];

/// Variables that bash sets, forbids to set, or heeds.
const RESERVED: [&str; 57] = [
    "CDPATH",
    "CHILD_MAX",
    "COLUMNS",
    "COPROC",
    "DIRSTACK",
    "EMACS",
    "ENV",
    "EUID",
    "EXECIGNORE",
    "FCEDIT",
    "FIGNORE",
    "FUNCNAME",
    "FUNCNEST",
    "GLOBIGNORE",
    "GLOBSORT",
    "GROUPS",
    "HOME",
    "HOSTFILE",
    "HOSTNAME",
    "HOSTTYPE",
    "IFS",
    "IGNOREEOF",
    "INPUTRC",
    "INSIDE_EMACS",
    "LANG",
    "LANGUAGE",
    "LINENO",
    "LINES",
    "MACHTYPE",
    "MAIL",
    "MAILCHECK",
    "MAILPATH",
    "MAPFILE",
    "OLDPWD",
    "OPTARG",
    "OPTERR",
    "OPTIND",
    "OSTYPE",
    "PATH",
    "PIPESTATUS",
    "POSIXLY_CORRECT",
    "PPID",
    "PWD",
    "RANDOM",
    "REPLY",
    "SECONDS",
    "SHELL",
    "SHELLOPTS",
    "SHLVL",
    "SRANDOM",
    "TERM",
    "TMOUT",
    "TMPDIR",
    "UID",
    "_",
    "auto_resume",
    "histchars",
];

/// What a variable holds.
#[derive(Debug, Clone)]
enum Variable {
    Scalar(String),
    Array(BTreeMap<usize, String>),
}

/// All variables.
#[derive(Debug, Clone)]
pub(super) struct Scope<'a> {
    variables: BTreeMap<String, Variable>,
    /// Names that are known to be unset where nothing sets them, besides dkms's directives.
    cleared: &'a [&'a str],
}

impl<'a> Scope<'a> {
    /// The scope before the first file; none if a value cannot be handled.
    pub(super) fn new(names: &'a [&'a str], variables: &[(&str, &str)]) -> Option<Self> {
        let mut scope = Self {
            variables: BTreeMap::new(),
            cleared: names,
        };
        for (name, value) in variables {
            scope.assign(name, None, (*value).to_owned())?;
        }
        Some(scope)
    }

    /// An element's value, where a plain name is element 0; empty if the variable is known
    /// not to have it.
    pub(super) fn value(&self, name: &str, index: usize) -> Option<&str> {
        match self.variables.get(name) {
            Some(Variable::Scalar(value)) if index == 0 => Some(value),
            Some(Variable::Scalar(_)) => Some(""),
            Some(Variable::Array(elements)) => {
                Some(elements.get(&index).map_or("", String::as_str))
            }
            None => (self.cleared.contains(&name) || DIRECTIVES.contains(&name))
                .then_some("")
                .filter(|_| !is_reserved(name)),
        }
    }

    /// The elements that a variable has, in order.
    pub(super) fn elements(&self, name: &str) -> impl Iterator<Item = (usize, &str)> {
        let (scalar, array) = match self.variables.get(name) {
            Some(Variable::Scalar(value)) => (Some((0, value.as_str())), None),
            Some(Variable::Array(elements)) => (None, Some(elements)),
            None => (None, None),
        };
        let elements = array.into_iter().flatten();
        scalar
            .into_iter()
            .chain(elements.map(|(index, value)| (*index, value.as_str())))
    }

    /// Assigns a variable, or an element of one that is known; fails where bash has to do it.
    pub(super) fn assign(&mut self, name: &str, index: Option<usize>, value: String) -> Option<()> {
        check(name, &value)?;
        if index.is_some() {
            self.value(name, 0)?;
        }
        match (self.variables.get_mut(name), index) {
            (Some(Variable::Scalar(old)), None) => *old = value,
            (Some(variable), index) => {
                elements_of(variable).insert(index.unwrap_or(0), value);
            }
            (None, index) => {
                let variable = match index {
                    None => Variable::Scalar(value),
                    Some(index) => Variable::Array(BTreeMap::from([(index, value)])),
                };
                self.variables.insert(name.to_owned(), variable);
            }
        }
        Some(())
    }

    /// Assigns a whole array, or adds to its end.
    pub(super) fn assign_array(
        &mut self,
        name: &str,
        values: Vec<String>,
        append: bool,
    ) -> Option<()> {
        for value in &values {
            check(name, value)?;
        }
        check(name, "")?;
        if append {
            self.value(name, 0)?;
        }
        let old = self.variables.entry(name.to_owned());
        let elements = elements_of(old.or_insert_with(|| Variable::Array(BTreeMap::new())));
        if !append {
            elements.clear();
        }
        let start = elements.last_key_value().map_or(0, |(last, _)| last + 1);
        elements.extend((start..).zip(values));
        Some(())
    }
}

/// Makes an array of a scalar.
fn elements_of(variable: &mut Variable) -> &mut BTreeMap<usize, String> {
    if let Variable::Scalar(value) = variable {
        *variable = Variable::Array(BTreeMap::from([(0, std::mem::take(value))]));
    }
    match variable {
        Variable::Array(elements) => elements,
        Variable::Scalar(_) => unreachable!("a scalar was just made an array"),
    }
}

fn check(name: &str, value: &str) -> Option<()> {
    (!is_reserved(name) && value.len() <= VALUE_LIMIT && is_plain(value)).then_some(())
}

fn is_reserved(name: &str) -> bool {
    RESERVED_PREFIXES
        .iter()
        .any(|start| name.starts_with(start))
        || RESERVED.binary_search(&name).is_ok()
}

/// Whether bash takes every character of a text as it is; it uses control characters to mark
/// what is quoted.
pub(super) fn is_plain(text: &str) -> bool {
    text.bytes()
        .all(|b| !b.is_ascii_control() || matches!(b, b'\t' | b'\n' | b'\r'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_names_are_sorted_for_the_search() {
        assert!(RESERVED.is_sorted());
        assert!(is_reserved("_") && is_reserved("UID") && is_reserved("LC_ALL"));
        assert!(!is_reserved("MAKE") && !is_reserved("arch"));
    }
}
