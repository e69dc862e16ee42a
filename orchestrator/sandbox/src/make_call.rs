//! kiln in the place of `make`: has a call that asks for jobs of its own take the run's instead.
//!
//! It is bound over the sandbox's make, and so finds what it needs at fixed places: no variable has
//! to reach it, and none is changed but those by which make passes on its options. `make.sh` does
//! the same where kiln itself cannot run. docs/sandbox.md.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs,
    io::{self, Write},
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        process::CommandExt,
    },
    path::Path,
    process::{Command, ExitCode},
};

use kiln_durable::regular;

use super::make_options::{Jobs, Options};

/// Where the sandbox has the real make.
const REAL_MAKE: &str = "/run/kiln/make";

/// Where the sandbox has a [`MakeSettings`].
const SETTINGS: &str = "/run/kiln/make.settings";

/// By which make passes on its options, in the order in which it reads them.
const FLAGS: [&str; 2] = ["GNUMAKEFLAGS", "MAKEFLAGS"];

/// What the program in make's place goes by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MakeSettings {
    /// The options that name the run's jobserver; none where there is none.
    pub jobserver: OsString,
    /// The kernel's build tree: kbuild may always run in parallel.
    pub kernel_dir: OsString,
}

impl MakeSettings {
    /// As they are in their file.
    pub fn to_bytes(&self) -> Vec<u8> {
        [self.jobserver.as_bytes(), self.kernel_dir.as_bytes()].join(&0)
    }

    /// Without the jobserver, if its descriptors were closed on the way to this call.
    fn where_open(self) -> Self {
        let text = self.jobserver.to_string_lossy();
        let mut numbers = text.split(|letter: char| !letter.is_ascii_digit());
        let is_open = numbers
            .all(|number| number.is_empty() || Path::new("/proc/self/fd").join(number).exists());
        let jobserver = if is_open {
            self.jobserver
        } else {
            OsString::new()
        };
        Self { jobserver, ..self }
    }

    fn jobserver(&self) -> impl Iterator<Item = OsString> + use<> {
        Some(self.jobserver.clone())
            .filter(|options| !options.is_empty())
            .into_iter()
    }

    fn of_bytes(bytes: &[u8]) -> Self {
        let mut parts = bytes.splitn(2, |byte| *byte == 0);
        let mut next = || OsString::from_vec(parts.next().unwrap_or_default().to_vec());
        Self {
            jobserver: next(),
            kernel_dir: next(),
        }
    }
}

/// Whether this program stands in a sandbox where make was.
pub fn is_called_as_make() -> bool {
    let is_make =
        |path: &Path| matches!(path.file_name(), Some(name) if name == "make" || name == "gmake");
    env::current_exe().is_ok_and(|path| is_make(&path))
}

/// Becomes the real make.
pub fn make(program: &OsStr, arguments: Vec<OsString>) -> ExitCode {
    let mut command = Command::new(REAL_MAKE);
    // What make calls $(MAKE), and itself in its messages.
    command.arg0(program);
    let settings = MakeSettings::of_bytes(
        &regular::read_at_once(Path::new(SETTINGS), kiln_kernel::sizes::TEXT).unwrap_or_default(),
    );
    let before = FLAGS.map(env::var_os);
    let call = Call {
        arguments,
        flags: before.clone(),
    };
    let call = call.in_jobserver(&settings.where_open());
    command.args(call.arguments);
    for ((name, before), value) in FLAGS.iter().zip(before).zip(call.flags) {
        if let Some(value) = value.filter(|value| before.as_ref() != Some(value)) {
            command.env(name, value);
        }
    }
    let error = command.exec();
    let _ = writeln!(io::stderr(), "{REAL_MAKE}: {error}");
    ExitCode::from(126)
}

/// How make is called.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Call {
    arguments: Vec<OsString>,
    /// The values of [`FLAGS`].
    flags: [Option<OsString>; 2],
}

impl Call {
    /// The call that uses the run's jobserver where this one would have jobs of its own.
    fn in_jobserver(self, settings: &MakeSettings) -> Self {
        let said = Options::of(&self.arguments);
        let words = self.flags.each_ref().map(|flags| words(flags.as_deref()));
        let passed_on = words.each_ref().map(|words| Options::of(words));
        let has_jobserver = passed_on.iter().any(|options| options.has_jobserver);
        let [gnu, usual] = passed_on;
        let jobs = [said.jobs, usual.jobs, gnu.jobs]
            .into_iter()
            .find(|jobs| *jobs != Jobs::Unsaid);
        let is_kbuild = || {
            let is_kernel = |path: &OsString| is_same(path, &settings.kernel_dir);
            said.directories.iter().any(is_kernel)
        };
        match jobs {
            Some(Jobs::One) => self,
            None if !is_kbuild() => self,
            _ if has_jobserver => Self {
                arguments: said.others,
                ..self
            },
            _ => Self {
                arguments: said.others,
                flags: [
                    joined(&self.flags[0], gnu.others),
                    // In front, for what follows `--` is no option.
                    joined(
                        &self.flags[1],
                        settings.jobserver().chain(usual.others).collect(),
                    ),
                ],
            },
        }
    }
}

/// The words of MAKEFLAGS. The first may be single letters that lack their dash.
fn words(flags: Option<&OsStr>) -> Vec<OsString> {
    let bytes = flags.map(OsStr::as_bytes).unwrap_or_default();
    let mut words: Vec<OsString> = Vec::new();
    let mut word = Vec::new();
    let mut is_escaped = false;
    for byte in bytes {
        if byte.is_ascii_whitespace() && !is_escaped {
            if !word.is_empty() {
                words.push(OsString::from_vec(std::mem::take(&mut word)));
            }
        } else {
            word.push(*byte);
        }
        is_escaped = *byte == b'\\' && !is_escaped;
    }
    if !word.is_empty() {
        words.push(OsString::from_vec(word));
    }
    if let Some(first) = words.first_mut()
        && !first.as_bytes().starts_with(b"-")
        && !first.as_bytes().contains(&b'=')
    {
        *first = [OsStr::new("-"), first].join(OsStr::new(""));
    }
    words
}

/// Words as a variable's value; none where there was no variable and is nothing to say.
fn joined(before: &Option<OsString>, words: Vec<OsString>) -> Option<OsString> {
    (before.is_some() || !words.is_empty()).then(|| words.join(OsStr::new(" ")))
}

/// Whether two paths lead to one directory.
fn is_same(one: &OsStr, other: &OsStr) -> bool {
    let real = |path| fs::canonicalize(path).ok();
    real(one).is_some_and(|one| real(other) == Some(one))
}

#[cfg(test)]
mod tests;
