//! The answers of one compiler, kept in the index between runs.
//!
//! They are known by the digest of the toolbox's programs, of which the compiler and its parts are
//! some: another compiler has no answers yet. Lost, they are asked for again.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use kiln_cache::{Index, ObjectDigest};

use super::{Answer, Request};
use crate::memo;

/// The name under which answers are kept. It changes with the rules for what is one: answers that were kept by
/// other rules are not believed.
const MEMO: &str = "certain probe answers";

/// More command lines than the kernels of one compiler have; beyond them nothing is kept.
const LIMIT: usize = 20_000;

/// Which answers a run begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Those of earlier runs.
    Stored,
    /// None: the compiler is asked again.
    Nothing,
}

/// Answers by request.
#[derive(Debug)]
pub(super) struct Answers {
    toolbox: ObjectDigest,
    known: Mutex<HashMap<Request, Arc<OnceLock<Option<Answer>>>>>,
    changed: AtomicBool,
}

impl Answers {
    /// What is known of the compilers of a toolbox.
    pub(super) fn load(toolbox: ObjectDigest, index: Option<&Index>) -> Self {
        let known = index.map_or_else(Vec::new, |index| stored(toolbox, index));
        let known = known
            .into_iter()
            .map(|(request, answer)| (request, Arc::new(OnceLock::from(Some(answer)))));
        Self {
            toolbox,
            known: Mutex::new(known.collect()),
            changed: AtomicBool::new(false),
        }
    }

    /// The answer to a request; `ask` finds it out if it is not known, once for all who ask.
    pub(super) fn of(
        &self,
        request: &Request,
        ask: impl FnOnce() -> Option<Answer>,
    ) -> Option<Answer> {
        let cell = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            let full = known.len() >= LIMIT;
            match known.get(request) {
                Some(cell) => Arc::clone(cell),
                None if full => return None,
                None => Arc::clone(known.entry(request.clone()).or_default()),
            }
        };
        let answer = cell.get_or_init(|| {
            self.changed.store(true, Ordering::Relaxed);
            ask()
        });
        answer.clone()
    }

    /// Keeps what was found out.
    pub(super) fn save(&self, index: &Index) {
        if !self.changed.swap(false, Ordering::Relaxed) {
            return;
        }
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let list = known
            .iter()
            .filter_map(|(request, cell)| Some((request.clone(), cell.get()?.clone()?)))
            .collect();
        keep(self.toolbox, index, list);
    }
}

/// The answers that are kept for a toolbox.
pub(super) fn stored(toolbox: ObjectDigest, index: &Index) -> Vec<(Request, Answer)> {
    memo::load(index, MEMO, toolbox).unwrap_or_default()
}

/// Keeps these answers for a toolbox, and no others.
pub(super) fn keep(toolbox: ObjectDigest, index: &Index, mut list: Vec<(Request, Answer)>) {
    list.sort_by(|a, b| a.0.cmp(&b.0));
    memo::keep(index, MEMO, toolbox, &list);
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, path::PathBuf, time::Duration};

    use kiln_cache::Store;

    use super::*;

    fn request(option: &str) -> Request {
        Request {
            program: PathBuf::from("/usr/bin/gcc"),
            arguments: vec![option.to_owned()],
            writes: true,
        }
    }

    fn answer(code: u8) -> Answer {
        Answer {
            code,
            out: Vec::new(),
            err: b"words".to_vec(),
            output: Some(vec![0, 255]),
        }
    }

    #[test]
    fn the_compiler_is_asked_once_also_by_the_next_run() {
        let temp = tempfile::tempdir().unwrap();
        let store = Store::open(&temp.path().join("cache")).unwrap();
        let toolbox = ObjectDigest::of(b"gcc 12");
        let asked = Cell::new(0);
        let ask = |answers: &Answers, option: &str| {
            answers.of(&request(option), || {
                asked.set(asked.get() + 1);
                Some(answer(1))
            })
        };
        let answers = Answers::load(toolbox, None);
        assert_eq!(ask(&answers, "-Wno"), Some(answer(1)));
        assert_eq!(ask(&answers, "-Wno"), Some(answer(1)));
        assert_eq!(asked.get(), 1);
        let index = Index::burst(&store, Duration::from_secs(5))
            .unwrap()
            .unwrap();
        answers.save(&index);
        let next = Answers::load(toolbox, Some(&index));
        assert_eq!(ask(&next, "-Wno"), Some(answer(1)));
        assert_eq!(asked.get(), 1);
        ask(&next, "-Wyes");
        assert_eq!(asked.get(), 2);
        let other = Answers::load(ObjectDigest::of(b"gcc 13"), Some(&index));
        ask(&other, "-Wno");
        assert_eq!(asked.get(), 3);
    }

    #[test]
    fn what_could_not_be_answered_is_not_kept() {
        let temp = tempfile::tempdir().unwrap();
        let store = Store::open(&temp.path().join("cache")).unwrap();
        let index = Index::burst(&store, Duration::from_secs(5))
            .unwrap()
            .unwrap();
        let toolbox = ObjectDigest::of(b"gcc 12");
        let answers = Answers::load(toolbox, None);
        assert_eq!(answers.of(&request("-Wno"), || None), None);
        answers.save(&index);
        let next = Answers::load(toolbox, Some(&index));
        let found = next.of(&request("-Wno"), || Some(answer(0)));
        assert_eq!(found, Some(answer(0)));
    }
}
