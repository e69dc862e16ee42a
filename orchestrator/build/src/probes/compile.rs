//! Asks the real compiler.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read},
    path::Path,
    time::Duration,
};

use kiln_durable::regular;
use kiln_sandbox::View;
use kiln_scheduler::{CancelToken, ProcessSpec, StopReason, run_process};

use super::{Answer, Request, certain::is_certain};
use crate::plan::BuildSite;

/// The largest answer that is kept; the object of nothing takes some hundred bytes.
pub(super) const LONGEST_ANSWER: u64 = 64 << 10;

/// How long the compiler may take, which takes some milliseconds. Who asks does not wait for so long, but the next may.
const TIME_LIMIT: Duration = Duration::from_secs(20);

/// Below the directory of its output: the directories in which the compiler is called. By their names and lengths, what follows
/// from a directory is not the same in both.
const PLACES: [&str; 2] = ["", "another/place"];

/// Asks the compiler itself, in a sandbox of its own that shows nothing of any job: twice, and in two directories. Once is
/// enough if it says, to the byte, what it has said to another question in both: that has nothing of a directory. `is_known` tells.
///
/// None if what it said is not certain, or no answer to somebody else, who asks in a third directory.
pub(super) fn ask(
    site: &BuildSite,
    request: &Request,
    is_known: impl FnOnce(&Answer) -> bool,
) -> Option<Answer> {
    let certain = |place| {
        let answer = compile(site, request, place, TIME_LIMIT).ok()??;
        is_certain(request, &answer).then_some(answer)
    };
    let [here, there] = PLACES;
    let answer = certain(here)?;
    (is_known(&answer) || certain(there)? == answer).then_some(answer)
}

fn compile(
    site: &BuildSite,
    request: &Request,
    place: &str,
    time_limit: Duration,
) -> io::Result<Option<Answer>> {
    let name = "probe";
    let scratch = site.scratch(name).map_err(io::Error::other)?;
    let layout = site.layout(name);
    fs::create_dir_all(scratch.run().join("bin"))?;
    fs::write(scratch.run().join("bin/uname"), [])?;
    fs::create_dir_all(scratch.out().join(place))?;
    let output = layout.out.join("output");
    let mut arguments: Vec<&OsStr> = request.arguments.iter().map(OsStr::new).collect();
    if request.writes {
        arguments.extend([OsStr::new("-o"), output.as_os_str()]);
    }
    let view = View::new(&layout, layout.out.join(place), site.allowance);
    let program = request.program.as_os_str();
    let command = site
        .isolation
        .command(site.user, &layout, &view, &scratch, program, &arguments)?;
    let (errors, written) = (scratch.path().join("errors"), scratch.out().join("output"));
    let mut out = Vec::new();
    let process = ProcessSpec {
        time_limit: Some(time_limit),
        output_limit: Some(LONGEST_ANSWER),
        grace: Duration::ZERO,
        watch: Some(Box::new(|_| {
            let is_long = [&errors, &written]
                .into_iter()
                .any(|path| length(path) > LONGEST_ANSWER);
            is_long.then_some(StopReason::OutputLimit)
        })),
        errors: Some(File::create(&errors)?),
        ..ProcessSpec::new(command)
    };
    let exit = run_process(process, &CancelToken::new(), &mut |chunk: &[u8]| {
        out.extend_from_slice(chunk);
    })
    .map_err(io::Error::other)?;
    let code = exit.status.code().filter(|_| exit.stopped.is_none());
    let Some(code) = code.and_then(|code| u8::try_from(code).ok()) else {
        return Ok(None);
    };
    let output = match fs::symlink_metadata(&written) {
        Ok(found) if found.is_file() => Some(start_of(&written)?),
        _ => None,
    };
    let answer = Answer {
        code,
        out,
        err: start_of(&errors)?,
        output,
    };
    // A message that names where this ran is no answer to somebody else.
    let place = layout.out.as_os_str().as_encoded_bytes();
    let texts = [Some(&answer.out), Some(&answer.err), answer.output.as_ref()];
    let named = texts
        .into_iter()
        .flatten()
        .any(|text| text.windows(place.len()).any(|part| part == place));
    Ok((answer.size() <= LONGEST_ANSWER && !named).then_some(answer))
}

/// The length of a file; none has no bytes.
fn length(path: &Path) -> u64 {
    fs::symlink_metadata(path).map_or(0, |found| found.len())
}

/// What a file begins with: all of it, or more than an answer may have.
fn start_of(path: &Path) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    regular::open_at_once(path)?
        .take(LONGEST_ANSWER + 1)
        .read_to_end(&mut start)?;
    Ok(start)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::probes::tests::site;

    fn request(command: &[&str]) -> Request {
        Request {
            program: PathBuf::from(command[0]),
            arguments: command[1..].iter().map(ToString::to_string).collect(),
            writes: false,
        }
    }

    #[test]
    fn a_compiler_that_does_not_end_is_ended() {
        let (_temp, site) = site();
        let limit = Duration::from_millis(500);
        let answer = compile(&site, &request(&["/usr/bin/sleep", "10"]), "", limit);
        assert_eq!(answer.unwrap(), None);
    }

    #[test]
    fn a_compiler_that_prints_without_end_is_ended() {
        let (_temp, site) = site();
        let endless = request(&["/usr/bin/yes", "words"]);
        assert_eq!(ask(&site, &endless, |_| true), None);
    }

    #[test]
    fn what_follows_from_the_directory_is_no_answer() {
        let (_temp, site) = site();
        let ask = |script| {
            let request = request(&["/usr/bin/sh", "-c", script]);
            ask(&site, &request, |answer| answer.out == b"known\n")
        };
        assert_eq!(ask("echo yes").unwrap().out, b"yes\n");
        assert_eq!(ask("pwd | wc -c"), None);
        // It is not asked in the other one.
        assert!(ask("[ -e ../another ] || echo known").is_some());
    }
}
