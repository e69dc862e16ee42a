//! A compiler call that is a probe: it reads nothing but /dev/null, and what it does follows
//! from its command line and the compiler, and not from where it is called. Debugging information names the working
//! directory, so no probe has any.
//!
//! Both sides judge by the same rules. They let through what is known to be harmless; every other
//! option makes a call that is compiled as if nothing stood in front of the compiler.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Options of GCC that read or write other files, that follow from the processor, or that write down where it is called, in
/// which words and when.
const REFUSED: [&str; 24] = [
    "-fplugin",
    "-fprofile",
    "-fauto-profile",
    "-fbranch-probabilities",
    "-fdump",
    "-fsave",
    "-fopt-info",
    "-fcallgraph-info",
    "-fstack-usage",
    "-ftest-coverage",
    "-fdiagnostics",
    "-fcompare-debug",
    "-fmodule",
    "-fprebuilt",
    "-ftime",
    "-fcrash",
    "-fthinlto",
    "-fpass-plugin",
    "-foffload",
    "-fworking-directory",
    "-fdebug",
    "-frecord",
    "-flto",
    "-fembed-bitcode",
];

/// Options that say how paths are written down, and so hold some.
const PATH_MAPS: [&str; 3] = [
    "-fmacro-prefix-map=",
    "-ffile-prefix-map=",
    "-fdebug-prefix-map=",
];

/// Options that are complete as they stand.
const PLAIN: [&str; 10] = [
    "-c",
    "-S",
    "-E",
    "-P",
    "-w",
    "-pg",
    "-pipe",
    "-nostdinc",
    "-Qunused-arguments",
    "-no-integrated-as",
];

/// What options for the assembler may be, after `-Wa,`.
const ASSEMBLER: [&str; 3] = ["-m", "-gdwarf", "--fatal-warnings"];

/// A probe.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct Request {
    /// The compiler, as a path in a system directory.
    pub(super) program: PathBuf,
    /// Its arguments but `-o` and the output's name.
    pub(super) arguments: Vec<String>,
    /// Whether there was `-o`.
    pub(super) writes: bool,
}

impl Request {
    /// Takes a compiler call apart: the probe, and where its output goes. None if it is no probe.
    pub(super) fn of(program: PathBuf, call: &[String]) -> Option<(Self, Option<String>)> {
        let mut arguments = Vec::new();
        let mut output = None;
        let mut rest = call.iter();
        while let Some(argument) = rest.next() {
            if argument == "-o" {
                if output.replace(rest.next()?.clone()).is_some() {
                    return None;
                }
            } else {
                arguments.push(argument.clone());
            }
        }
        let request = Self {
            program,
            arguments,
            writes: output.is_some(),
        };
        request.is_probe().then_some((request, output))
    }

    /// How many bytes it has.
    pub(super) fn size(&self) -> u64 {
        let words = self.arguments.iter().map(String::len).sum::<usize>();
        (self.program.as_os_str().len() + words) as u64
    }

    /// Whether nothing but the compiler has a say in what this call does.
    pub(super) fn is_probe(&self) -> bool {
        let mut inputs = 0;
        let mut acts = false;
        let mut language = false;
        for argument in &self.arguments {
            if language {
                language = false;
                if !matches!(argument.as_str(), "c" | "assembler-with-cpp" | "assembler") {
                    return false;
                }
                continue;
            }
            match argument.as_str() {
                "-x" => language = true,
                "/dev/null" => inputs += 1,
                other if is_harmless(other) => acts |= matches!(other, "-c" | "-S" | "-E"),
                _ => return false,
            }
        }
        // Without an output's name `-c` would write into the working directory.
        let printed = self.arguments.iter().any(|a| a == "-E");
        inputs == 1 && acts && !language && (self.writes || printed)
    }
}

fn is_harmless(option: &str) -> bool {
    let simple = |text: &str| {
        text.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_=+,.:".contains(&b))
    };
    if PLAIN.contains(&option) || PATH_MAPS.iter().any(|map| option.starts_with(map)) {
        return true;
    }
    if REFUSED.iter().any(|refused| option.starts_with(refused)) || option.ends_with("=native") {
        return false;
    }
    // A list of what to sanitize is a file.
    if option.starts_with("-fsanitize") && option.contains("list=") {
        return false;
    }
    if let Some(options) = option.strip_prefix("-Wa,") {
        let mut each = options.split(',');
        return each.all(|o| ASSEMBLER.iter().any(|a| o.starts_with(a)) && simple(o));
    }
    if option.starts_with("-Wl,") || option.starts_with("-Wp,") {
        return false;
    }
    if option.starts_with("-D") || option.starts_with("-U") {
        return true;
    }
    let families = ["-W", "-f", "-m", "-O", "-std=", "--target=", "--param="];
    families.iter().any(|family| option.starts_with(family)) && simple(option)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(line: &str) -> Option<(Request, Option<String>)> {
        let call: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Request::of(PathBuf::from("/usr/bin/gcc"), &call)
    }

    #[test]
    fn what_kbuild_asks_is_a_probe() {
        let (request, output) = probe(
            "-Werror -D__KERNEL__ -fmacro-prefix-map=/usr/src/linux/= -std=gnu11 \
             -mindirect-branch=thunk-extern -Wa,-mx86-used-note=no -c -x c /dev/null -o .tmp_7/tmp",
        )
        .unwrap();
        assert_eq!(output.as_deref(), Some(".tmp_7/tmp"));
        assert!(request.writes && !request.arguments.contains(&".tmp_7/tmp".to_owned()));
        assert!(probe("-Wa,-gdwarf-5 -c -x assembler-with-cpp /dev/null -o /x/tmp").is_some());
        assert!(probe("-E -x c /dev/null").is_some());
    }

    #[test]
    fn where_the_output_goes_makes_no_other_probe() {
        let one = probe("-c -x c /dev/null -o a").unwrap().0;
        let other = probe("-c -o b -x c /dev/null").unwrap().0;
        assert_eq!(one, other);
    }

    #[test]
    fn whatever_could_read_or_write_more_is_none() {
        for line in [
            "-c -x c driver.c -o driver.o",
            "-c -x c /dev/null driver.c -o x",
            "-c -x c /dev/null",
            "-x c /dev/null -o a.out",
            "-c -x c - -o x",
            "-c -x c /dev/null -o x -o y",
            "-c -x c++ /dev/null -o x",
            "-c -x c /dev/null -o x -fplugin=./evil.so",
            "-c -x c /dev/null -o x -B.",
            "-c -x c /dev/null -o x -wrapper sh",
            "-c -x c /dev/null -o x -specs=mine",
            "-c -x c /dev/null -o x @options",
            "-c -x c /dev/null -o x -include config.h",
            "-c -x c /dev/null -o x -I.",
            "-c -x c /dev/null -o x -Wp,-MD,x.d",
            "-c -x c /dev/null -o x -MD",
            "-c -x c /dev/null -o x -save-temps",
            "-c -x c /dev/null -o x -march=native",
            "-c -x c /dev/null -o x -fstack-usage",
            "-c -x c /dev/null -o x -fprofile-use=a",
            "-c -x c /dev/null -o x -fsanitize-coverage-allowlist=a",
            "-c -x c /dev/null -o x -Wa,-aln=listing",
            "-c -x c /dev/null -o x -Wa,@file",
            "-g -E -x c /dev/null",
            "-ggdb3 -c -x c /dev/null -o x",
            "-gdwarf-5 -S -x c /dev/null -o x",
            "-fworking-directory -E -x c /dev/null",
            "-fdebug-compilation-dir=. -c -x c /dev/null -o x",
            "-frecord-gcc-switches -c -x c /dev/null -o x",
            "-flto -c -x c /dev/null -o x",
            "--coverage -c -x c /dev/null -o x",
            "-c /dev/null -o x -x",
            "-c -x c /dev/null -o",
        ] {
            assert!(probe(line).is_none(), "{line}");
        }
    }
}
