//! The token pool: counted exactly, repaired when nothing runs, and shared with real `make` processes.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use crossbeam_channel::bounded;
use kiln_scheduler::{
    CancelToken, Event, Executor, JobState, Lanes, LocalExecutor, Repair, RunOptions, Task,
    TokenPool, Verdict,
};
use support::{count, graph, run_recorded};

/// Makes a command that runs a bash script with the pool's pipe; `$R` and `$W` are the numbers of its ends.
fn script(tokens: &TokenPool, text: &str) -> Command {
    let env = tokens.make_env();
    let flags = env[0].1.to_str().unwrap();
    let (read, write) = flags
        .split_once("--jobserver-auth=")
        .unwrap()
        .1
        .split_once(',')
        .unwrap();
    let mut command = Command::new("bash");
    command.args(["-c", text]).env("R", read).env("W", write);
    tokens.inherit(&mut command);
    command
}

fn run_script(tokens: &TokenPool, text: &str) {
    let output = script(tokens, text).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn tokens_are_taken_and_come_back() {
    let tokens = TokenPool::new(count(2)).unwrap();
    let held = [tokens.try_acquire().unwrap(), tokens.try_acquire().unwrap()];
    assert!(tokens.try_acquire().is_none());
    drop(held);
    assert_eq!(tokens.available(), 2);
}

#[test]
fn who_asks_is_told_of_a_free_token() {
    let tokens = TokenPool::new(count(1)).unwrap();
    let held = tokens.try_acquire();
    let (sender, told) = bounded(1);
    tokens.notify_when_available(move || sender.send(()).unwrap());
    assert!(told.try_recv().is_err());
    drop(held);
    told.recv().unwrap();
    assert!(tokens.try_acquire().is_some(), "telling takes nothing");
}

#[test]
fn the_pipe_keeps_clear_of_descriptors_that_scripts_redirect() {
    let tokens = TokenPool::new(count(1)).unwrap();
    let (_, flags) = tokens.make_env().remove(0);
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
        let output = script(tokens, "echo $R $W; ls /proc/self/fd").output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    let first = TokenPool::new(count(1)).unwrap();
    let many: Vec<fs::File> = (0..100)
        .map(|_| fs::File::open("/dev/null").unwrap())
        .collect();
    let second = TokenPool::new(count(1)).unwrap();
    drop(many);
    assert_eq!(list(&first), list(&second));
    assert_eq!(first.make_env(), second.make_env());
}

#[test]
fn make_env_is_makeflags_alone_and_inherit_adds_nothing() {
    let tokens = TokenPool::new(count(1)).unwrap();
    let names: Vec<_> = tokens
        .make_env()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, ["MAKEFLAGS"]);
    let mut command = Command::new("true");
    tokens.inherit(&mut command);
    assert!(command.get_envs().all(|(_, value)| value.is_none()));
}

#[test]
fn stolen_tokens_are_put_back() {
    let tokens = TokenPool::new(count(4)).unwrap();
    run_script(&tokens, "head -c 3 /proc/self/fd/$R");
    assert_eq!(tokens.available(), 1);
    assert_eq!(
        tokens.repair(),
        Repair {
            added: 3,
            removed: 0
        }
    );
    assert_eq!(tokens.available(), 4);
}

#[test]
fn forged_tokens_are_removed() {
    let tokens = TokenPool::new(count(2)).unwrap();
    run_script(&tokens, "printf '+++++' >/proc/self/fd/$W");
    assert_eq!(tokens.available(), 7);
    assert_eq!(
        tokens.repair(),
        Repair {
            added: 0,
            removed: 5
        }
    );
    assert_eq!(tokens.available(), 2);
}

#[test]
fn nothing_is_repaired_while_a_token_is_held() {
    let tokens = TokenPool::new(count(2)).unwrap();
    let held = tokens.try_acquire();
    assert_eq!(tokens.repair(), Repair::default());
    drop(held);
    assert_eq!(tokens.available(), 2);
}

#[test]
fn a_child_that_changes_the_blocking_mode_disturbs_nobody() {
    let tokens = TokenPool::new(count(1)).unwrap();
    run_script(
        &tokens,
        "exec 2>/dev/null; dd iflag=nonblock count=0 <&$R && dd oflag=nonblock count=0 >&$W
         mode=$(sed -n 's/^flags:[[:space:]]*//p' /proc/$$/fdinfo/$R); (( 0$mode & 04000 ))",
    );
    let held = tokens.try_acquire().unwrap();
    assert!(tokens.try_acquire().is_none());
    drop(held);
    assert_eq!(tokens.available(), 1);
}

#[test]
fn a_full_pipe_does_not_block_a_release() {
    let tokens = TokenPool::new(count(1)).unwrap();
    let held = tokens.try_acquire();
    run_script(
        &tokens,
        "dd oflag=nonblock if=/dev/zero bs=4096 count=64 >&$W 2>/dev/null; true",
    );
    assert!(tokens.available() > 1000);
    drop(held);
    tokens.repair();
    assert_eq!(tokens.available(), 1);
}

/// Steals what it finds and dies; returns how many tokens it saw.
fn steal(tokens: &TokenPool) -> usize {
    let found = tokens.available();
    let status = script(tokens, "head -c 2 /proc/self/fd/$R >/dev/null; kill -9 $$")
        .status()
        .unwrap();
    assert_eq!(status.signal(), Some(9));
    std::thread::sleep(std::time::Duration::from_millis(110));
    found
}

/// What the jobs that failed had to say.
fn found_by_thieves(events: &[Event<usize>]) -> Vec<usize> {
    let found = events.iter().filter_map(|event| match event {
        Event::Finished {
            outcome,
            state: JobState::Failed,
            ..
        } => *outcome,
        _ => None,
    });
    found.collect()
}

/// The run goes on with all tokens each time nothing runs.
#[test]
fn a_run_survives_jobs_that_die_with_tokens() {
    let tokens = Arc::new(TokenPool::new(count(3)).unwrap());
    let lent = Arc::clone(&tokens);
    let executor = LocalExecutor::new(count(1), move |_: &Task<usize, usize>| {
        Verdict::Failed(steal(&lent))
    })
    .unwrap();
    let (_, events) = run_recorded(
        &graph(3, &[]),
        Lanes::local(&executor),
        &tokens,
        RunOptions::default(),
        &CancelToken::new(),
    );
    assert_eq!(found_by_thieves(&events), [2, 2, 2]);
    assert_eq!(tokens.available(), 3);
}

/// An engine with one task, which it ends when it is told so.
struct OneElsewhere(Arc<Mutex<Option<Task<usize, usize>>>>);

impl Executor<usize> for OneElsewhere {
    type Outcome = usize;

    fn slots(&self) -> usize {
        1
    }

    fn start(&self, task: Task<usize, usize>) {
        self.0.lock().unwrap().replace(task);
    }
}

#[test]
fn tokens_are_repaired_while_something_runs_elsewhere() {
    let tokens = Arc::new(TokenPool::new(count(3)).unwrap());
    let elsewhere = Arc::default();
    let remote = OneElsewhere(Arc::clone(&elsewhere));
    let lent = Arc::clone(&tokens);
    let local = LocalExecutor::new(count(1), move |task: &Task<usize, usize>| {
        let found = steal(&lent);
        if *task.payload() == 3 {
            let task = elsewhere.lock().unwrap().take();
            task.unwrap().finish(Verdict::Succeeded(0));
        }
        Verdict::Failed(found)
    })
    .unwrap();
    let (report, events) = run_recorded(
        &graph(4, &[]),
        Lanes::both(&local, &remote),
        &tokens,
        RunOptions::default(),
        &CancelToken::new(),
    );
    assert_eq!(found_by_thieves(&events), [2, 2, 2]);
    assert_eq!(report.counts().succeeded, 1);
    assert_eq!(tokens.available(), 3);
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
    command.envs(tokens.make_env());
    tokens.inherit(&mut command);
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
    let tokens = Arc::new(TokenPool::new(count(3)).unwrap());
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
    let tokens = Arc::new(TokenPool::new(count(2)).unwrap());
    run_makes(&tokens, root.path(), MEETING_MAKEFILE, 1, 2);
}
