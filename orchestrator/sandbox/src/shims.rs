//! Small programs that stand first in a sandbox's PATH.
//!
//! `uname` answers for the kernel that is built for: Makefiles ask it, and the running
//! kernel has no say in a build. `make` turns any `-j` of its caller into the shared
//! jobserver, so that no build brings its own number of jobs.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use kiln_durable::regular;
use kiln_kernel::{Arch, KernelRelease};

use super::{MakeSettings, sys};

/// Text of the `uname` that answers for `release` on `arch`.
pub fn uname_script(release: &KernelRelease, arch: &Arch) -> String {
    let (release, arch) = (quote(release.as_str()), quote(arch.as_str()));
    let names = format!("release={release} machine={arch}");
    include_str!("uname.sh").replace("@NAMES@", &names)
}

/// Quotes a value for a shell.
pub fn quote(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

/// The script that stands in for make, with gaps for what it goes by.
pub const MAKE_SCRIPT: &str = include_str!("make.sh");

/// Text of the `make` that becomes the make at `real`.
pub fn make_script(real: &Path, settings: &MakeSettings) -> String {
    let gaps = [
        ("@MAKE@", real.as_os_str()),
        ("@JOBSERVER@", &settings.jobserver),
        ("@KERNEL@", &settings.kernel_dir),
    ];
    gaps.iter()
        .fold(MAKE_SCRIPT.to_owned(), |text, (gap, value)| {
            text.replace(gap, &quote(&value.to_string_lossy()))
        })
}

/// Writes the `uname` of a kernel into the directory `bin`.
///
/// # Errors
/// Fails if the file cannot be written.
pub fn write_uname(bin: &Path, release: &KernelRelease, arch: &Arch) -> io::Result<()> {
    fs::create_dir_all(bin)?;
    write_program(&bin.join("uname"), &uname_script(release, arch))
}

/// How long a new program is waited for. A child that is forked takes some milliseconds to become its program.
const PATIENCE: Duration = Duration::from_secs(5);

/// Writes an executable file, which can be executed at once.
///
/// # Errors
/// Fails if the file cannot be written.
pub fn write_program(path: &Path, text: &str) -> io::Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    // A child that another thread has just forked has it open for writing until it is another program, and what is open
    // for writing cannot be executed.
    let file = regular::open_at_once(path)?;
    let began = Instant::now();
    while sys::is_open_for_writing(&file) && began.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// A `uname`, asked with nothing in its environment.
    fn ask(arguments: &[&str]) -> (i32, String, String) {
        ask_of("6.1.0-99-test", arguments)
    }

    /// That of a kernel.
    fn ask_of(release: &str, arguments: &[&str]) -> (i32, String, String) {
        let temp = tempfile::tempdir().unwrap();
        let release = KernelRelease::new(release).unwrap();
        write_uname(temp.path(), &release, &Arch::new("x86_64").unwrap()).unwrap();
        let mut command = Command::new(temp.path().join("uname"));
        command
            .args(arguments)
            .env_clear()
            .env("BASH_FUNC_echo%%", "() { :; }")
            .env("s", "1");
        let run = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            run.status.code().unwrap(),
            text(run.stdout),
            text(run.stderr),
        )
    }

    #[test]
    fn a_release_is_no_part_of_a_program() {
        for release in ["6.1'-x", "6';id;'", "6$(id)`id`", "6\\\"@NAMES@", "6'\\''"] {
            let (code, out, err) = ask_of(release, &["-r"]);
            assert_eq!((code, out.trim_end(), err.as_str()), (0, release, ""));
        }
    }

    #[test]
    fn uname_answers_for_the_target_kernel() {
        for (arguments, answer) in [
            (&["-r"][..], "6.1.0-99-test"),
            (&["--kernel-release"], "6.1.0-99-test"),
            (&["--kernel-r"], "6.1.0-99-test"),
            (&["-rm"], "6.1.0-99-test x86_64"),
            (&["-m", "-s"], "Linux x86_64"),
            (&["-m", "--"], "x86_64"),
            (&[], "Linux"),
            (&["-v"], "#1 SMP"),
            (&["-n"], "kiln"),
            (&["-p"], "unknown"),
            (&["-io"], "unknown GNU/Linux"),
            (&["--operating-system"], "GNU/Linux"),
            (&["-a"], "Linux kiln 6.1.0-99-test #1 SMP x86_64 GNU/Linux"),
            (
                &["--all"],
                "Linux kiln 6.1.0-99-test #1 SMP x86_64 GNU/Linux",
            ),
        ] {
            assert_eq!(ask(arguments), (0, format!("{answer}\n"), String::new()));
        }
    }

    #[test]
    fn uname_refuses_as_the_real_one_does() {
        for arguments in [
            &["-x"][..],
            &["--nonsense"],
            &["--kernel"],
            &["--machine=x"],
            &["operand"],
            &["-r", "operand"],
            &["--", "-r"],
            &["-"],
        ] {
            let real = Command::new("uname")
                .args(arguments)
                .env("LC_ALL", "C")
                .output()
                .unwrap();
            let (code, out, err) = ask(arguments);
            assert_eq!(Some(code), real.status.code(), "{arguments:?}");
            assert_eq!(out, "");
            assert_eq!(err, String::from_utf8(real.stderr).unwrap());
        }
        let (code, out, _) = ask(&["--help"]);
        assert!(
            code == 0 && out.starts_with("Usage: uname [OPTION]...\n"),
            "{out}"
        );
        let (code, out, _) = ask(&["--version"]);
        assert!(code == 0 && out.starts_with("uname (kiln) "), "{out}");
    }

    #[test]
    fn a_new_program_is_not_open_for_writing() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("program");
        let writer = fs::File::create(&path).unwrap();
        let file = regular::open_at_once(&path).unwrap();
        assert!(sys::is_open_for_writing(&file));
        // As a child of another thread does.
        let other = thread::spawn(move || {
            thread::sleep(Duration::from_millis(100));
            drop(writer);
        });
        write_program(&path, "#!/bin/sh\n").unwrap();
        assert!(!sys::is_open_for_writing(&file));
        assert!(Command::new(&path).status().unwrap().success());
        other.join().unwrap();
    }
}
