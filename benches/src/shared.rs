//! A cache that machines share: what a machine without anything pays for each job that another
//! has built, and what a server costs that goes away in the middle.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use crate::{
    Result,
    casd::Casd,
    document::{Bar, Section},
    kiln::{self, Run, differences},
    measure::checked,
    row,
    site::{Site, file_name, is_root},
    stats::{median, seconds},
};

/// The farm: packages of one file or a few, because one machine has to build all of them first.
const PACKAGES: [&str; 13] = [
    "acpi-call",
    "bbswitch",
    "ddcci",
    "digimend",
    "dm-writeboost",
    "langford",
    "librem_ec_acpi",
    "linux-apfs",
    "rapiddisk",
    "tp_smapi",
    "v4l2loopback",
    "vpoll",
    "evdi",
];

/// The most that an artifact may cost beyond what is paid without any, in seconds.
const BAR: f64 = 0.015;

/// Hides the caches of all machines (`$1`) but one (`$2`), and goes on with a command.
const HIDE: &str = r#"
mkdir -p "$2" "$1.own"
mount --bind "$2" "$1.own"
mount -t tmpfs -o mode=755 none "$1"
mkdir "$2"
mount --move "$1.own" "$2"
shift 2
exec "$@"
"#;

/// The machines of one farm: each has a cache and nothing else of its own.
struct Machines<'s> {
    site: &'s Site,
    home: PathBuf,
}

pub(crate) fn measure(site: &Site) -> Result<Section> {
    let title = "A cache that machines share".to_owned();
    if !is_root() {
        return Ok(Section {
            title,
            text: "Not measured: this needs root, for the namespaces of the machines.".to_owned(),
            ..Section::default()
        });
    }
    let machines = Machines::new(site)?;
    let packages: Vec<PathBuf> = PACKAGES
        .iter()
        .filter_map(|name| site.package(name))
        .collect();
    let farm = machines.manifest("farm", &packages)?;
    let one = machines.manifest("one", &packages[..1])?;
    let mut server = Casd::cache(site, &machines.home.join("server"))?;
    let endpoint = server.endpoint();

    let first = kiln::run(&mut machines.uploads(&farm, &endpoint))?;
    let (mut all, mut few, mut costs) = (Vec::new(), Vec::new(), Vec::new());
    let mut second = None;
    for turn in 0..site.repeats {
        let little = machines.fetches(&one, &endpoint, &format!("little{turn}"))?;
        let whole = machines.fetches(&farm, &endpoint, &format!("whole{turn}"))?;
        let artifacts = modules(&whole).saturating_sub(modules(&little));
        let more = whole.measured.wall.as_secs_f64() - little.measured.wall.as_secs_f64();
        costs.push(more / count(artifacts));
        few.push(little.measured.wall.as_secs_f64());
        all.push(whole.measured.wall.as_secs_f64());
        second = Some(whole);
    }
    let second = second.ok_or("nothing was repeated")?;
    let cost = median(&costs);
    let (stopped, came) = machines.fetches_until_killed(&farm, &mut server, &first)?;

    let mut table = vec![row![
        "machine",
        "jobs",
        "artifacts",
        "from there",
        "built",
        "wall"
    ]];
    let mut row = |what: &str, run: &Run, from_there: usize, wall: f64| {
        table.push(row![
            what,
            run.jobs(),
            modules(run),
            from_there,
            run.count("built"),
            seconds(wall)
        ]);
    };
    row(
        "the first, builds and uploads",
        &first,
        0,
        first.measured.wall.as_secs_f64(),
    );
    row("another, empty", &second, second.known(), median(&all));
    row(
        "another, server killed",
        &stopped,
        came,
        stopped.measured.wall.as_secs_f64(),
    );
    let to_build = first.jobs() - usize::try_from(first.count("excluded"))?;
    let different = differences(&first.outcomes(), &second.outcomes());
    let wrong = differences(&first.outcomes(), &stopped.outcomes());
    Ok(Section {
        title,
        text: format!(
            "`kiln farm run` of {} packages for {} installed kernels ({} jobs, of which {} fail and {} are not \
meant for their kernel; {} KiB of modules). Each machine has a cache of its own and a mount namespace in which those of all others are not there; the \
server is buildbox-casd on the loopback. The first builds all, signs and uploads it. Another with an empty cache takes \
everything from there: median of {}, and {} for {} alone, most of which is hashing the kernels' trees. An artifact's cost \
is the difference between the two, by the number of modules; the transfer, on the loopback, is part of it, as is \
verifying what came and syncing it to the disk. The last has its server killed (SIGKILL) as soon as the first jobs \
are there.",
            packages.len(),
            site.kernels.len(),
            first.jobs(),
            first.count("failed"),
            first.count("excluded"),
            first.output_bytes() / 1024,
            site.repeats,
            seconds(median(&few)),
            file_name(&packages[0]),
        ),
        table,
        bars: vec![
            Bar {
                what: "an artifact from a shared cache, transfer included".to_owned(),
                wanted: format!("at most {}", seconds(BAR)),
                measured: seconds(cost),
                reached: cost <= BAR,
            },
            Bar {
                what: "outcomes that are others on a second machine, or built there".to_owned(),
                wanted: format!("0 of {}", first.jobs()),
                measured: different.to_string(),
                reached: different == 0 && second.known() == to_build,
            },
            Bar {
                what: "outcomes that are wrong when the server is killed".to_owned(),
                wanted: format!("0 of {}, with some built", first.jobs()),
                measured: format!("{wrong}, with {} built", stopped.count("built")),
                reached: wrong == 0 && stopped.count("built") > 0,
            },
        ],
    })
}

impl<'s> Machines<'s> {
    fn new(site: &'s Site) -> Result<Self> {
        let machines = Self {
            site,
            home: site.work("shared"),
        };
        fs::create_dir_all(machines.home.join("caches"))?;
        let mut keygen = Command::new(&site.kiln);
        let [private, public] = ["key.pem", "key.pub"].map(|name| machines.home.join(name));
        checked(keygen.args(["remote", "keygen"]).arg(private).arg(public))?;
        Ok(machines)
    }

    /// A farm of some packages for all kernels.
    fn manifest(&self, name: &str, packages: &[PathBuf]) -> Result<PathBuf> {
        let path = self.home.join(format!("{name}.toml"));
        let kernels = &self.site.kernels;
        fs::write(
            &path,
            format!("packages = {packages:?}\nkernels = {kernels:?}\n"),
        )?;
        Ok(path)
    }

    fn uploads(&self, manifest: &Path, endpoint: &str) -> Command {
        let mut command = self.farm(manifest, endpoint, "first");
        command
            .env("KILN_SIGNING_KEY", self.home.join("key.pem"))
            .env("KILN_REMOTE_UPLOAD", "true");
        command
    }

    /// A run of a machine that has nothing, which is gone afterwards; all has to come from the server.
    fn fetches(&self, manifest: &Path, endpoint: &str, name: &str) -> Result<Run> {
        let run = kiln::run(&mut self.trusts(manifest, endpoint, name))?;
        if run.count("built") > 0 {
            return Err(format!("{} jobs did not come from the server", run.count("built")).into());
        }
        fs::remove_dir_all(self.cache(name))?;
        Ok(run)
    }

    /// The same, with the server killed once the first jobs are there. Also gives how many
    /// outcomes had come by the end.
    fn fetches_until_killed(
        &self,
        manifest: &Path,
        server: &mut Casd,
        first: &Run,
    ) -> Result<(Run, usize)> {
        let actions = self.cache("stopped").join("actions");
        let endpoint = server.endpoint();
        // A conf of each comes before the first job.
        let confs = first.jobs();
        let (run, killed) = thread::scope(|scope| {
            let run = scope.spawn(|| {
                kiln::run(&mut self.trusts(manifest, &endpoint, "stopped")).map_err(text)
            });
            while records(&actions) <= confs && !run.is_finished() {
                thread::sleep(Duration::from_millis(1));
            }
            let killed = !run.is_finished();
            server.kill();
            (run.join(), killed)
        });
        let run = run.map_err(|_| "the run's thread failed")??;
        if !killed {
            return Err("the run had ended before its server was killed".into());
        }
        let came = run.known();
        Ok((run, came))
    }

    fn trusts(&self, manifest: &Path, endpoint: &str, name: &str) -> Command {
        let mut command = self.farm(manifest, endpoint, name);
        command.env("KILN_TRUST", self.home.join("key.pub"));
        command
    }

    fn cache(&self, name: &str) -> PathBuf {
        self.home.join("caches").join(name)
    }

    /// `kiln farm run` on a machine that sees no cache but its own.
    fn farm(&self, manifest: &Path, endpoint: &str, name: &str) -> Command {
        let cache = self.cache(name);
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--propagation", "private"])
            .args(["sh", "-euc", HIDE, "sh"])
            .arg(self.home.join("caches"))
            .arg(&cache)
            .arg(&self.site.kiln)
            .args(["farm", "run", "--json"])
            .arg(manifest)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("KILN_CACHE", &cache)
            .env("KILN_REMOTE_CACHE", endpoint);
        command
    }
}

/// How many modules came out.
fn modules(run: &Run) -> usize {
    let paths = run.digests();
    paths
        .keys()
        .filter(|[.., path]| path.ends_with(".ko"))
        .count()
}

/// How many records a cache has.
fn records(actions: &Path) -> usize {
    let folders = fs::read_dir(actions).into_iter().flatten().flatten();
    folders
        .map(|folder| fs::read_dir(folder.path()).into_iter().flatten().count())
        .sum()
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn text(error: Box<dyn std::error::Error>) -> String {
    error.to_string()
}

#[allow(clippy::cast_precision_loss, reason = "artifacts are few")]
fn count(number: usize) -> f64 {
    number as f64
}
