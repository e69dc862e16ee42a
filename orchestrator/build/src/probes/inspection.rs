//! Judges the answers that are kept: asks the compiler again, and finds the records of jobs that were told otherwise.
//!
//! Only the compilers that this machine has can be asked. Other toolboxes' answers stay as they are: nobody is
//! given them here.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use kiln_cache::{ActionKey, ActionKind, ObjectDigest, StoreError};
use kiln_durable::regular;
use kiln_kernel::sizes;
use rayon::prelude::*;

use super::{
    Answer, Request,
    answers::{keep, stored},
    compile::ask,
    consulted::NOTE,
};
use crate::plan::{BuildSite, PROGRAMS};

/// What to do about wrong answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Nothing.
    None,
    /// Forget them, and the outcomes of the jobs that were given them.
    Forget,
}

/// What the compilers of this machine say to the answers that are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inspection {
    /// How many answers were judged.
    pub judged: usize,
    /// The command lines of those that the compiler does not give.
    pub wrong: Vec<String>,
    /// Records of jobs that were given other answers than the compiler's.
    pub misled: Vec<ActionKey>,
    /// How many records name answers that nobody can judge any more.
    pub unknown: usize,
}

impl Inspection {
    /// Whether nothing was wrong.
    pub fn is_clean(&self) -> bool {
        self.wrong.is_empty() && self.misled.is_empty()
    }
}

/// Asks the compilers about all answers that records name and the index keeps.
///
/// # Errors
/// Fails if the store cannot be read or, for a remedy, written.
pub fn inspect(site: &BuildSite, remedy: Remedy) -> Result<Inspection, StoreError> {
    let mut found = Inspection::default();
    for (toolbox, records) in told(site)? {
        let kept = match site.index() {
            Some(index) if is_here(site, toolbox)? => stored(toolbox, &index),
            _ => {
                found.unknown += records.len();
                continue;
            }
        };
        let asked: Vec<(Request, Answer, Option<Answer>)> = kept
            .into_par_iter()
            .map(|(request, answer)| {
                let again = ask(site, &request, |_| false);
                (request, answer, again)
            })
            .collect();
        found.judged += asked.len();
        let mut right = HashMap::new();
        let mut sound = Vec::new();
        for (request, answer, again) in asked {
            if again.as_ref() != Some(&answer) {
                let line = request.arguments.join(" ");
                found
                    .wrong
                    .push(format!("{} {line}", request.program.display()));
            }
            if let Some(again) = again {
                let name = again.name(&request);
                if let Some((question, answer)) = name.split_once('=') {
                    right.insert(question.to_owned(), answer.to_owned());
                }
                sound.push((request, again));
            }
        }
        for (key, given) in records {
            let pairs = || given.split(' ').filter_map(|name| name.split_once('='));
            if pairs().any(|(question, answer)| right.get(question).is_some_and(|a| a != answer)) {
                found.misled.push(key);
            } else if pairs().any(|(question, _)| !right.contains_key(question)) {
                found.unknown += 1;
            }
        }
        if remedy == Remedy::Forget
            && let Some(index) = site.index()
        {
            keep(toolbox, &index, sound);
        }
    }
    if remedy == Remedy::Forget {
        for key in &found.misled {
            site.store.forget(key)?;
        }
    }
    Ok(found)
}

/// The jobs that were given answers, by toolbox: their keys, and the names of the answers.
fn told(site: &BuildSite) -> Result<BTreeMap<ObjectDigest, Vec<(ActionKey, String)>>, StoreError> {
    let mut told: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for record in site.store.records()? {
        let mut record = record?;
        let programs = record.components.iter().find(|part| part.name == PROGRAMS);
        if record.kind == ActionKind::Job
            && let Some(toolbox) = programs.map(|part| part.digest)
            && let Some(given) = record.note.remove(NOTE)
        {
            told.entry(toolbox).or_default().push((record.key, given));
        }
    }
    Ok(told)
}

/// Whether this machine has the programs of a toolbox.
fn is_here(site: &BuildSite, toolbox: ObjectDigest) -> Result<bool, StoreError> {
    let text = site.store.read(&toolbox)?.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    Ok(!text.is_empty() && text.lines().all(|line| is_as_named(line).unwrap_or(false)))
}

/// Whether the program that a line of the component names is the one that is here.
fn is_as_named(line: &str) -> Option<bool> {
    let (name, place) = line.split_once('=')?;
    let (path, digest) = place.rsplit_once(' ')?;
    let path = match name.split_once(' ') {
        None => Path::new(path).to_owned(),
        // What is in no program changes no answer that its programs do not give.
        Some((_, "headers and libraries")) => return Some(true),
        Some((_, file)) => Path::new(path).join(file),
    };
    let content = regular::read_at_once(&path, sizes::BINARY).ok()?;
    Some(ObjectDigest::of(&content).to_string() == digest)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs, path::PathBuf};

    use kiln_cache::{ActionRecord, Cost, Detail, KeyBuilder, Status, Store, Subject};

    use super::*;
    use crate::probes::tests::site;

    fn request(option: &str) -> Request {
        Request {
            program: PathBuf::from("/usr/bin/gcc"),
            arguments: [option, "-c", "-x", "c", "/dev/null"]
                .map(str::to_owned)
                .into(),
            writes: true,
        }
    }

    /// Publishes the record of a job that was given an answer.
    fn publish(store: &Store, toolbox: ObjectDigest, name: &str, given: String) -> ActionKey {
        let mut key = KeyBuilder::new(ActionKind::Job);
        key.component(PROGRAMS, toolbox, Detail::Text);
        key.component("source", ObjectDigest::of(name.as_bytes()), Detail::Opaque);
        let (key, components) = key.finish();
        let record = ActionRecord {
            key,
            kind: ActionKind::Job,
            subject: Subject {
                name: name.to_owned(),
                target: "k/x86_64".to_owned(),
            },
            components,
            status: Status::Success,
            outputs: Vec::new(),
            log: None,
            note: BTreeMap::from([(NOTE.to_owned(), given)]),
            cost: Cost::default(),
            created: 1,
        };
        store.publish(&record).unwrap();
        key
    }

    #[test]
    fn what_was_built_with_a_wrong_answer_is_found_and_forgotten() {
        let (_temp, site) = site();
        let gcc = fs::canonicalize("/usr/bin/gcc").unwrap();
        let digest = ObjectDigest::of(&fs::read(&gcc).unwrap());
        let text = format!("gcc={} {digest}\n", gcc.display());
        let toolbox = site.store.put_bytes(text.as_bytes()).unwrap();

        let (known, killed) = (request("-Wall"), request("-mindirect-branch=thunk-extern"));
        let yes = ask(&site, &known, |_| false).unwrap();
        assert_eq!(yes.code, 0);
        let no = Answer {
            code: 1,
            out: Vec::new(),
            err: b"gcc: fatal error: Killed signal terminated program cc1\n".to_vec(),
            output: None,
        };
        let good = publish(&site.store, toolbox, "good", yes.name(&known));
        let bad = publish(&site.store, toolbox, "bad", no.name(&killed));
        keep(
            toolbox,
            &site.index().unwrap(),
            vec![(known, yes), (killed.clone(), no)],
        );

        let found = inspect(&site, Remedy::Forget).unwrap();
        assert_eq!(found.misled, [bad]);
        assert_eq!((found.judged, found.wrong.len(), found.unknown), (2, 1, 0));
        assert!(site.store.lookup(&bad).unwrap().is_none());
        assert!(site.store.lookup(&good).unwrap().is_some());
        let kept = stored(toolbox, &site.index().unwrap());
        let asked_again = kept.iter().find(|(request, _)| *request == killed);
        assert_eq!(asked_again.unwrap().1.code, 0);
        assert!(inspect(&site, Remedy::None).unwrap().is_clean());
    }
}
