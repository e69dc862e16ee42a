//! What a file of settings says: its TOML, with every key checked against the catalog. What
//! the values mean is not known here.

use std::collections::BTreeMap;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    catalog::{Exposure, InFiles, SETTINGS, Setting},
    error::Problem,
    file::{FileState, SettingsFile},
    origin::Position,
};

/// The settings of a file, as they are written there.
pub(super) struct Document<'f> {
    pub(super) file: &'f SettingsFile,
    values: BTreeMap<&'static str, Spanned<DeValue<'f>>>,
}

impl<'f> Document<'f> {
    /// Reads what is in a file, for `user`; what is wrong with it is added to `problems`.
    pub(super) fn parse(file: &'f SettingsFile, user: u32, problems: &mut Vec<Problem>) -> Self {
        let mut document = Self {
            file,
            values: BTreeMap::new(),
        };
        if file.state != FileState::Read {
            return document;
        }
        let tables = match DeTable::parse(&file.text) {
            Ok(tables) => tables.into_inner(),
            Err(error) => {
                problems.push(Problem::Syntax {
                    at: file.position(error.span().map_or(0, |span| span.start)),
                    message: error.message().to_owned(),
                });
                return document;
            }
        };
        for (name, value) in tables {
            let at = file.position(name.span().start);
            let name = name.into_inner();
            let Some(table) = SETTINGS.iter().map(|s| s.table()).find(|t| *t == name) else {
                problems.push(unknown_table(at, &name, value.get_ref()));
                continue;
            };
            match value.into_inner() {
                DeValue::Table(keys) => document.take_table(table, keys, problems),
                _ => problems.push(Problem::NotATable { at, name: table }),
            }
        }
        document.drop_what_others_wrote(user, problems);
        document
    }

    fn take_table(&mut self, table: &'static str, keys: DeTable<'f>, problems: &mut Vec<Problem>) {
        for (name, value) in keys {
            let at = self.file.position(name.span().start);
            let key = format!("{table}.{}", name.get_ref());
            match SETTINGS.iter().find(|setting| setting.key == key) {
                None => problems.push(unknown_key(at, key, table)),
                Some(setting) if setting.in_files == InFiles::No => {
                    problems.push(Problem::NotInFiles {
                        at,
                        key: setting.key,
                    });
                }
                Some(setting) => {
                    self.values.insert(setting.key, value);
                }
            }
        }
    }

    /// Takes away what only a file that nobody else may write to can say.
    fn drop_what_others_wrote(&mut self, user: u32, problems: &mut Vec<Problem>) {
        let guarded = |key: &str| {
            SETTINGS
                .iter()
                .any(|setting| setting.key == key && setting.exposure != Exposure::Open)
        };
        let first = self
            .values
            .iter()
            .filter(|(key, _)| guarded(key))
            .map(|(key, value)| (value.span().start, *key))
            .min();
        let Some((offset, key)) = first else { return };
        if let Err(suspicion) = self.file.inspect(user) {
            problems.push(Problem::Untrusted {
                at: self.file.position(offset),
                key,
                suspicion,
            });
            self.values.retain(|key, _| !guarded(key));
        }
    }

    /// What the file says about a setting.
    pub(super) fn value(&self, setting: &Setting) -> Option<&Spanned<DeValue<'f>>> {
        self.values.get(setting.key)
    }
}

fn unknown_table(at: Position, name: &str, value: &DeValue<'_>) -> Problem {
    let mut tables: Vec<&'static str> = SETTINGS.iter().map(|setting| setting.table()).collect();
    tables.dedup();
    let nearest = if value.is_table() {
        nearest(name, tables.iter().copied()).map(|table| format!("[{table}]"))
    } else {
        // A key that was written before any table.
        let named = |setting: &&&Setting| setting.name() == name;
        SETTINGS
            .iter()
            .find(named)
            .map(|setting| format!("{} below a line [{}]", setting.name(), setting.table()))
    };
    Problem::UnknownTable {
        at,
        name: name.to_owned(),
        nearest,
        tables: list(&tables),
    }
}

fn unknown_key(at: Position, key: String, table: &'static str) -> Problem {
    let keys: Vec<&'static str> = SETTINGS
        .iter()
        .filter(|setting| setting.table() == table && setting.in_files == InFiles::Yes)
        .map(|setting| setting.name())
        .collect();
    let name = key.split_once('.').map_or(key.as_str(), |(_, name)| name);
    let elsewhere = SETTINGS.iter().find(|setting| setting.name() == name);
    let near = nearest(name, keys.iter().copied())
        .map(str::to_owned)
        .or_else(|| elsewhere.map(|setting| format!("{} in [{}]", name, setting.table())));
    Problem::UnknownKey {
        at,
        nearest: near,
        key,
        table,
        keys: list(&keys),
    }
}

/// What is most like a word, if anything is.
fn nearest<'a>(word: &str, among: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    among
        .map(|name| (strsim::jaro_winkler(word, name), name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}

fn list(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::origin::Layer;

    /// The problems of a file, without its path.
    fn problems(text: impl AsRef<[u8]>) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("c");
        fs::write(&path, text).unwrap();
        let mut problems = Vec::new();
        let file = SettingsFile::load(&path, Layer::System, &mut problems);
        let user = rustix::process::geteuid().as_raw();
        Document::parse(&file, user, &mut problems);
        let prefix = format!("{}:", path.display());
        problems
            .iter()
            .map(|problem| problem.to_string().replace(&prefix, ""))
            .collect()
    }

    #[test]
    fn keys_that_are_not_known_are_named_with_what_is() {
        assert_eq!(problems("[build]\njobs = 3\n"), [""; 0]);
        assert_eq!(
            problems("[build]\njobs = 3\n  jbos = 3\n"),
            ["3:3: there is no setting build.jbos, did you mean jobs?; \
                 [build] has jobs, timeout, conf_timeout and color"]
        );
        assert_eq!(
            problems("[signing]\nca = 'x'\n"),
            [
                "2:1: there is no setting signing.ca, did you mean ca in [remote]?; \
                 [signing] has key and trust"
            ]
        );
        let tables = "the tables are cache, build, limits, remote_cache, remote_exec, remote, signing and dkms";
        assert_eq!(
            problems("[remote-cache]\nurl = 'grpc://x'\n"),
            [format!(
                "1:2: there is no table [remote-cache], did you mean [remote_cache]?; {tables}"
            )]
        );
        assert_eq!(
            problems("jobs = 3\n"),
            [format!(
                "1:1: there is no table [jobs], did you mean jobs below a line [build]?; {tables}"
            )]
        );
        assert_eq!(
            problems("build = 3\n"),
            ["1:1: build is a table: write its keys below a line [build]"]
        );
    }

    #[test]
    fn a_token_is_not_taken_from_a_file() {
        let told = problems("[remote]\ntoken = 's3cret'\n");
        assert_eq!(
            told,
            ["2:1: remote.token is a secret and is not taken from a file of settings"]
        );
    }

    #[test]
    fn what_is_not_toml_has_a_place() {
        let told = problems("[build]\njobs = \n");
        assert!(told.len() == 1 && told[0].starts_with("2:8: "), "{told:?}");
        let told = problems("[build]\njobs = 1\njobs = 2\n");
        assert!(told.len() == 1 && told[0].starts_with("3:1: "), "{told:?}");
        assert_eq!(problems(b"# \xc3\xa4\n# \xff\n"), ["2:3: not UTF-8"]);
        let large = problems(vec![b'#'; 2 << 20]);
        assert!(large[0].contains("is larger than 1048576 bytes"));
    }
}
