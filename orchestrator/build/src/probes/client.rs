//! The compiler's name in a sandbox: answers a probe, or becomes the real compiler.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs,
    io::{self, Read, Write},
    net::Shutdown,
    os::unix::{net::UnixStream, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::Duration,
};

use kiln_kernel::toolbox::SEARCH_PATH;

use super::{Answer, Request};

/// What kiln is called where it stands in for compilers.
pub const COMPILER_NAME: &str = "kiln-cc";

/// The variable that names the server's socket, or the directory of a sheet.
pub const SOCKET_VARIABLE: &str = "KILN_PROBES";

/// An answer is there at once, or after one call of the compiler.
const PATIENCE: Duration = Duration::from_secs(5);

/// Variables by which GCC and clang find their parts, do more than they are told, or speak another
/// language (gcc(1), "Environment variables affecting GCC"). With one of them nothing is asked.
pub(super) const VARIABLES: [&str; 15] = [
    "GCC_EXEC_PREFIX",
    "COMPILER_PATH",
    "LIBRARY_PATH",
    "CPATH",
    "C_INCLUDE_PATH",
    "DEPENDENCIES_OUTPUT",
    "SUNPRO_DEPENDENCIES",
    "GCC_COMPARE_DEBUG",
    "GCC_EXTRA_DIAGNOSTIC_OUTPUT",
    "CCC_OVERRIDE_OPTIONS",
    "CC_PRINT_OPTIONS",
    "LD_PRELOAD",
    "LANG",
    "LC_MESSAGES",
    "LANGUAGE",
];

/// Whether this program stands in for a compiler.
pub fn is_called_as_compiler() -> bool {
    env::current_exe().is_ok_and(|path| path.file_name() == Some(OsStr::new(COMPILER_NAME)))
}

/// Does what the compiler called `program` would do.
pub fn answer_or_compile(program: &OsStr, arguments: Vec<OsString>) -> ExitCode {
    let name = Path::new(program).file_name().unwrap_or(program);
    let Some(real) = real_compiler(name) else {
        // The words and the code of a shell that finds no such program.
        let _ = writeln!(io::stderr(), "{}: not found", name.to_string_lossy());
        return ExitCode::from(127);
    };
    if let Some(code) = answer(&real, &arguments) {
        return ExitCode::from(code);
    }
    // By its whole path: GCC looks for its parts from there, not from the name's first place in PATH.
    let error = Command::new(&real).args(arguments).exec();
    let _ = writeln!(io::stderr(), "{}: {error}", real.display());
    ExitCode::from(126)
}

/// The next program of this name in PATH that is not this one.
fn real_compiler(name: &OsStr) -> Option<PathBuf> {
    let this = env::current_exe().ok()?;
    let path = env::var_os("PATH").or_else(|| env::join_paths(SEARCH_PATH).ok())?;
    env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|path| fs::canonicalize(path).is_ok_and(|found| found != this && found.is_file()))
}

fn answer(real: &Path, arguments: &[OsString]) -> Option<u8> {
    // Most calls are compilations; they shall lose no time.
    if !arguments.iter().any(|argument| argument == "/dev/null") {
        return None;
    }
    let socket = env::var_os(SOCKET_VARIABLE)?;
    if VARIABLES.iter().any(|name| env::var_os(name).is_some())
        || env::var_os("LC_ALL").is_none_or(|locale| locale != "C")
    {
        return None;
    }
    let call: Vec<String> = arguments
        .iter()
        .map(|argument| argument.to_str().map(str::to_owned))
        .collect::<Option<_>>()?;
    let (request, output) = Request::of(real.to_owned(), &call)?;
    let answer = ask(&socket, &request).ok()?;
    if let (Some(path), Some(content)) = (output, &answer.output) {
        fs::write(path, content).ok()?;
    }
    io::stdout().write_all(&answer.out).ok()?;
    io::stderr().write_all(&answer.err).ok()?;
    Some(answer.code)
}

fn ask(socket: &OsStr, request: &Request) -> io::Result<Answer> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&serde_json::to_vec(request)?)?;
    stream.shutdown(Shutdown::Write)?;
    let mut text = Vec::new();
    stream.read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}
