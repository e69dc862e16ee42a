//! The answers of one compiler, kept in the index between runs.
//!
//! They are known by the digest of the toolbox's programs, of which the compiler and its parts are
//! some: another compiler has no answers yet. Lost, they are asked for again.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use kiln_cache::{Index, ObjectDigest};
use kiln_kernel::memo;

use super::{Answer, Request};

/// The name under which answers are kept. It changes with the rules for what is one: answers that were kept by
/// other rules are not believed.
const MEMO: &str = "probe answers of any directory";

/// How many answers are kept: more than the kernels of one compiler have questions. A further one takes the place of the
/// one that was asked for the longest time ago.
const MOST_ANSWERS: usize = 20_000;

/// How many bytes they have together with their questions, at most; those of kbuild have some hundred each.
const MOST_BYTES: u64 = 32 << 20;

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
    known: Mutex<Known>,
    changed: AtomicBool,
}

/// An answer, or the place for it while it is found out.
type Cell = Arc<OnceLock<Option<Answer>>>;

/// What is known, within limits.
#[derive(Debug, Default)]
struct Known {
    entries: HashMap<Request, Entry>,
    /// Of all questions, and the answers that were counted.
    bytes: u64,
    /// Counts what was asked.
    time: u64,
}

#[derive(Debug)]
struct Entry {
    cell: Cell,
    bytes: u64,
    asked: u64,
}

impl Known {
    /// The place of an answer, which is new if nobody has asked for it.
    fn cell(&mut self, request: &Request) -> Cell {
        self.time += 1;
        if let Some(entry) = self.entries.get_mut(request) {
            entry.asked = self.time;
            return Arc::clone(&entry.cell);
        }
        let cell = Cell::default();
        self.insert(request.clone(), Arc::clone(&cell), 0);
        cell
    }

    fn insert(&mut self, request: Request, cell: Cell, answer: u64) {
        let bytes = request.size() + answer;
        self.bytes += bytes;
        let asked = self.time;
        let entry = Entry { cell, bytes, asked };
        self.entries.insert(request, entry);
        self.forget();
    }

    /// Counts an answer that has been found out.
    fn count(&mut self, request: &Request, answer: &Answer) {
        if let Some(entry) = self.entries.get_mut(request) {
            let bytes = request.size() + answer.size();
            self.bytes = self.bytes - entry.bytes + bytes;
            entry.bytes = bytes;
            self.forget();
        }
    }

    /// Forgets what was asked for the longest time ago, until all is within the limits.
    fn forget(&mut self) {
        while self.entries.len() > MOST_ANSWERS || self.bytes > MOST_BYTES {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.asked);
            let Some(request) = oldest.map(|(request, _)| request.clone()) else {
                return;
            };
            let gone = self.entries.remove(&request);
            self.bytes -= gone.map_or(0, |entry| entry.bytes);
        }
    }
}

impl Answers {
    /// What is known of the compilers of a toolbox.
    pub(super) fn load(toolbox: ObjectDigest, index: Option<&Index>) -> Self {
        let known = index.map_or_else(Vec::new, |index| stored(toolbox, index));
        let mut all = Known::default();
        for (request, answer) in known {
            let size = answer.size();
            all.insert(request, Arc::new(OnceLock::from(Some(answer))), size);
        }
        Self {
            toolbox,
            known: Mutex::new(all),
            changed: AtomicBool::new(false),
        }
    }

    /// The answer to a request; `ask` finds it out if it is not known, once for all who ask. It is given what tells whether
    /// some question has a certain answer.
    pub(super) fn of(
        &self,
        request: &Request,
        ask: impl FnOnce(&dyn Fn(&Answer) -> bool) -> Option<Answer>,
    ) -> Option<Answer> {
        let cell = self.known().cell(request);
        let mut is_new = false;
        let answer = cell.get_or_init(|| {
            is_new = true;
            ask(&|answer| self.has(answer))
        });
        if is_new && let Some(answer) = answer {
            self.changed.store(true, Ordering::Relaxed);
            self.known().count(request, answer);
        }
        answer.clone()
    }

    /// Whether this is an answer to any question.
    fn has(&self, answer: &Answer) -> bool {
        let known = self.known();
        let mut cells = known.entries.values().map(|entry| entry.cell.get());
        cells.any(|known| known.is_some_and(|known| known.as_ref() == Some(answer)))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what was found out.
    pub(super) fn save(&self, index: &Index) {
        if !self.changed.swap(false, Ordering::Relaxed) {
            return;
        }
        let known = self.known();
        let list = known
            .entries
            .iter()
            .filter_map(|(request, entry)| Some((request.clone(), entry.cell.get()?.clone()?)))
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
            answers.of(&request(option), |_| {
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
    fn what_answers_another_question_is_known() {
        let answers = Answers::load(ObjectDigest::of(b"gcc 12"), None);
        let is_known = |option: &str, code| {
            let mut known = None;
            answers.of(&request(option), |is_known| {
                known = Some(is_known(&answer(code)));
                Some(answer(code))
            });
            known.unwrap()
        };
        assert!(!is_known("-first", 0));
        assert!(!is_known("-second", 1));
        assert!(is_known("-third", 0));
    }

    #[test]
    fn a_new_answer_takes_the_place_of_the_one_that_is_longest_unused() {
        let answers = Answers::load(ObjectDigest::of(b"gcc 12"), None);
        let ask = |option: &str| answers.of(&request(option), |_| Some(answer(0)));
        ask("-first");
        for number in 0..MOST_ANSWERS - 1 {
            ask(&format!("-f{number}"));
        }
        ask("-first");
        assert_eq!(ask("-one-more"), Some(answer(0)), "it goes on to learn");
        assert_eq!(answers.known().entries.len(), MOST_ANSWERS);
        let is_known = |option| answers.known().entries.contains_key(&request(option));
        assert!(is_known("-first") && is_known("-one-more") && !is_known("-f0"));
    }

    #[test]
    fn long_answers_push_out_others_too() {
        let answers = Answers::load(ObjectDigest::of(b"gcc 12"), None);
        let size = usize::try_from(super::super::compile::LONGEST_ANSWER).unwrap();
        let long = Answer {
            output: Some(vec![0; size - 5]),
            ..answer(0)
        };
        for number in 0..2000 {
            answers.of(&request(&format!("-f{number}")), |_| Some(long.clone()));
        }
        let known = answers.known();
        let sum = known.entries.values().map(|entry| entry.bytes).sum::<u64>();
        assert_eq!(sum, known.bytes);
        assert!(sum <= MOST_BYTES && known.entries.len() > 400);
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
        assert_eq!(answers.of(&request("-Wno"), |_| None), None);
        answers.save(&index);
        let next = Answers::load(toolbox, Some(&index));
        let found = next.of(&request("-Wno"), |_| Some(answer(0)));
        assert_eq!(found, Some(answer(0)));
    }
}
