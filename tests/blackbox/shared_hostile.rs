//! A shared cache whose operator is against the user, on a real server and on none: kiln builds by itself, in bounded time and
//! memory, and says so.

use std::{
    fs,
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use super::{
    cache::files, casd::Casd, machine::kernel, run::Run, shared_troubles::keys, world::World,
};

/// What kiln may need of memory, in KiB.
pub(super) const MEMORY: u64 = 300 << 10;

/// Runs a command and says how much memory its largest process had at its peak.
pub(super) fn measured(command: &Command) -> (Run, u64) {
    const SCRIPT: &str = "import resource, subprocess, sys\n\
        run = subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL)\n\
        print('peak', resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)\n\
        sys.exit(run.returncode)";
    let mut measuring = Command::new("python3");
    measuring.args(["-c", SCRIPT]).arg(command.get_program());
    measuring.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => measuring.env(name, value),
            None => measuring.env_remove(name),
        };
    }
    let run = Run::of(&mut measuring);
    let peak = run.err.lines().find_map(|line| line.strip_prefix("peak "));
    let peak = peak.and_then(|number| number.parse().ok()).unwrap();
    (run, peak)
}

/// Two packages that a server has, and who trusts what is there.
struct Stage {
    server: Casd,
    public: PathBuf,
    line: String,
    _here: World,
}

impl Stage {
    fn new() -> Self {
        let (here, server) = (World::new(), Casd::start());
        let (private, public) = keys(&here);
        let packages = [here.package("one", ""), here.package("two", "")].join(" ");
        let line = format!("{packages} -k {} --json", kernel());
        let mut command = here.command(format!("build {line} --remote-upload"));
        command.env("KILN_REMOTE_CACHE", server.endpoint());
        command.env("KILN_SIGNING_KEY", private);
        Run::of(&mut command).exits(0);
        Self {
            server,
            public,
            line,
            _here: here,
        }
    }

    /// Builds on another machine, with what the server has now.
    fn build(&self, endpoint: &str) -> Run {
        let there = World::new();
        let mut command = there.command(format!("build {}", self.line));
        command
            .env("KILN_REMOTE_CACHE", endpoint)
            .env("KILN_REMOTE_TIMEOUT", "5")
            .env("KILN_TRUST", &self.public);
        let began = Instant::now();
        let (run, peak) = measured(&command);
        assert!(peak < MEMORY, "{peak} KiB: {run}");
        assert!(began.elapsed() < Duration::from_secs(60), "{run}");
        run.exits(0)
    }

    /// Asserts that both were built here, and the modules are those of the other machine.
    #[track_caller]
    fn is_built_here(&self, run: &Run, what: &str) {
        for package in ["one", "two"] {
            assert_eq!(run.cell(package)["result"], "built", "{what}: {run}");
        }
    }
}

/// Puts a new file in the place of one: others may have links to that.
fn put(path: &Path, content: &[u8]) {
    // The server removes what it finds to be damaged.
    let _ = fs::remove_file(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// Each file of a directory has the content of the next one.
fn swap(directory: &Path) {
    let files = files(directory);
    let contents: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    for (file, content) in files.iter().zip(contents.iter().cycle().skip(1)) {
        put(file, content);
    }
}

/// A result with `outputs` more (REAPI: `ActionResult.output_files`, of which each has a `path`).
fn with_outputs(mut result: Vec<u8>, outputs: usize) -> Vec<u8> {
    for number in 0..outputs {
        let path = format!("{number:x}");
        let length = u8::try_from(path.len()).unwrap();
        result.extend([0x12, length + 2, 0x0a, length]);
        result.extend(path.bytes());
    }
    result
}

#[test]
fn the_stage_is_set() {
    let stage = Stage::new();
    let run = stage.build(&stage.server.endpoint());
    for package in ["one", "two"] {
        assert_eq!(run.cell(package)["result"], "hit", "{run}");
    }
}

#[test]
fn wrong_blobs_are_not_taken() {
    let stage = Stage::new();
    let blobs = stage.server.cache().join("cas/objects");
    let good: Vec<(PathBuf, Vec<u8>)> = files(&blobs)
        .into_iter()
        .map(|file| (file.clone(), fs::read(file).unwrap()))
        .collect();
    type Change = fn(&[u8]) -> Vec<u8>;
    let changes: [(&str, Change); 3] = [
        ("cut", |content| content[..content.len() / 2].to_vec()),
        ("empty", |_| Vec::new()),
        ("changed", |content| {
            content.iter().map(|byte| byte ^ 1).collect()
        }),
    ];
    for (what, change) in changes {
        for (file, content) in &good {
            put(file, &change(content));
        }
        let run = stage.build(&stage.server.endpoint());
        stage.is_built_here(&run, what);
    }
    for (file, content) in &good {
        put(file, content);
    }
    swap(&blobs);
    stage.is_built_here(&stage.build(&stage.server.endpoint()), "swapped");
}

#[test]
fn results_of_other_keys_are_not_taken() {
    let stage = Stage::new();
    let results = stage.server.cache().join("actioncache/objects");
    for _ in 0..files(&results).len() - 1 {
        swap(&results);
        stage.is_built_here(&stage.build(&stage.server.endpoint()), "replayed");
    }
}

#[test]
fn a_result_with_a_million_outputs_is_not_taken() {
    let stage = Stage::new();
    let results = files(&stage.server.cache().join("actioncache/objects"));
    for outputs in [1_000_000, 3_000_000] {
        for result in &results {
            put(result, &with_outputs(fs::read(result).unwrap(), outputs));
        }
        stage.build(&stage.server.endpoint());
    }
}

/// A server that does this to whoever connects.
fn server(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let serve = serve.clone();
            thread::spawn(move || serve(stream.unwrap()));
        }
    });
    format!("grpc://127.0.0.1:{port}")
}

/// What a server of HTTP/2 says first: that it has no settings (RFC 9113, 6.5).
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

#[test]
fn who_never_answers_costs_no_more_than_was_allowed() {
    let stage = Stage::new();
    let silent = server(|mut stream| {
        let _ = stream.read_to_end(&mut Vec::new());
    });
    stage.is_built_here(&stage.build(&silent), "silent");
    let slow = server(|mut stream| {
        // A byte at a time of what may become an answer.
        let header = [0, 0x3f, 0xff, 1, 4, 0, 0, 0, 1];
        for byte in SETTINGS.into_iter().chain(header).chain([0x88; 1 << 14]) {
            if stream.write_all(&[byte]).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    });
    stage.is_built_here(&stage.build(&slow), "slow");
}

#[test]
fn who_never_stops_answering_is_not_listened_to() {
    let stage = Stage::new();
    let flood = server(|mut stream| while stream.write_all(&[0; 1 << 16]).is_ok() {});
    stage.is_built_here(&stage.build(&flood), "noise");
    // Headers and data without end, of the first stream that a client opens.
    for frame in [
        [0, 0x3f, 0xff, 9, 0, 0, 0, 0, 1],
        [0, 0x3f, 0xff, 0, 0, 0, 0, 0, 1],
        [0, 0, 6, 4, 0, 0, 0, 0, 0],
    ] {
        let endless = server(move |mut stream| {
            let size = usize::from(frame[1]) << 8 | usize::from(frame[2]);
            let frame = [&frame[..], &vec![0; size]].concat();
            let _ = stream.write_all(&SETTINGS);
            while stream.write_all(&frame).is_ok() {}
        });
        stage.is_built_here(&stage.build(&endless), "frames");
    }
}

#[test]
fn pings_and_settings_are_no_answers() {
    let stage = Stage::new();
    let ping = [&[0, 0, 8, 6, 0, 0, 0, 0, 0][..], &[0; 8]].concat();
    for (what, frame) in [("ping", ping), ("settings", SETTINGS.to_vec())] {
        let endless = server(move |mut stream| {
            let mut asked = stream.try_clone().unwrap();
            // What is acknowledged has to be read, or the other side stops.
            thread::spawn(move || io::copy(&mut asked, &mut io::sink()));
            let _ = stream.write_all(&SETTINGS);
            let frames = frame.repeat(1000);
            while stream.write_all(&frames).is_ok() {}
        });
        let run = stage.build(&endless);
        stage.is_built_here(&run, what);
        assert!(run.out.contains("the shared cache cannot be used"), "{run}");
    }
}
