//! Whether an answer is certainly the compiler's own, and will be the same tomorrow.
//!
//! Exit code 0 the driver gives only if all its parts have. Exit code 1 says less: it is also how a driver ends of which
//! a part was killed, that found no memory or no room. So a "no" is one only if every line of it is one that compilers
//! print about options, and one of these options is in the question. What cannot be told is no answer.

use super::{Answer, Request};

/// What a line about an option begins with, after the name of the program that prints it.
const COMPLAINTS: [&str; 6] = [
    "error: ",
    "warning: ",
    "sorry, unimplemented: ",
    "Error: ",
    "Fatal error: ",
    "unrecognized option ",
];

/// Whether an answer can be given to others.
pub(super) fn is_certain(request: &Request, answer: &Answer) -> bool {
    match answer.code {
        0 => answer.output.is_some() == request.writes,
        1 => answer.output.is_none() && answer.out.is_empty() && is_no(request, &answer.err),
        _ => false,
    }
}

fn is_no(request: &Request, said: &[u8]) -> bool {
    let Ok(said) = std::str::from_utf8(said) else {
        return false;
    };
    let is_complaint = |line: &str| {
        let said = said_of(line);
        COMPLAINTS.iter().any(|start| said.starts_with(start)) && names_option(request, said)
    };
    let mut complaints = 0;
    said.lines().all(|line| {
        if is_complaint(line) {
            complaints += 1;
            return true;
        }
        accompanies(line)
    }) && complaints > 0
}

/// A line without the name of the program that prints it.
fn said_of(line: &str) -> &str {
    match line.split_once(": ") {
        Some((name, said)) if !name.contains(' ') && !is_kind(name) => said,
        _ => line,
    }
}

fn is_kind(word: &str) -> bool {
    matches!(word, "error" | "warning" | "Error" | "note")
}

/// Whether a line says something about an option of the question.
fn names_option(request: &Request, said: &str) -> bool {
    let options = || {
        let arguments = request.arguments.iter();
        arguments.flat_map(|argument| [argument.as_str()].into_iter().chain(argument.split(',')))
    };
    said.split(|letter: char| letter.is_whitespace() || "'`,;".contains(letter))
        .filter(|word| word.len() > 1 && word.starts_with('-'))
        .any(|word| {
            options().any(|option| {
                option.strip_prefix(word).is_some_and(|rest| {
                    rest.is_empty() || rest.starts_with('=') || word.ends_with('=')
                })
            })
        })
}

/// Whether a line only goes with others.
fn accompanies(line: &str) -> bool {
    line.is_empty()
        || line == "Assembler messages:"
        || said_of(line).starts_with("note: ")
        || said_of(line) == "all warnings being treated as errors"
        || line.ends_with(" error generated.")
        || line.ends_with(" errors generated.")
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn is_certain_no(arguments: &str, err: &str) -> bool {
        let request = Request {
            program: PathBuf::from("/usr/bin/gcc"),
            arguments: arguments.split(' ').map(str::to_owned).collect(),
            writes: true,
        };
        let answer = Answer {
            code: 1,
            out: Vec::new(),
            err: err.as_bytes().to_vec(),
            output: None,
        };
        is_certain(&request, &answer)
    }

    #[test]
    fn what_compilers_say_of_an_option_is_certain() {
        for (arguments, err) in [
            (
                "-mno-such -c",
                "gcc: error: unrecognized command-line option '-mno-such'; did you mean '-mno-sse'?\n",
            ),
            (
                "-Werror=no-such",
                "cc1: error: '-Werror=no-such': no option '-Wno-such'\ncc1: note: unrecognized\n",
            ),
            ("-Wa,-mno-such", "as: unrecognized option '-mno-such'\n"),
            (
                "-Wa,-gdwarf-9",
                "Assembler messages:\nFatal error: unknown DWARF option -gdwarf-9\n\n",
            ),
            (
                "-mindirect-branch=foo",
                "gcc: error: unrecognized argument in option '-mindirect-branch=foo'\n\
                 gcc: note: valid arguments to '-mindirect-branch=' are: keep thunk\n",
            ),
            (
                "-fzero-call-used-regs=blah",
                "cc1: error: unrecognized argument to '-fzero-call-used-regs=': 'blah'\n",
            ),
            (
                "-falign-functions=99",
                "cc1: error: '-falign-functions' is not between 0 and 65536\n",
            ),
            (
                "-Wfoo",
                "error: unknown warning option '-Wfoo' [-Werror,-Wunknown-warning-option]\n",
            ),
            (
                "-Wfoo",
                "cc1: error: command-line option '-Wfoo' is valid for C++ but not for C [-Werror]\n\
                 cc1: all warnings being treated as errors\n",
            ),
            ("-mfoo", "clang: error: unknown argument: '-mfoo'\n"),
        ] {
            assert!(is_certain_no(arguments, err), "{err}");
        }
    }

    #[test]
    fn what_else_ends_with_exit_code_1_is_not() {
        let asked = "-mindirect-branch=thunk-extern -c";
        for err in [
            "",
            "gcc: fatal error: Killed signal terminated program cc1\ncompilation terminated.\n",
            "gcc: internal compiler error: Segmentation fault signal terminated program cc1\n",
            "cc1: out of memory allocating 65536 bytes after a total of 0 bytes\n",
            "gcc: fatal error: cannot execute 'cc1': posix_spawn: Cannot allocate memory\n",
            "/tmp/ccX.s: fatal error: error writing to /tmp/ccX.s: No space left on device\n",
            "Fatal error: can't create /run/kiln/out/output: No space left on device\n",
            "bwrap: Can't mkdir /newroot: Too many open files\n",
            "gcc: error: unrecognized command-line option '-mother'\n",
            "gcc: error: unrecognized command-line option '-mindirect'\n",
            "Stack dump:\n0.\tProgram arguments: clang -mindirect-branch=thunk-extern\n",
            "gcc: error: bad '-mindirect-branch='\ngcc: fatal error: Killed signal terminated program as\n",
        ] {
            assert!(!is_certain_no(asked, err), "{err}");
        }
    }
}
