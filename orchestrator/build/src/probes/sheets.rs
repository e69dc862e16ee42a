//! Sheets: answers as files, for jobs that cannot reach a socket.
//!
//! kbuild asks the same questions for every package. What it asks for a kernel is found out once, by
//! letting it build nothing here; so a sheet follows from the kernel and the toolbox alone, and an
//! engine that is sent the same job by two machines is sent the same action.

use std::{
    collections::{BTreeSet, HashMap},
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError, mpsc},
};

use kiln_cache::ObjectDigest;
use kiln_kernel::memo;

use super::{Answer, Answers, Desk, ProbeServer, Request, Trust, client::VARIABLES, compile::ask};
use crate::plan::Ingredient;

/// The name under which the questions of a kernel are kept.
const MEMO: &str = "probe questions";

/// The sheets of one run by their topics; none where one could not be made.
pub(super) type Sheets = Mutex<HashMap<ObjectDigest, Arc<OnceLock<Option<Sheet>>>>>;

/// Answers that a job takes with it.
#[derive(Debug, Clone)]
pub struct Sheet {
    /// The files.
    pub directory: PathBuf,
    /// The names of the answers.
    pub(super) given: Arc<[String]>,
}

/// The shell script that stands in for a compiler where there is a sheet.
pub fn stand_in() -> String {
    let variables: String = VARIABLES.map(|name| format!("${{{name}+x}}")).concat();
    include_str!("stand_in.sh").replace("@VARIABLES@", &variables)
}

impl ProbeServer {
    /// A directory with the answers to the questions of a topic to compilers of these names, for [`stand_in`].
    ///
    /// `survey` makes kbuild ask them at a socket, and says whether it has asked them all. It is
    /// called when nobody knows them yet. None if there is no sheet; jobs then do without.
    pub fn sheet(
        &self,
        toolbox: &Ingredient,
        compilers: Vec<String>,
        topic: ObjectDigest,
        survey: impl FnOnce(&Path) -> bool,
    ) -> Option<Sheet> {
        let cell = {
            let mut sheets = self.sheets.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(sheets.entry(topic).or_default())
        };
        let made = cell.get_or_init(|| {
            self.make_sheet(&self.answers(toolbox), compilers, topic, survey)
                .ok()?
        });
        made.clone()
    }

    fn make_sheet(
        &self,
        answers: &Arc<Answers>,
        compilers: Vec<String>,
        topic: ObjectDigest,
        survey: impl FnOnce(&Path) -> bool,
    ) -> io::Result<Option<Sheet>> {
        let index = match self.trust {
            Trust::Stored => self.site.index(),
            Trust::Nothing => None,
        };
        let known: Option<BTreeSet<Request>> =
            index.and_then(|index| memo::load(&index, MEMO, topic));
        let questions = match known {
            Some(questions) => questions,
            None => {
                let Some(questions) = self.ask_around(answers, compilers, survey)? else {
                    return Ok(None);
                };
                if let Some(index) = self.site.index() {
                    memo::keep(&index, MEMO, topic, &questions);
                }
                questions
            }
        };
        let answered: Vec<(&Request, Answer)> = questions
            .iter()
            .filter_map(|question| {
                let answer =
                    answers.of(question, |is_known| ask(&self.site, question, is_known))?;
                Some((question, answer))
            })
            .collect();
        let given = answered
            .iter()
            .map(|(question, answer)| answer.name(question));
        let given = given.collect();
        let base = self.site.base().map_err(io::Error::other)?;
        let directory = base.directory("sheet")?;
        for (path, text) in files(answered.into_iter()) {
            let path = directory.join(path);
            fs::create_dir_all(path.parent().unwrap_or(&directory))?;
            fs::write(path, text)?;
        }
        Ok(Some(Sheet { directory, given }))
    }

    /// What is asked at a socket of its own while `survey` runs.
    fn ask_around(
        &self,
        answers: &Arc<Answers>,
        compilers: Vec<String>,
        survey: impl FnOnce(&Path) -> bool,
    ) -> io::Result<Option<BTreeSet<Request>>> {
        let (asked, questions) = mpsc::channel();
        let desk = Desk::open(&self.site, Arc::clone(answers), compilers, Some(asked))?;
        let is_complete = survey(desk.socket());
        drop(desk);
        let questions = questions.iter().collect();
        Ok(is_complete.then_some(questions))
    }
}

/// The files of a sheet. Each has the answers to the questions to one program with the same number
/// of words, as a `case` of the shell; its path is the program's, and that number.
fn files<'a>(
    answered: impl Iterator<Item = (&'a Request, Answer)>,
) -> impl Iterator<Item = (PathBuf, String)> {
    let mut cases: HashMap<PathBuf, String> = HashMap::new();
    for (request, answer) in answered {
        // The stand-in joins words by line feeds.
        if request.arguments.iter().any(|word| word.contains('\n')) {
            continue;
        }
        let writes = if request.writes { "-o" } else { "" };
        let program = request
            .program
            .strip_prefix("/")
            .unwrap_or(&request.program);
        let file = program.join(format!("{}{writes}", request.arguments.len()));
        cases
            .entry(file)
            .or_default()
            .push_str(&case(request, &answer));
    }
    cases
        .into_iter()
        .map(|(file, cases)| (file, format!("case $question in\n{cases}esac\n")))
}

fn case(request: &Request, answer: &Answer) -> String {
    let mut question = String::new();
    for word in &request.arguments {
        question.push_str(&word.replace('\'', r"'\''"));
        question.push('\n');
    }
    let mut text = format!("'{question}')\n");
    if let Some(output) = &answer.output {
        // An output that cannot be written is the compiler's to complain of.
        let _ = writeln!(
            text,
            "printf '{}' >\"$output\" || exec \"$compiler\" \"$@\"",
            octal(output)
        );
    }
    for (stream, to) in [(&answer.out, ""), (&answer.err, " >&2")] {
        if !stream.is_empty() {
            let _ = writeln!(text, "printf '{}'{to}", octal(stream));
        }
    }
    let _ = writeln!(text, "exit {} ;;", answer.code);
    text
}

/// Bytes as a format of printf(1).
fn octal(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b' ' | b'.' | b'_' | b'/' => text.push(char::from(*byte)),
            _ => {
                let _ = write!(text, "\\{byte:03o}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, process::Command};

    use super::*;

    /// A sheet with one answer, a stand-in for a compiler called `cc`, and a `cc` behind it that only
    /// says what it was told.
    struct Desktop(tempfile::TempDir);

    impl Desktop {
        fn with(arguments: &[&str], writes: bool, answer: Answer) -> Self {
            let temp = tempfile::tempdir().unwrap();
            let at = |path: &str| temp.path().join(path);
            fs::create_dir(at("first")).unwrap();
            fs::create_dir(at("second")).unwrap();
            for (path, text) in [
                ("first/cc", stand_in()),
                ("second/cc", "#!/bin/sh\necho \"compiled $*\"\n".to_owned()),
            ] {
                fs::write(at(path), text).unwrap();
                fs::set_permissions(at(path), fs::Permissions::from_mode(0o755)).unwrap();
            }
            let request = Request {
                program: at("second/cc"),
                arguments: arguments.iter().map(|&word| word.to_owned()).collect(),
                writes,
            };
            for (path, text) in files([(&request, answer)].into_iter()) {
                let path = at("sheet").join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            Self(temp)
        }

        /// Exit code, standard output, standard error.
        fn call(
            &self,
            shell: &str,
            arguments: &[&str],
            variables: &[(&str, &str)],
        ) -> (i32, Vec<u8>, Vec<u8>) {
            let at = |path: &str| self.0.path().join(path);
            let path = format!(
                "{}:{}:/usr/bin:/bin",
                at("first").display(),
                at("second").display()
            );
            let run = Command::new(shell)
                .arg(at("first/cc"))
                .args(arguments)
                .current_dir(self.0.path())
                .env_clear()
                .env("PATH", path)
                .env("LC_ALL", "C")
                .env("KILN_PROBES", at("sheet"))
                .envs(variables.iter().copied())
                .output()
                .unwrap();
            (run.status.code().unwrap(), run.stdout, run.stderr)
        }
    }

    const QUESTION: [&str; 6] = ["-DIT='s $x\\n%d'", "-Wall", "-c", "-x", "c", "/dev/null"];

    fn compiled(words: &str) -> (i32, Vec<u8>, Vec<u8>) {
        (0, format!("compiled {words}\n").into_bytes(), Vec::new())
    }

    #[test]
    fn a_sheet_gives_every_byte_of_an_answer() {
        let all: Vec<u8> = (0..=255).rev().collect();
        let answer = Answer {
            code: 3,
            out: all.clone(),
            err: [all.as_slice(), b"100 %s\n"].concat(),
            output: Some([b"\0\x7fELF".as_slice(), &all].concat()),
        };
        let desktop = Desktop::with(&QUESTION, true, answer.clone());
        for shell in ["sh", "bash"] {
            let (head, tail) = QUESTION.split_at(2);
            let words = [head, &["-o", "made"], tail].concat();
            let said = desktop.call(shell, &words, &[]);
            assert_eq!(said, (3, answer.out.clone(), answer.err.clone()), "{shell}");
            let made = desktop.0.path().join("made");
            assert_eq!(fs::read(&made).unwrap(), answer.output.clone().unwrap());
            fs::remove_file(made).unwrap();
        }
        // Of two outputs the compiler knows which it takes.
        let twice = [&QUESTION[..], &["-o", "made", "-o", "other"]].concat();
        let (code, said, _) = desktop.call("sh", &twice, &[]);
        assert!(code == 0 && said.starts_with(b"compiled "));
    }

    #[test]
    fn what_a_sheet_lacks_is_compiled() {
        let answer = Answer {
            code: 1,
            out: Vec::new(),
            err: Vec::new(),
            output: None,
        };
        let desktop = Desktop::with(&["-E", "/dev/null"], false, answer);
        let call = |words: &str, variables: &[(&str, &str)]| {
            let words: Vec<&str> = words.split(' ').collect();
            desktop.call("sh", &words, variables)
        };
        assert_eq!(call("-E /dev/null", &[]), (1, Vec::new(), Vec::new()));
        for words in [
            "/dev/null -E",
            "-E /dev/null -Wall",
            "-E /dev/null -o made",
            "-E /dev/null -o a -o b",
            "-E /dev/null -o",
            "-c driver.c",
        ] {
            assert_eq!(call(words, &[]), compiled(words));
        }
        for variable in [
            ("LC_ALL", "de_DE.UTF-8"),
            ("LANGUAGE", "de"),
            ("CPATH", ""),
            ("KILN_PROBES", "/nowhere"),
        ] {
            assert_eq!(call("-E /dev/null", &[variable]), compiled("-E /dev/null"));
        }
    }

    #[test]
    fn no_name_of_the_caller_changes_on_the_way_to_the_compiler() {
        let answer = Answer {
            code: 1,
            out: Vec::new(),
            err: Vec::new(),
            output: None,
        };
        let desktop = Desktop::with(&["-E", "/dev/null"], false, answer);
        let compiler = desktop.0.path().join("second/cc");
        fs::write(&compiler, "#!/bin/bash\nexec env\n").unwrap();
        let script = stand_in();
        let names = script.split(|letter: char| !letter.is_ascii_lowercase());
        let names: BTreeSet<&str> = names.filter(|name| !name.is_empty()).collect();
        let mine: Vec<(&str, &str)> = names.iter().map(|name| (*name, "mine")).collect();
        for shell in ["sh", "bash"] {
            for words in [&["-c", "x.c"][..], &["-c", "/dev/null"]] {
                let (code, said, _) = desktop.call(shell, words, &mine);
                let said = String::from_utf8(said).unwrap();
                let seen: Vec<&str> = said.lines().collect();
                assert_eq!(code, 0);
                for name in &names {
                    assert!(
                        seen.contains(&format!("{name}=mine").as_str()),
                        "{name}: {said}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_stand_in_that_stands_alone_is_no_compiler() {
        let desktop = Desktop::with(
            &[],
            false,
            Answer {
                code: 0,
                out: Vec::new(),
                err: Vec::new(),
                output: None,
            },
        );
        fs::remove_file(desktop.0.path().join("second/cc")).unwrap();
        let path = desktop.0.path().join("first").display().to_string();
        let said = desktop.call("/bin/sh", &["-c", "x.c"], &[("PATH", &path)]);
        assert_eq!(said, (127, Vec::new(), b"cc: not found\n".to_vec()));
    }
}
