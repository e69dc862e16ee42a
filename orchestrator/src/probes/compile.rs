//! Asks the real compiler.

use std::{ffi::OsStr, fs, io, process::Stdio};

use super::{Answer, Request, certain::is_certain};
use crate::{plan::BuildSite, sandbox::View};

/// The largest answer that is kept; the object of nothing takes some hundred bytes.
const LONGEST_ANSWER: usize = 64 << 10;

/// Asks the compiler itself, in a sandbox of its own that shows nothing of any job; twice, if it says no.
///
/// None if what it said is not certain, or no answer to somebody else.
pub(super) fn ask(site: &BuildSite, request: &Request) -> Option<Answer> {
    let certain = || {
        let answer = compile(site, request).ok()??;
        is_certain(request, &answer).then_some(answer)
    };
    let answer = certain()?;
    (answer.code == 0 || certain()? == answer).then_some(answer)
}

fn compile(site: &BuildSite, request: &Request) -> io::Result<Option<Answer>> {
    let name = "probe";
    let scratch = site.scratch(name).map_err(io::Error::other)?;
    let layout = site.layout(name);
    fs::create_dir_all(scratch.run().join("bin"))?;
    fs::write(scratch.run().join("bin/uname"), [])?;
    let output = layout.out.join("output");
    let mut arguments: Vec<&OsStr> = request.arguments.iter().map(OsStr::new).collect();
    if request.writes {
        arguments.extend([OsStr::new("-o"), output.as_os_str()]);
    }
    let mut view = View::new(&layout, layout.out.clone());
    view.allowance = site.allowance;
    let program = request.program.as_os_str();
    let run = site
        .isolation
        .command(site.user, &layout, &view, &scratch, program, &arguments)?
        .stdin(Stdio::null())
        .output()?;
    let Some(code) = run.status.code().and_then(|code| u8::try_from(code).ok()) else {
        return Ok(None);
    };
    let path = scratch.out().join("output");
    let output = match fs::symlink_metadata(&path) {
        Ok(found) if found.is_file() => Some(fs::read(&path)?),
        _ => None,
    };
    let answer = Answer {
        code,
        out: run.stdout,
        err: run.stderr,
        output,
    };
    let size = answer.out.len() + answer.err.len() + answer.output.as_ref().map_or(0, Vec::len);
    // A message that names where this ran is no answer to somebody else.
    let place = layout.out.as_os_str().as_encoded_bytes();
    let named = [&answer.out, &answer.err]
        .iter()
        .any(|text| text.windows(place.len()).any(|part| part == place));
    Ok((size <= LONGEST_ANSWER && !named).then_some(answer))
}
