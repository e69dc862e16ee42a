//! What jobs do to their own jobservers, and that it stays theirs.

#![allow(clippy::disallowed_methods)]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;
use kiln_scheduler::{Loan, TokenPool};
use support::count;
use support::jobserver::script;

/// What nothing here takes when all is well.
const LONG: Duration = Duration::from_secs(20);

/// A job that does what it is told, a line of bash at a time.
struct Job {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    loan: Option<Loan>,
}

impl Job {
    fn start(tokens: &TokenPool) -> Self {
        let orders = "while read -r line; do eval \"$line\"; echo; done";
        let (mut command, loan) = script(tokens, orders);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(command);
        Self {
            orders: child.stdin.take().unwrap(),
            answers: BufReader::new(child.stdout.take().unwrap()),
            child,
            loan: Some(loan),
        }
    }

    /// Has it run a line; gives the first line of the answer.
    fn tell(&mut self, line: &str) -> String {
        writeln!(self.orders, "{line}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        answer.trim().to_owned()
    }

    /// Has it take a token, which must come.
    fn take(&mut self) {
        let taken = self.tell("timeout 20 head -c 1 <&$R | wc -c | tr -d '\\n'");
        assert_eq!(taken, "1");
    }

    /// Has it take a token, and tells whether one came within a second.
    fn may_take(&mut self) -> bool {
        self.tell("timeout 1 head -c 1 <&$R | wc -c | tr -d '\\n'") == "1"
    }

    fn put(&mut self, count: usize) {
        self.tell(&format!("head -c {count} /dev/zero >&$W"));
    }

    /// An end of its pipe.
    fn end(&self, variable: &str) -> File {
        let environment = std::fs::read(format!("/proc/{}/environ", self.child.id())).unwrap();
        let environment = String::from_utf8(environment).unwrap();
        let prefix = format!("{variable}=");
        let number = environment
            .split('\0')
            .find_map(|variable| variable.strip_prefix(&prefix));
        let path = format!("/proc/{}/fd/{}", self.child.id(), number.unwrap());
        File::options()
            .read(variable == "R")
            .write(variable == "W")
            .open(path)
            .unwrap()
    }

    /// Kills it.
    fn end_of(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        drop(self.loan.take());
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until something is so.
fn until(is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + LONG;
    while !is_so() {
        assert!(Instant::now() < deadline);
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_job_gets_all_that_is_free_and_no_more() {
    let tokens = TokenPool::new(count(3));
    let mut job = Job::start(&tokens);
    for _ in 0..3 {
        job.take();
    }
    assert!(!job.may_take());
    assert_eq!(tokens.available(), 0);
    job.put(3);
    until(|| tokens.available() == 2);
    job.end_of();
    assert_eq!(tokens.available(), 3);
}

#[test]
fn what_a_job_floods_its_jobserver_with_is_nobodys() {
    let tokens = TokenPool::new(count(3));
    let own = [tokens.try_acquire().unwrap(), tokens.try_acquire().unwrap()];
    let mut flooder = Job::start(&tokens);
    let mut other = Job::start(&tokens);
    flooder.take();
    flooder.put(64_000);
    other.take();
    assert!(!other.may_take(), "two hold their own, and one has another");
    assert!(!flooder.may_take(), "what was forged is gone");
    assert_eq!(tokens.available(), 0);
    flooder.end_of();
    assert_eq!(tokens.available(), 0);
    other.end_of();
    drop(own);
    assert_eq!(tokens.available(), 3);
}

#[test]
fn a_job_that_floods_for_ever_disturbs_nobody() {
    let tokens = TokenPool::new(count(2));
    let mut flooder = Job::start(&tokens);
    let mut other = Job::start(&tokens);
    flooder.tell("cat /dev/zero >&$W & disown");
    for _ in 0..10 {
        other.take();
        assert!(tokens.available() <= 1);
        other.put(1);
    }
    flooder.tell("kill $!");
    flooder.end_of();
    other.end_of();
    assert_eq!(tokens.available(), 2);
}

#[test]
fn what_a_killed_job_had_is_free_while_others_run() {
    let tokens = TokenPool::new(count(3));
    let mut thief = Job::start(&tokens);
    let mut other = Job::start(&tokens);
    for _ in 0..2 {
        thief.take();
    }
    other.take();
    assert!(!other.may_take());
    thief.end_of();
    for _ in 0..2 {
        other.take();
    }
    assert!(!other.may_take());
    other.put(3);
    other.end_of();
    assert_eq!(tokens.available(), 3);
}

#[test]
fn an_offer_that_is_not_taken_goes_to_who_wants_it() {
    let tokens = TokenPool::new(count(1));
    let idle = [(); 3].map(|()| Job::start(&tokens));
    let mut last = Job::start(&tokens);
    for _ in 0..20 {
        last.take();
        last.put(1);
    }
    drop(idle);
}

#[test]
fn a_request_gets_an_offer_back() {
    let tokens = TokenPool::new(count(1));
    let _job = Job::start(&tokens);
    until(|| tokens.available() == 0);
    for _ in 0..20 {
        let (sender, handed) = bounded(1);
        tokens.request(move |token| sender.send(token).unwrap());
        drop(handed.recv_timeout(LONG).unwrap());
    }
}

#[test]
fn a_child_that_changes_the_blocking_mode_disturbs_nobody() {
    let tokens = TokenPool::new(count(1));
    let mut job = Job::start(&tokens);
    let mut other = Job::start(&tokens);
    let mode = job.tell(
        "{ dd iflag=nonblock count=0 <&$R && dd oflag=nonblock count=0 >&$W; } 2>/dev/null
         sed -n 's/^flags:[[:space:]]*//p' /proc/$$/fdinfo/$R"
            .replace('\n', ";")
            .as_str(),
    );
    assert_ne!(u32::from_str_radix(&mode, 8).unwrap() & 0o4000, 0);
    for _ in 0..3 {
        other.take();
        other.put(1);
    }
}

/// A make that gives back and takes all the time leaves the pipe never empty, and its page is not used again before it is.
#[test]
fn a_pipe_that_is_never_empty_does_not_fill() {
    let tokens = TokenPool::new(count(2));
    let mut job = Job::start(&tokens);
    job.take();
    let (mut out, mut back) = (job.end("R"), job.end("W"));
    let (sender, done) = bounded(1);
    thread::spawn(move || {
        for _ in 0..20_000 {
            back.write_all(b"+").unwrap();
            out.read_exact(&mut [0]).unwrap();
        }
        sender.send(()).unwrap();
    });
    done.recv_timeout(LONG).unwrap();
    job.put(1);
    job.end_of();
    assert_eq!(tokens.available(), 2);
}

/// splice(2) holds a pipe's lock while it waits for a socket that nobody reads; whoever touches the pipe waits as well.
#[test]
fn a_job_that_holds_its_pipe_up_holds_up_nobody_else() {
    let tokens = TokenPool::new(count(3));
    let holder = Job::start(&tokens);
    let mut other = Job::start(&tokens);
    let (full, nobody_reads) = UnixStream::pair().unwrap();
    full.set_nonblocking(true).unwrap();
    while (&full).write(&[0; 4096]).is_ok() {}
    full.set_nonblocking(false).unwrap();
    let end = holder.end("R");
    let held = thread::spawn(move || {
        rustix::pipe::splice(
            &end,
            None,
            &full,
            None,
            1,
            rustix::pipe::SpliceFlags::empty(),
        )
    });
    thread::sleep(Duration::from_millis(100));
    // The holder has one at most.
    for _ in 0..2 {
        other.take();
    }
    other.put(2);
    let (sender, handed) = bounded(1);
    tokens.request(move |token| sender.send(token).unwrap());
    drop(handed.recv_timeout(LONG).unwrap());
    drop(nobody_reads);
    let _ = held.join().unwrap();
    holder.end_of();
    other.end_of();
    assert_eq!(tokens.available(), 3);
}
