//! The token pool: counted exactly whatever jobs do, and lent to real `make` processes.

#![allow(clippy::disallowed_methods)]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use crossbeam_channel::bounded;
use kiln_scheduler::{CancelToken, Lanes, LocalExecutor, RunOptions, Task, TokenPool, Verdict};
use support::jobserver::script;
use support::{count, graph, run_recorded};

#[test]
fn tokens_are_taken_and_come_back() {
    let tokens = TokenPool::new(count(2));
    let held = [tokens.try_acquire().unwrap(), tokens.try_acquire().unwrap()];
    assert!(tokens.try_acquire().is_none());
    drop(held);
    assert_eq!(tokens.available(), 2);
}

#[test]
fn who_asks_is_handed_a_token_when_one_is_free() {
    let tokens = TokenPool::new(count(1));
    let held = tokens.try_acquire();
    let (sender, handed) = bounded(1);
    tokens.request(move |token| sender.send(token).unwrap());
    assert!(handed.try_recv().is_err());
    drop(held);
    let token = handed.recv().unwrap();
    assert!(tokens.try_acquire().is_none());
    drop(token);
    assert_eq!(tokens.available(), 1);
}

#[test]
fn who_asked_and_is_gone_keeps_no_token() {
    let tokens = TokenPool::new(count(1));
    let held = tokens.try_acquire();
    let (sender, handed) = bounded(1);
    tokens.request(move |token| drop(sender.send(token)));
    drop((handed, held));
    assert_eq!(tokens.available(), 1);
}

#[test]
fn the_pipe_keeps_clear_of_descriptors_that_scripts_redirect() {
    let (_, flags) = TokenPool::make_env().remove(0);
    let flags = flags.into_string().unwrap();
    let auth = flags.split("--jobserver-auth=").nth(1).unwrap();
    let numbers = auth.split_whitespace().next().unwrap().split(',');
    for number in numbers.map(|number| number.parse::<u32>().unwrap()) {
        assert!(number > 9, "{flags}");
    }
}

#[test]
fn what_is_open_here_shows_in_no_child() {
    let list = |tokens: &TokenPool| {
        let (mut command, _loan) = script(tokens, "echo $R $W; ls /proc/self/fd");
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    let tokens = TokenPool::new(count(1));
    let first = list(&tokens);
    let _many: Vec<fs::File> = (0..100)
        .map(|_| fs::File::open("/dev/null").unwrap())
        .collect();
    assert_eq!(first, list(&tokens));
}

#[test]
fn make_env_is_makeflags_alone_and_a_loan_adds_nothing() {
    let names: Vec<_> = TokenPool::make_env()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, ["MAKEFLAGS"]);
    let mut command = Command::new("true");
    let _loan = TokenPool::new(count(1)).lend(&mut command).unwrap();
    assert!(command.get_envs().all(|(_, value)| value.is_none()));
}

const COUNTING_MAKEFILE: &str = "\
all: a b c d e
a b c d e:
\t@touch ../running/$(JOB).$@; ls ../running | wc -l >>../seen; sleep 0.03; rm ../running/$(JOB).$@
";

/// Each recipe waits for the other to have started, so they end only if make runs both at once.
const MEETING_MAKEFILE: &str = "\
all: a b
a b:
\t@touch $@; for i in $$(seq 500); do test -e a -a -e b && exit 0; sleep 0.02; done; exit 1
";

fn make(tokens: &TokenPool, directory: &Path, job: usize) -> Output {
    let mut command = Command::new("make");
    command
        .arg(format!("JOB={job}"))
        .current_dir(directory)
        .env_clear()
        .env("PATH", "/usr/bin:/bin");
    command.envs(TokenPool::make_env());
    let _loan = tokens.lend(&mut command).unwrap();
    command.output().unwrap()
}

fn run_makes(tokens: &Arc<TokenPool>, root: &Path, makefile: &str, jobs: usize, threads: usize) {
    for job in 0..jobs {
        fs::create_dir(root.join(job.to_string())).unwrap();
        fs::write(root.join(job.to_string()).join("Makefile"), makefile).unwrap();
    }
    let (lent, directory) = (Arc::clone(tokens), root.to_owned());
    let executor = LocalExecutor::new(count(threads), move |task: &Task<usize, Output>| {
        let output = make(
            &lent,
            &directory.join(task.payload().to_string()),
            *task.payload(),
        );
        // A make that cannot use the pool says so, and goes on without it.
        let well = output.status.success() && output.stderr.is_empty();
        if well {
            Verdict::Succeeded(output)
        } else {
            Verdict::Failed(output)
        }
    })
    .unwrap();
    let (report, events) = run_recorded(
        &graph(jobs, &[]),
        Lanes::local(&executor),
        tokens,
        RunOptions::default(),
        &CancelToken::new(),
    );
    assert!(report.all_succeeded(), "{events:?}");
    assert_eq!(tokens.available(), tokens.size().get());
}

#[test]
fn makes_below_never_run_more_recipes_than_there_are_tokens() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("running")).unwrap();
    let tokens = Arc::new(TokenPool::new(count(3)));
    run_makes(&tokens, root.path(), COUNTING_MAKEFILE, 6, 6);
    let seen = fs::read_to_string(root.path().join("seen")).unwrap();
    let seen: Vec<usize> = seen
        .lines()
        .map(|line| line.trim().parse().unwrap())
        .collect();
    assert_eq!(seen.len(), 30);
    assert!(seen.iter().all(|&recipes| recipes <= 3), "{seen:?}");
}

#[test]
fn one_make_alone_uses_the_tokens_that_are_free() {
    let root = tempfile::tempdir().unwrap();
    let tokens = Arc::new(TokenPool::new(count(2)));
    run_makes(&tokens, root.path(), MEETING_MAKEFILE, 1, 2);
}

/// The first job has three recipes that wait for each other; the second ends after it.
const WIDE_AND_NARROW_MAKEFILE: &str = "\
ifeq ($(JOB),0)
all: a b c
else
all: d
endif
a b c:
\t@touch $@; for i in $$(seq 500); do test -e a -a -e b -a -e c && exit 0; sleep 0.02; done; exit 1
d:
\t@for i in $$(seq 500); do test -e ../0/a -a -e ../0/b -a -e ../0/c && exit 0; sleep 0.02; done; exit 1
";

#[test]
fn a_wide_make_gets_what_a_narrow_one_leaves() {
    let root = tempfile::tempdir().unwrap();
    let tokens = Arc::new(TokenPool::new(count(4)));
    run_makes(&tokens, root.path(), WIDE_AND_NARROW_MAKEFILE, 2, 2);
}
