//! Actions that run on an engine, and what can become of them.

use std::fs;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use kiln_remote::{
    Blob, Cached, Done, Executor, Handle, Mode, Options, RemoteError, Stage, Tree, Work,
};

use crate::buildgrid::{BuildGrid, Door};
use crate::casd::Casd;
use crate::proxy::{Proxy, Way};
use crate::site::options;

fn exec_options(endpoint: &str) -> Options {
    let mut options = options(endpoint);
    options.budget = kiln_remote::Budget::execution();
    options
}

pub(crate) fn executor(endpoint: &str) -> Executor {
    Executor::new(exec_options(endpoint)).unwrap()
}

/// What an action's root needs for the programs of the worker to be found.
pub(crate) fn root() -> kiln_remote::TreeBuilder {
    let mut builder = Tree::builder();
    for (name, target) in [
        ("bin", "usr/bin"),
        ("lib", "usr/lib"),
        ("lib64", "usr/lib64"),
        ("sbin", "usr/sbin"),
    ] {
        builder.symlink(name, target).unwrap();
    }
    for directory in ["usr", "tmp", "work"] {
        builder.directory(directory).unwrap();
    }
    builder
}

/// A shell script in a folder with these files.
pub(crate) fn script(text: &str, files: &[(&str, &str)]) -> Work {
    let mut builder = root();
    for (path, content) in files {
        let blob = Blob::bytes(*content);
        builder
            .file(&format!("work/{path}"), blob, Mode::Plain)
            .unwrap();
    }
    Work {
        argv: ["/bin/sh", "-c", text].map(str::to_owned).to_vec(),
        environment: [("PATH".to_owned(), "/usr/bin:/bin".to_owned())].into(),
        directory: "work".to_owned(),
        outputs: vec!["out".to_owned()],
        platform: [("OSFamily".to_owned(), "linux".to_owned())].into(),
        inputs: builder.finish(),
        timeout: None,
        deadline: None,
        cached: Cached::Use,
        download: None,
    }
}

/// An action under way: what is heard of it.
pub(crate) struct UnderWay {
    pub(crate) handle: Handle,
    stages: mpsc::Receiver<Stage>,
    done: mpsc::Receiver<Result<Done, RemoteError>>,
}

pub(crate) fn submit(executor: &Executor, work: Work) -> UnderWay {
    let (stage, stages) = mpsc::channel();
    let (tell, done) = mpsc::channel();
    let handle = executor.submit(
        work,
        move |now| {
            let _ = stage.send(now);
        },
        move |ended| tell.send(ended).unwrap(),
    );
    UnderWay {
        handle,
        stages,
        done,
    }
}

impl UnderWay {
    pub(crate) fn wait_for(&self, stage: Stage) {
        let found = self.stages.iter().any(|now| now == stage);
        assert!(found, "never {stage:?}: {:?}", self.done.try_recv());
    }

    pub(crate) fn end(&self) -> Result<Done, RemoteError> {
        self.done.recv().unwrap()
    }
}

/// Whether a process has this among its arguments.
pub(crate) fn is_running(mark: &str) -> bool {
    fs::read_dir("/proc").unwrap().any(|entry| {
        let arguments = fs::read(entry.unwrap().path().join("cmdline"));
        let arguments = arguments.unwrap_or_default();
        arguments
            .split(|byte| *byte == 0)
            .any(|argument| argument == mark.as_bytes())
    })
}

pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..600 {
        if done() {
            return;
        }
        sleep(Duration::from_millis(100));
    }
    panic!("{what}: not within a minute");
}

#[test]
fn an_action_runs() {
    let casd = Casd::engine();
    let executor = executor(&casd.endpoint());
    assert!(executor.check().unwrap().execution);
    let folder = tempfile::tempdir().unwrap();
    let text = "mkdir -p out/deep; cat in >out/copy; cp /bin/true out/deep/tool; ln -s copy out/link; \
                head -c 9000000 /dev/zero >out/large; echo said; echo complained >&2; exit 3";
    let mut work = script(text, &[("in", "content\n")]);
    work.download = Some(folder.path().join("made"));
    let done = executor.run(work.clone()).unwrap();
    assert_eq!(done.exit_code, 3);
    assert_eq!(
        (done.stdout.as_slice(), done.stderr.as_slice()),
        (&b"said\n"[..], &b"complained\n"[..])
    );
    assert!(!done.cached);
    let files: Vec<_> = done
        .files
        .iter()
        .map(|file| (file.path.as_str(), file.executable))
        .collect();
    assert_eq!(
        files,
        [
            ("out/copy", false),
            ("out/deep/tool", true),
            ("out/large", false)
        ]
    );
    assert_eq!(done.symlinks, [("out/link".to_owned(), "copy".to_owned())]);
    let made = |name: &str| fs::read(folder.path().join("made/out").join(name)).unwrap();
    assert_eq!(made("copy"), b"content\n");
    assert_eq!(made("link"), b"content\n");
    assert_eq!(made("deep/tool"), fs::read("/bin/true").unwrap());
    assert_eq!(made("large"), vec![0; 9_000_000]);
}

#[test]
fn a_result_is_used_again_if_that_is_wanted() {
    let casd = Casd::engine();
    let executor = executor(&casd.endpoint());
    let mut work = script("date +%N >out", &[]);
    let first = executor.run(work.clone()).unwrap();
    let second = executor.run(work.clone()).unwrap();
    assert!(!first.cached && second.cached);
    assert_eq!(first.files, second.files);
    work.cached = Cached::Rerun;
    let third = executor.run(work.clone()).unwrap();
    assert!(!third.cached);
    assert_ne!(third.files, second.files);
    work.cached = Cached::Use;
    assert_eq!(executor.run(work.clone()).unwrap().files, third.files);
    work.cached = Cached::Never;
    assert!(!executor.run(work.clone()).unwrap().cached);
    assert!(!executor.run(work).unwrap().cached);
}

#[test]
fn an_engine_without_execution() {
    let casd = Casd::start();
    let grid = BuildGrid::start(Door::Open);
    for endpoint in [casd.endpoint(), grid.endpoint()] {
        let executor = executor(&endpoint);
        let error = executor.run(script("true", &[])).unwrap_err();
        assert!(matches!(error, RemoteError::GaveUp(_)), "{error:?}");
        let endpoint: kiln_remote::Endpoint = endpoint.parse().unwrap();
        let message = format!("{endpoint} is a cache without remote execution");
        assert_eq!(error.to_string(), message);
    }
}

/// What the server says of an action on its way is passed on, each thing once.
#[test]
fn stages_are_told() {
    let casd = Casd::engine();
    let executor = executor(&casd.endpoint());
    let action = submit(&executor, script("echo made >out", &[]));
    action.end().unwrap();
    let stages: Vec<_> = action.stages.iter().collect();
    assert_eq!(stages.first(), Some(&Stage::Uploading));
    assert!(stages.contains(&Stage::Queued));
    assert_eq!(stages.last(), Some(&Stage::Downloading));
    println!("{stages:?}");
}

/// A kernel's headers go there once, whatever number of actions needs them.
#[test]
fn a_kernel_tree_is_uploaded_once() {
    let headers = fs::read_dir("/usr/src")
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let headers = headers.filter(|path| path.display().to_string().ends_with("-common"));
    let headers = headers
        .max()
        .expect("tests/provision.sh installs kernel headers");
    let casd = Casd::engine();
    let executor = executor(&casd.endpoint());
    let started = Instant::now();
    let kernel = Tree::of_directory(&headers).unwrap();
    println!(
        "{} entries hashed in {:?}",
        kernel.size(),
        started.elapsed()
    );
    let run = |text: &str| {
        let before = (executor.statistics(), Instant::now());
        let mut builder = Tree::builder();
        builder.tree("usr/src/headers", &kernel).unwrap();
        let mut work = script(text, &[("in", text)]);
        builder.tree("", &work.inputs).unwrap();
        work.inputs = builder.finish();
        let done = executor.run(work).unwrap();
        assert_eq!(
            done.exit_code,
            0,
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
        let sent = executor.statistics().bytes_sent - before.0.bytes_sent;
        println!("{:?}, {sent} bytes sent", before.1.elapsed());
        sent
    };
    assert!(run("test -e /usr/src/headers/Makefile") > 10_000_000);
    assert!(run("test -e /usr/src/headers/arch") < 10_000);
    assert!(run("test -d /usr/src/headers/include") < 10_000);
}

#[test]
fn an_evicted_input_is_uploaded_again() {
    let casd = Casd::engine();
    let executor = executor(&casd.endpoint());
    let input = Blob::bytes("an input that will be lost\n");
    let run = |text: &str| executor.run(script(text, &[("in", "an input that will be lost\n")]));
    assert_eq!(
        run("cat in").unwrap().stdout,
        b"an input that will be lost\n"
    );
    fs::remove_file(casd.blob(&input.digest().hash())).unwrap();
    let done = run("set -e; cat in; echo again").unwrap();
    assert_eq!(done.stdout, b"an input that will be lost\nagain\n");
    assert_eq!(executor.statistics().retries, 1);
}

#[test]
fn an_evicted_output_is_made_again() {
    let casd = Casd::engine();
    let executor = executor(&casd.endpoint());
    let folder = tempfile::tempdir().unwrap();
    let mut work = script("echo made >out", &[]);
    work.download = Some(folder.path().join("first"));
    let first = executor.run(work.clone()).unwrap();
    fs::remove_file(casd.blob(&first.files[0].digest.hash())).unwrap();
    work.download = Some(folder.path().join("second"));
    let second = executor.run(work).unwrap();
    assert!(!second.cached);
    assert_eq!(
        fs::read(folder.path().join("second/out")).unwrap(),
        b"made\n"
    );
}

#[test]
fn a_cancelled_action_ends_there_too() {
    let casd = Casd::engine();
    let executor = executor(&casd.endpoint());
    let one = submit(&executor, script("sleep 1000.0000101", &[]));
    let other = submit(&executor, script("sleep 1000.0000102", &[]));
    wait_until("they run", || {
        is_running("1000.0000101") && is_running("1000.0000102")
    });
    one.handle.cancel();
    assert!(matches!(one.end(), Err(RemoteError::Cancelled)));
    wait_until("one has gone", || !is_running("1000.0000101"));
    assert!(is_running("1000.0000102"));
    // What waits for a place is cancelled as well.
    let waiting: Vec<_> = (0..10)
        .map(|number| {
            submit(
                &executor,
                script(&format!("sleep 1000.00002{number:02}"), &[]),
            )
        })
        .collect();
    executor.cancel_all();
    assert!(matches!(other.end(), Err(RemoteError::Cancelled)));
    for action in waiting {
        assert!(matches!(action.end(), Err(RemoteError::Cancelled)));
    }
    wait_until("all have gone", || {
        !is_running("1000.0000102")
            && !(0..10).any(|number| is_running(&format!("1000.00002{number:02}")))
    });
}

#[test]
fn an_action_that_takes_too_long() {
    let casd = Casd::engine();
    let executor = executor(&casd.endpoint());
    let mut work = script("sleep 1000.0000301", &[]);
    work.deadline = Some(Duration::from_secs(2));
    let error = executor.run(work).unwrap_err();
    assert!(matches!(error, RemoteError::TimedOut { .. }), "{error:?}");
    wait_until("it has gone", || !is_running("1000.0000301"));
    assert!(executor.gave_up().is_none());
}

#[test]
fn a_broken_stream_is_taken_up_again() {
    let casd = Casd::engine();
    let proxy = Proxy::new(casd.port(), Way::Pass);
    let executor = executor(&proxy.endpoint());
    let action = submit(&executor, script("sleep 2.0000401; date +%N >out", &[]));
    wait_until("it runs", || is_running("2.0000401"));
    proxy.cut();
    let done = action.end().unwrap();
    assert_eq!(done.exit_code, 0);
    assert!(executor.statistics().retries >= 1);
    // It ran once: the result in the cache is the one that we were told.
    let again = executor
        .run(script("sleep 2.0000401; date +%N >out", &[]))
        .unwrap();
    assert_eq!(again.files, done.files);
}

#[test]
fn a_restarted_server_executes_again() {
    let mut casd = Casd::engine();
    let executor = executor(&casd.endpoint());
    let action = submit(&executor, script("sleep 2.0000502; echo made >out", &[]));
    wait_until("it runs", || is_running("2.0000502"));
    casd.restart();
    let done = action.end().unwrap();
    assert_eq!(done.exit_code, 0);
    assert_eq!(done.files.len(), 1);
    assert!(executor.gave_up().is_none());
}

#[test]
fn a_server_that_does_not_come_back() {
    let mut casd = Casd::engine();
    let mut options = exec_options(&casd.endpoint());
    options.budget.attempts = 3;
    let executor = Executor::new(options).unwrap();
    let action = submit(&executor, script("sleep 2.0000503; echo made >out", &[]));
    wait_until("it runs", || is_running("2.0000503"));
    casd.kill();
    let error = action.end().unwrap_err();
    assert!(matches!(error, RemoteError::GaveUp(_)), "{error:?}");
    assert!(error.to_string().starts_with("cannot reach "), "{error}");
    let error = executor.run(script("true", &[])).unwrap_err();
    assert!(matches!(error, RemoteError::GaveUp(_)), "{error:?}");
}

/// Two thousand at once, more than a connection takes.
#[test]
fn many_are_under_way_at_once() {
    let casd = Casd::engine();
    let executor = executor(&casd.endpoint());
    let work = script("echo made >out", &[]);
    executor.run(work.clone()).unwrap();
    let (tell, ends) = mpsc::channel();
    let started = Instant::now();
    for number in 0..2000 {
        let tell = tell.clone();
        executor.submit(
            work.clone(),
            |_| {},
            move |ended| tell.send((number, ended)).unwrap(),
        );
    }
    drop(tell);
    let mut heard = vec![0; 2000];
    for (number, ended) in ends {
        let done: Done = ended.unwrap();
        assert!(done.cached);
        heard[number] += 1;
    }
    println!(
        "{:?} for 2000 actions that had run before",
        started.elapsed()
    );
    assert!(heard.iter().all(|times| *times == 1));
    assert!(Arc::strong_count(&work.inputs) <= 2);
}
