//! An input of a job: where it is, and the few states that it may be in.

use std::{
    fmt, fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::{
    caller::{Caller, Condition},
    ground::put,
};

/// What an input can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing is there.
    Absent,
    /// A file.
    File {
        /// Its content.
        content: Vec<u8>,
        /// Its permissions.
        mode: u32,
    },
    /// A file with a content that nothing had before.
    Fresh {
        /// Its permissions.
        mode: u32,
    },
    /// A link.
    Link(PathBuf),
    /// A directory with nothing in it.
    Directory,
    /// What the caller sets.
    Word(&'static str),
}

/// A file that anybody may read.
pub(crate) fn file(content: impl AsRef<[u8]>) -> State {
    mode(content, 0o644)
}

/// A file that anybody may run.
pub(crate) fn program(content: impl AsRef<[u8]>) -> State {
    mode(content, 0o755)
}

/// A file with permissions.
pub(crate) fn mode(content: impl AsRef<[u8]>, mode: u32) -> State {
    State::File {
        content: content.as_ref().to_owned(),
        mode,
    }
}

/// Where an input is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// A path.
    Path(PathBuf),
    /// Something that kiln inherits.
    Caller(Condition),
}

/// An input with its states; it begins in the first.
#[derive(Debug, Clone)]
pub(crate) struct Input {
    /// What a reader calls it.
    pub(crate) name: String,
    /// Where it is.
    pub(crate) place: Place,
    /// What it may be.
    pub(crate) states: Vec<State>,
    /// Whether a run reads it once, at its start: what it makes is right for what was there then.
    pub(crate) is_read_once: bool,
}

impl Input {
    /// An input at a path.
    pub(crate) fn at(name: &str, path: impl Into<PathBuf>, states: impl Into<Vec<State>>) -> Self {
        Self {
            name: name.to_owned(),
            place: Place::Path(path.into()),
            states: states.into(),
            is_read_once: false,
        }
    }

    /// The same, read once a run.
    pub(crate) fn read_once(self) -> Self {
        Self {
            is_read_once: true,
            ..self
        }
    }

    /// An input that kiln inherits; it begins unset.
    pub(crate) fn of_caller(name: &str, condition: Condition, words: &[&'static str]) -> Self {
        let words = words.iter().map(|word| State::Word(word));
        Self {
            name: name.to_owned(),
            place: Place::Caller(condition),
            states: [State::Absent].into_iter().chain(words).collect(),
            is_read_once: true,
        }
    }

    /// A program of the machine: as it is, and in other states.
    pub(crate) fn existing(name: &str, path: &Path, others: impl Into<Vec<State>>) -> Self {
        let mut states = vec![state(path)];
        states.extend(others.into());
        Self::at(name, path, states)
    }

    /// Puts it into its first state.
    pub(crate) fn begin(&self, rng: &mut fastrand::Rng) {
        if let Place::Path(path) = &self.place {
            set(path, &decided(&self.states[0], rng), How::Replaced);
        }
    }

    /// What it is now.
    pub(crate) fn now(&self, caller: &Caller) -> State {
        match &self.place {
            Place::Path(path) => state(path),
            Place::Caller(condition) => {
                let known = |word: &str| {
                    let mut states = self.states.iter();
                    states.find(|state| matches!(state, State::Word(known) if *known == word))
                };
                let word = caller.word(*condition).and_then(known);
                word.cloned().unwrap_or(State::Absent)
            }
        }
    }
}

/// How a file gets another content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// Another file takes its place.
    Replaced,
    /// It is written to.
    Written,
    /// It is written to, and its modification time set back.
    Backdated,
    /// It stays as it is, with another modification time.
    Touched,
}

/// One change in so many is of the time alone.
const TOUCHES: u8 = 12;

/// One input is put into another state.
#[derive(Debug, Clone)]
pub(crate) struct Mutation {
    /// The input.
    pub(crate) input: Input,
    /// The state, never [`State::Fresh`].
    pub(crate) to: State,
    /// By what means.
    pub(crate) how: How,
}

impl Mutation {
    /// Draws one: another state than the present one. None if there is no other.
    pub(crate) fn draw(input: &Input, caller: &Caller, rng: &mut fastrand::Rng) -> Option<Self> {
        let now = input.now(caller);
        if matches!(now, State::File { .. }) && rng.u8(..TOUCHES) == 0 {
            return Some(Self {
                to: now,
                input: input.clone(),
                how: How::Touched,
            });
        }
        let others: Vec<&State> = input.states.iter().filter(|to| **to != now).collect();
        let how = [How::Replaced, How::Written, How::Backdated];
        Some(Self {
            to: decided(rng.choice(others)?, rng),
            input: input.clone(),
            how: rng.choice(how)?,
        })
    }

    /// Does it.
    pub(crate) fn apply(&self, caller: &mut Caller) {
        match &self.input.place {
            Place::Caller(condition) => match &self.to {
                State::Word(word) => caller.set(*condition, Some(word)),
                _ => caller.set(*condition, None),
            },
            Place::Path(path) => set(path, &self.to, self.how),
        }
    }

    /// The mutation that undoes this one, if it is not done yet.
    pub(crate) fn undo(&self, caller: &Caller) -> Self {
        Self {
            to: self.input.now(caller),
            ..self.clone()
        }
    }
}

impl fmt::Display for Mutation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.input.name)?;
        if let Place::Path(path) = &self.input.place {
            write!(f, " ({})", path.display())?;
        }
        match &self.to {
            State::File { content, mode } => {
                let head = &content[..content.len().min(24)];
                let head = String::from_utf8_lossy(head);
                write!(f, " -> {} bytes {head:?} {mode:o}", content.len())?;
            }
            other => write!(f, " -> {other:?}")?,
        }
        write!(f, " {:?}", self.how)
    }
}

/// A state that is all known.
fn decided(state: &State, rng: &mut fastrand::Rng) -> State {
    match state {
        State::Fresh { mode } => State::File {
            content: format!("{:016x}\n", rng.u64(..)).into_bytes(),
            mode: *mode,
        },
        other => other.clone(),
    }
}

/// What is at a path.
fn state(path: &Path) -> State {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return State::Absent;
    };
    if metadata.is_symlink() {
        State::Link(fs::read_link(path).unwrap())
    } else if metadata.is_dir() {
        State::Directory
    } else {
        State::File {
            content: fs::read(path).unwrap(),
            mode: metadata.mode() & 0o7777,
        }
    }
}

fn set(path: &Path, to: &State, how: How) {
    let before = fs::symlink_metadata(path).ok();
    let is_file = before.as_ref().is_some_and(fs::Metadata::is_file);
    if let (How::Touched, true, Some(before)) = (how, is_file, &before) {
        // There and, done again, back.
        let seconds = before
            .modified()
            .unwrap()
            .duration_since(SystemTime::UNIX_EPOCH);
        let seconds = seconds.unwrap_or_default().as_secs() ^ (1 << 28);
        backdate(path, SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        return;
    }
    if how != How::Replaced
        && is_file
        && let State::File { content, mode } = to
    {
        match fs::write(path, content) {
            // It runs.
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {}
            other => {
                other.unwrap();
                fs::set_permissions(path, fs::Permissions::from_mode(*mode)).unwrap();
                if let (How::Backdated, Some(before)) = (how, before) {
                    backdate(path, before.modified().unwrap());
                }
                return;
            }
        }
    }
    if before.is_some_and(|before| before.is_dir()) {
        fs::remove_dir_all(path).unwrap();
    } else if is_file && matches!(to, State::File { .. } | State::Link(_)) {
        // As a package manager does: what is there is never missing in between.
        let aside = path.with_file_name(".kiln-test-new");
        make(&aside, to);
        fs::rename(aside, path).unwrap();
        return;
    } else {
        let _ = fs::remove_file(path);
    }
    make(path, to);
}

fn make(path: &Path, state: &State) {
    let parent = path.parent().unwrap();
    match state {
        State::File { content, mode } => put(path, content, *mode),
        State::Link(target) => {
            fs::create_dir_all(parent).unwrap();
            symlink(target, path).unwrap();
        }
        State::Directory => fs::create_dir_all(path).unwrap(),
        State::Absent | State::Fresh { .. } | State::Word(_) => {}
    }
}

fn backdate(path: &Path, time: SystemTime) {
    // To set a time no right to write is needed, which what runs would not give.
    fs::File::open(path).unwrap().set_modified(time).unwrap();
}
