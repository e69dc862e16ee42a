//! The layers on top of each other: for each setting the value that wins, and where all the
//! others are.

use super::{
    catalog::Setting,
    document::Document,
    environment::Environment,
    error::Problem,
    origin::Origin,
    value::{Base, Value},
};

/// A setting, its value and where that comes from.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The setting.
    pub setting: &'static Setting,
    /// Its value as TOML; none if it is not set, or is never shown.
    pub value: Option<toml::Value>,
    /// Where the value comes from; none if it is not set.
    pub origin: Option<Origin>,
    /// Where values come from that this one takes the place of, the strongest first.
    pub overrides: Vec<Origin>,
    /// The setting because of which this one does not count.
    pub gives_way_to: Option<&'static str>,
}

/// All layers, while they are made one.
pub(super) struct Layers<'a> {
    /// The weakest first.
    documents: Vec<Document<'a>>,
    pub(super) environment: &'a Environment,
    pub(super) entries: Vec<Entry>,
    pub(super) problems: Vec<Problem>,
}

impl<'a> Layers<'a> {
    pub(super) fn new(
        documents: Vec<Document<'a>>,
        environment: &'a Environment,
        problems: Vec<Problem>,
    ) -> Self {
        Self {
            documents,
            environment,
            entries: Vec::new(),
            problems,
        }
    }

    /// The value of a setting, which has none if nothing is said.
    pub(super) fn take<T: Value>(
        &mut self,
        setting: &'static Setting,
        flag: Option<T>,
    ) -> Option<T> {
        let mut found = self.in_files(setting);
        found.extend(self.in_environment(setting));
        if let (Some(value), Some(name)) = (flag, setting.flag) {
            found.push((Origin::Flag(name), value));
        }
        let winner = found.pop();
        self.entries.push(Entry {
            setting,
            value: winner.as_ref().and_then(|(_, value)| value.shown()),
            origin: winner.as_ref().map(|(origin, _)| origin.clone()),
            overrides: found.into_iter().rev().map(|(origin, _)| origin).collect(),
            gives_way_to: None,
        });
        winner.map(|(_, value)| value)
    }

    /// The value of a setting that always has one.
    pub(super) fn take_or<T: Value>(
        &mut self,
        setting: &'static Setting,
        flag: Option<T>,
        default: T,
    ) -> T {
        self.take(setting, flag).unwrap_or_else(|| {
            self.note_default(setting, &default);
            default
        })
    }

    /// Notes what holds as nothing is said.
    pub(super) fn note_default<T: Value>(&mut self, setting: &Setting, default: &T) {
        if let Some(entry) = self.entry(setting) {
            entry.value = default.shown();
            entry.origin = Some(Origin::Default);
        }
    }

    /// Where the value of a setting comes from, if it has one.
    pub(super) fn origin(&self, setting: &Setting) -> Option<&Origin> {
        let same = |entry: &&Entry| entry.setting.key == setting.key;
        self.entries.iter().find(same)?.origin.as_ref()
    }

    /// The entry of a setting that was taken.
    pub(super) fn entry(&mut self, setting: &Setting) -> Option<&mut Entry> {
        self.entries
            .iter_mut()
            .find(|entry| entry.setting.key == setting.key)
    }

    fn in_files<T: Value>(&mut self, setting: &'static Setting) -> Vec<(Origin, T)> {
        let mut found = Vec::new();
        for document in &self.documents {
            let Some(written) = document.value(setting) else {
                continue;
            };
            let base = Base {
                directory: document.file.directory(),
                home: self.environment.home(),
            };
            let at = |offset| Origin::File(document.file.position(offset));
            match T::from_toml(written.get_ref(), base) {
                Ok(value) => found.push((at(written.span().start), value)),
                Err(located) => self.problems.push(Problem::Value {
                    origin: at(located.span.unwrap_or_else(|| written.span()).start),
                    key: setting.key,
                    misfit: located.misfit,
                }),
            }
        }
        found
    }

    fn in_environment<T: Value>(&mut self, setting: &'static Setting) -> Option<(Origin, T)> {
        let (name, text) = self.environment.says(setting)?;
        let origin = Origin::Variable(name);
        match T::from_variable(text) {
            Ok(value) => Some((origin, value)),
            Err(misfit) => {
                self.problems.push(Problem::Value {
                    origin,
                    key: setting.key,
                    misfit,
                });
                None
            }
        }
    }
}
