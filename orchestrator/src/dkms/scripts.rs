//! The package's own scripts that run on the machine itself: POST_ADD, PRE_INSTALL,
//! POST_INSTALL, POST_REMOVE. (PRE_BUILD and POST_BUILD are part of a build.)

use std::{
    io::{self, Read},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
};

use kiln_kernel::package::PackageId;

use super::{
    Session,
    console::{Console, Died, Stream},
    framework::{POST_TRANSACTION, unread},
    locks::INSIDE,
    programs::is_executable,
    target::Target,
};

/// The directory and command line of a script, which the machine's owner may have replaced.
pub(crate) struct Script {
    pub(crate) directory: PathBuf,
    pub(crate) command: String,
}

impl Script {
    /// Finds the script `said` by a directive, below `directory` or in /etc/dkms.
    pub(crate) fn find(package: &PackageId, directory: PathBuf, said: &str) -> Self {
        let program = said.split(' ').next().unwrap_or_default();
        let own = Path::new("/etc/dkms").join(package.name.as_str());
        let directory = if is_executable(&own.join(program)) {
            own
        } else {
            directory
        };
        Self {
            command: format!("{}/{said}", directory.display()),
            directory,
        }
    }

    /// Whether it can be run at all.
    pub(crate) fn is_executable(&self) -> bool {
        is_executable(Path::new(self.program()))
    }

    /// The program itself.
    pub(crate) fn program(&self) -> &str {
        self.command.split(' ').next().unwrap_or_default()
    }
}

impl Session {
    /// Runs a script of a package, in its source directory; one that belongs to an
    /// installation finds its kernel in the environment. Gives its exit status; a script that
    /// is not executable is only complained about, and one that the owner does not want named.
    ///
    /// # Errors
    /// Ends where others could have changed the script, if that is wanted.
    pub(crate) fn run_script(
        &mut self,
        package: &PackageId,
        target: Option<&Target>,
        name: &str,
        said: Option<&str>,
    ) -> Result<i32, Died> {
        let Some(said) = said else {
            return Ok(0);
        };
        let script = Script::find(package, self.tree.source(package), said);
        if let Some(reason) = self.refusal_of_scripts() {
            self.console.line(format_args!(
                "Not running the {name} script ({reason}): {}",
                script.command
            ));
            return Ok(0);
        }
        if !script.is_executable() {
            self.say_not_executable(name);
            return Ok(0);
        }
        self.judge_script(package, name, &script)?;
        self.console
            .line(format_args!("Running the {name} script:"));
        let mut words = script.command.split_whitespace();
        let mut command = Command::new(words.next().unwrap_or_default());
        command
            .args(words)
            .current_dir(&script.directory)
            // As a shell names it that has changed there by way of links.
            .env("PWD", &script.directory)
            .stdin(Stdio::inherit());
        if self.transaction.is_some() {
            command.env(INSIDE, "1");
        }
        if let Some(target) = target {
            command
                .env("module", package.name.as_str())
                .env("module_version", package.version.as_str())
                .env("kernelver", target.kernel.as_str())
                .env("arch", target.arch.as_str());
        }
        Ok(run(&mut self.console, command))
    }

    /// Why no script of a package is run on the machine itself, if none is.
    pub(super) fn refusal_of_scripts(&self) -> Option<&'static str> {
        if self.arguments.no_scripts {
            return Some("--no-scripts");
        }
        match self.variables.value("no_scripts") {
            "" | "false" => None,
            _ => Some("no_scripts in framework.conf"),
        }
    }

    /// Complains about a script that cannot be run.
    pub(crate) fn say_not_executable(&mut self, name: &str) {
        self.console.line("");
        self.console
            .warn(&[&format!("The {name} script is not executable.")]);
    }

    /// Ends if a program was killed, or the command is to stop: what the program did not do, it might have done.
    ///
    /// # Errors
    /// Ends with 128 and the signal, as a shell does.
    pub(crate) fn must_have_ended(
        &mut self,
        program: &str,
        status: ExitStatus,
    ) -> Result<(), Died> {
        let interrupted = !status.success() && self.cancel.is_cancelled();
        let signal = status
            .signal()
            .filter(|signal| FROM_OUTSIDE.contains(signal));
        let signal = signal.or_else(|| interrupted.then_some(libc::SIGINT));
        let Some(signal) = signal else {
            return Ok(());
        };
        let said = format!("{program} was ended by signal {signal}; run the command again.");
        Err(self.console.die(128 + signal, &[&said]))
    }

    /// Runs framework.conf's `post_transaction`, with a log of its own.
    ///
    /// # Errors
    /// Ends where others could have changed its program, if that is wanted.
    pub(crate) fn run_post_transaction(&mut self) -> Result<(), Died> {
        if self.variables.value("post_transaction").is_empty() {
            return Ok(());
        }
        let (kernel, arch) = self
            .targets
            .first()
            .map(|target| (target.kernel.to_string(), target.arch.to_string()))
            .unwrap_or_default();
        let mut variables = self.variables.clone();
        let scope = [("kernelver", kernel.as_str()), ("arch", &arch)];
        if let Err(error) = variables.read(POST_TRANSACTION, &scope) {
            self.console.warn(&[&unread(&error)]);
            return Ok(());
        }
        let command = variables.value("post_transaction").to_owned();
        self.judge_command("post_transaction", &command)?;
        let title = "Executing post-transaction command";
        self.announce(&command, title);
        let log = self.tree.root.join("post_transaction.log");
        let status = logged(
            &command,
            title,
            &log,
            &[("kernelver", &kernel), ("arch", &arch)],
        );
        self.say_end(&command, status);
        Ok(())
    }
}

/// Signals that others send: the user, the system when it stops, the kernel when memory runs out.
const FROM_OUTSIDE: [i32; 5] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGKILL,
    libc::SIGTERM,
];

/// Runs a command whose words go where the console's go; gives its exit status.
pub(crate) fn run(console: &mut Console, mut command: Command) -> i32 {
    if console.is_quiet() {
        command.stdout(Stdio::null()).stderr(Stdio::null());
    } else if console.is_holding() {
        return captured(console, command).unwrap_or(127);
    }
    match command.status() {
        Ok(status) => exit_status(status),
        Err(error) if error.kind() == io::ErrorKind::NotFound => 127,
        Err(_) => 126,
    }
}

/// Runs a command and keeps its words with those that the console holds back. Where both
/// outputs go to one place, their order there is kept.
fn captured(console: &mut Console, mut command: Command) -> io::Result<i32> {
    let (out, out_end) = io::pipe()?;
    let mut sources = vec![(Stream::Out, out)];
    if is_one_output() {
        command.stderr(out_end.try_clone()?);
    } else {
        let (err, err_end) = io::pipe()?;
        sources.push((Stream::Err, err));
        command.stderr(err_end);
    }
    command.stdout(out_end);
    let mut child = command.spawn()?;
    // The command holds the ends that are written to.
    drop(command);
    let (sender, words) = mpsc::channel();
    for (stream, mut source) in sources {
        let sender = sender.clone();
        thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(length @ 1..) = source.read(&mut chunk) {
                let text = String::from_utf8_lossy(&chunk[..length]).into_owned();
                if sender.send((stream, text)).is_err() {
                    break;
                }
            }
        });
    }
    drop(sender);
    for (stream, text) in words {
        console.words(stream, text);
    }
    Ok(exit_status(child.wait()?))
}

/// Whether standard output and standard error are the same file, pipe or terminal.
fn is_one_output() -> bool {
    let identity = |fd| {
        rustix::fs::fstat(fd)
            .map(|stat| (stat.st_dev, stat.st_ino))
            .ok()
    };
    let (out, err) = (
        identity(rustix::stdio::stdout()),
        identity(rustix::stdio::stderr()),
    );
    out.is_some() && out == err
}

/// The exit status as a shell gives it.
pub(crate) fn exit_status(status: ExitStatus) -> i32 {
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// Runs a shell command with a log in the form of make.log.
fn logged(command: &str, title: &str, log: &Path, variables: &[(&str, &str)]) -> i32 {
    use std::io::Write;
    // Not what others may have put there: a link, a pipe.
    let _ = std::fs::remove_file(log);
    let Ok(mut file) = std::fs::File::create_new(log) else {
        return 1;
    };
    let started = std::time::Instant::now();
    let _ = write!(file, "\n{title}\n# command: {command}\n");
    let Ok(errors) = file.try_clone() else {
        return 1;
    };
    let Ok(output) = file.try_clone() else {
        return 1;
    };
    let status = Command::new("bash")
        .args(["-c", command])
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .status()
        .map_or(127, exit_status);
    let seconds = started.elapsed().as_secs();
    let _ = write!(
        file,
        "\n# exit code: {status}\n# elapsed time: {:02}:{:02}:{:02}\n{}\n",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        "-".repeat(64)
    );
    status
}
