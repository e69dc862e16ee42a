//! The configuration of a run: which files there are, what all layers together say, and what
//! is wrong with them.

use std::{
    io,
    path::{Path, PathBuf},
};

use kiln_files::{Guard, Secrecy, Suspicion};

use super::{
    catalog::{CACHE_DIR, DKMS_STRICT, Setting},
    document::Document,
    environment::Environment,
    error::{ConfigError, Problem},
    file::SettingsFile,
    flags::Flags,
    layers::{Entry, Layers},
    origin::{Layer, Origin},
    settings::Settings,
};

/// The machine's file of settings.
const SYSTEM_FILE: &str = "/etc/kiln/config.toml";

/// The settings of a run, and how they came about.
#[derive(Debug)]
pub struct Configuration {
    settings: Settings,
    /// The files, the weakest first.
    pub files: Vec<SettingsFile>,
    /// Every setting, in the order of the catalog.
    pub entries: Vec<Entry>,
    /// What is wrong, the weakest layer first. Values that are wrong do not count.
    pub problems: Vec<Problem>,
}

impl Configuration {
    /// What holds for a command that a user runs: the machine's file, the user's, the
    /// environment, the flags.
    pub fn of_user(flags: &Flags) -> Self {
        let environment = Environment::of_process();
        let mut files = vec![(Layer::System, PathBuf::from(SYSTEM_FILE))];
        files.extend(environment.user_file().map(|path| (Layer::User, path)));
        Self::read(&files, &environment, flags)
    }

    /// What holds for a command that works on the machine for all: no user's file counts, for
    /// it must not matter who installs a kernel.
    pub fn of_machine() -> Self {
        let files = [(Layer::System, PathBuf::from(SYSTEM_FILE))];
        Self::read(&files, &Environment::of_process(), &Flags::default())
    }

    /// What one file says, wherever it is.
    pub fn of_file(path: &Path) -> Self {
        let files = [(Layer::User, path.to_owned())];
        let environment = Environment::of_process().without_settings();
        Self::read(&files, &environment, &Flags::default())
    }

    fn read(files: &[(Layer, PathBuf)], environment: &Environment, flags: &Flags) -> Self {
        let mut problems = Vec::new();
        let files: Vec<SettingsFile> = files
            .iter()
            .map(|(layer, path)| SettingsFile::load(path, *layer, &mut problems))
            .collect();
        let documents = files
            .iter()
            .map(|file| Document::parse(file, environment.user, &mut problems))
            .collect();
        let mut layers = Layers::new(documents, environment, problems);
        let mut settings = Settings::read(&mut layers, flags);
        let (entries, mut problems) = (layers.entries, layers.problems);
        problems.sort_by_key(Problem::place);
        if !is_said_now(&DKMS_STRICT, &entries) {
            let hidden = problems
                .iter()
                .find(|problem| problem.may_hide(&DKMS_STRICT));
            let hidden = hidden.map(ToString::to_string);
            let changed = files
                .iter()
                .find_map(|file| file.inspect(environment.user).err());
            let doubt = hidden.or(changed.map(|suspicion| suspicion.to_string()));
            doubt
                .into_iter()
                .for_each(|reason| settings.doubt_laxity(reason));
        }
        Self {
            settings,
            files,
            entries,
            problems,
        }
    }

    /// What is not wrong of the settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The settings, if nothing is wrong.
    ///
    /// # Errors
    /// Fails with all problems if there is one.
    pub fn into_settings(self) -> Result<Settings, ConfigError> {
        if self.problems.is_empty() {
            return Ok(self.settings);
        }
        Err(ConfigError {
            problems: self.problems,
        })
    }

    /// The settings for one who must go on. If anything is wrong they are without all that
    /// talks to servers or trusts keys: half of that may be worse than none.
    pub fn into_cautious_settings(self) -> (Settings, Vec<Problem>) {
        if self.problems.is_empty() {
            return (self.settings, Vec::new());
        }
        (self.settings.alone(), self.problems)
    }

    /// Complains about files that settings name and that cannot be read, or are not believed.
    pub fn check_named_files(&mut self) {
        let settings = &self.settings;
        let mut named: Vec<(&'static str, &Path, Secrecy)> = Vec::new();
        named.extend(settings.remote.named_files());
        named.extend(settings.signing.named_files());
        let guard = Guard::of_process();
        let mut wrong: Vec<(&'static str, &Path, Suspicion)> = Vec::new();
        for (key, path, secrecy) in named {
            if let Err(source) = guard.read(path, secrecy) {
                wrong.push((key, path, source));
            }
        }
        if let Some(path) = &settings.cache.directory
            && let Err(source) = may_be_directory(path)
        {
            let path = path.as_path();
            let source = Suspicion::Unknown {
                path: path.to_owned(),
                source,
            };
            wrong.push((CACHE_DIR.key, path, source));
        }
        for (key, path, source) in wrong {
            let entry = self.entries.iter().find(|entry| entry.setting.key == key);
            let origin = entry.and_then(|entry| entry.origin.clone());
            self.problems.push(Problem::Named {
                origin: origin.unwrap_or(Origin::Default),
                key,
                path: path.to_owned(),
                source,
            });
        }
    }
}

/// Whether a directory is there, or one can be made.
fn may_be_directory(path: &Path) -> io::Result<()> {
    match path.metadata() {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(io::ErrorKind::NotADirectory.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether a setting has its value from who runs this, whatever files say.
fn is_said_now(setting: &Setting, entries: &[Entry]) -> bool {
    let same = |entry: &&Entry| entry.setting.key == setting.key;
    let origin = entries
        .iter()
        .find(same)
        .and_then(|entry| entry.origin.as_ref());
    origin.is_some_and(|origin| origin.layer() > Layer::User)
}

#[cfg(test)]
mod tests;
