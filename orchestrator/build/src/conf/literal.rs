//! Configuration files that only assign, evaluated without bash.
//!
//! Most dkms.conf files hold nothing but comments and assignments. For these this module gives
//! exactly what bash running `driver.sh` would, some thousand times sooner; for any other file
//! it gives nothing, and bash has to be asked. It never guesses: what is not certain to mean
//! the same in bash is refused. It knows neither directives' meaning nor the file system.

mod pattern;
mod scope;
mod script;

#[cfg(test)]
mod tests;

use self::scope::Scope;
use super::RawConf;

/// Evaluates `files`, in this order, each on top of those before.
///
/// The answer has the values of `names` and their matches, as the driver's has, and no
/// `@` records. `variables` are set before the first file is read; any other that is not one
/// of dkms's directives counts as unknown until it is assigned. `directives` are the user's,
/// `NAME=VALUE` each, and outrank all files.
///
/// Gives nothing if any of it needs bash.
pub fn evaluate_literal(
    files: &[&[u8]],
    names: &[&str],
    variables: &[(&str, &str)],
    directives: &[String],
) -> Option<RawConf> {
    let mut scope = Scope::new(names, variables)?;
    for file in files {
        let text = std::str::from_utf8(file).ok()?;
        let mut inside = scope.clone();
        script::run(text, &mut inside)?;
        script::run(&assignments(&inside, names), &mut scope)?;
    }
    for directive in directives {
        direct(directive, &mut scope)?;
    }
    let mut raw = RawConf::default();
    for name in names {
        for (index, value) in scope.elements(name) {
            raw.record(name, &index.to_string(), value);
            let subject = match *name {
                "MAKE_MATCH" | "PATCH_MATCH" | "BUILD_EXCLUSIVE_KERNEL" => "kernelver",
                "BUILD_EXCLUSIVE_ARCH" => "arch",
                _ => continue,
            };
            if pattern::matches(value, scope.value(subject, 0)?)? {
                raw.record(&format!("=~{name}"), &index.to_string(), "");
            }
        }
    }
    Some(raw)
}

/// What a file set, as the text of assignments that is then evaluated in its turn: the
/// second expansion. Words of a value are joined by single blanks.
fn assignments(inside: &Scope<'_>, names: &[&str]) -> String {
    let mut text = String::new();
    for name in names {
        for (index, value) in inside.elements(name) {
            let value = value.strip_suffix('\r').unwrap_or(value);
            let line = format!("{name}[{index}]=\"{value}\"");
            let words = line
                .split([' ', '\t', '\n'])
                .filter(|word| !word.is_empty());
            for (number, word) in words.enumerate() {
                if number > 0 {
                    text.push(' ');
                }
                text.push_str(word);
            }
            text.push('\n');
        }
    }
    text
}

/// Takes over one directive of the user; bash refuses a name that cannot be one, and goes on.
fn direct(directive: &str, scope: &mut Scope<'_>) -> Option<()> {
    let (name, value) = directive.split_once('=').unwrap_or((directive, directive));
    let length = script::name_length(name.as_bytes());
    if length == 0 || length != name.len() {
        return Some(());
    }
    scope.assign(name, None, value.to_owned())
}
