//! Real packages go through their life with the distribution's own dkms and with kiln's:
//! the same files with the same content at every step. Then each takes over what the other
//! has built and installed.
//!
//! The two print in different words where their versions differ; what is compared of the
//! output is `status`.

use std::{fs, path::Path, process::Command};

use super::{
    kernel::{self, RELEASE},
    machine::Machine,
    run::Run,
};

/// The distribution's own.
const THEIRS: &str = "/usr/sbin/dkms";

/// What an older dkms leaves and a newer does not, or the reverse.
const VARIES: [&str; 4] = [
    "/build/",
    "dkms_dbversion",
    "/log/.config",
    "/module/Module.symvers",
];

/// A machine on which one of the two works.
struct Side {
    machine: Machine,
    /// Who works there.
    own: &'static str,
    /// Who takes over.
    other: &'static str,
    package: String,
}

impl Side {
    /// Has a package's source in /usr/src.
    fn new(own: &'static str, other: &'static str, source: &Path) -> Self {
        assert!(
            Path::new(THEIRS).exists(),
            "dkms is missing; `tests/provision.sh test` installs it"
        );
        // A file that cannot be run stands for "there is nothing to sign with".
        let machine = Machine::setup()
            .installed_kernel()
            .file(
                "/etc/dkms/framework.conf",
                "try_sign_modules=\"false\"\nsign_file=\"/etc/dkms/framework.conf\"\n",
            )
            .start();
        let conf = fs::read_to_string(source.join("dkms.conf")).unwrap();
        let [name, version] = ["PACKAGE_NAME", "PACKAGE_VERSION"].map(|key| value(&conf, key));
        let directory = machine.path(format!("/usr/src/{name}-{version}"));
        let copied = Command::new("cp")
            .arg("-a")
            .arg(source)
            .arg(directory)
            .status();
        assert!(copied.unwrap().success());
        Self {
            machine,
            own,
            other,
            package: format!("{name}/{version}"),
        }
    }

    /// Runs an action with one of the two programs.
    fn run(&self, program: &str, action: &str, options: &str) -> Run {
        let line = format!("{program} {action} {} {options}", self.package);
        self.machine.shell(&line)
    }

    /// Everything that dkms keeps and installs, with digests of modules.
    fn state(&self) -> String {
        let trees = ["/var/lib/dkms", "/lib/modules"].map(|tree| {
            let lines: Vec<String> = self
                .machine
                .tree(tree)
                .lines()
                .filter(|line| !VARIES.iter().any(|part| line.contains(part)))
                .map(|line| match line.ends_with(".ko") {
                    true => {
                        let module = self.machine.bytes(kernel::named(&format!("{tree}/{line}")));
                        format!("{line} {}", digest(&module))
                    }
                    false => line.to_owned(),
                })
                .collect();
            lines.join("\n")
        });
        trees.join("\n--\n")
    }

    fn status(&self, program: &str) -> String {
        self.machine
            .shell(&format!("{program} status"))
            .exits(0)
            .out
    }
}

/// A value of a dkms.conf that is given in plain words.
fn value(conf: &str, key: &str) -> String {
    let line = conf
        .lines()
        .find_map(|line| line.trim_start().strip_prefix(key)?.strip_prefix('='));
    line.unwrap_or_else(|| panic!("no {key}"))
        .trim()
        .trim_matches(['"', '\''])
        .to_owned()
}

fn digest(bytes: &[u8]) -> String {
    kiln_cache::ObjectDigest::of(bytes).to_string()
}

/// The source directory of a package of the corpus.
fn source(prefix: &str) -> std::path::PathBuf {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus/src");
    fs::read_dir(&corpus)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .find(|path| {
            path.file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with(prefix)
        })
        .unwrap_or_else(|| {
            panic!("corpus/src has no {prefix}; `tests/provision.sh test` installs it")
        })
}

/// Takes a package through its life on both machines; `builds` is whether it compiles.
#[track_caller]
fn pair(prefix: &str, builds: bool) {
    let source = source(prefix);
    let sides = [
        Side::new("dkms", THEIRS, &source),
        Side::new(THEIRS, "dkms", &source),
    ];
    let both = |action: &str, options: &str| {
        let [ours, theirs] = sides
            .each_ref()
            .map(|side| side.run(side.own, action, options));
        assert_eq!(
            ours.exits_with(),
            theirs.exits_with(),
            "{action}\nours: {ours}\ntheirs: {theirs}"
        );
        let [left, right] = sides.each_ref().map(Side::state);
        assert_eq!(left, right, "after {action}: ours is left");
        let statuses = sides
            .each_ref()
            .map(|side| [side.status(side.own), side.status(side.other)]);
        let first = &statuses[0][0];
        for status in statuses.as_flattened() {
            assert_eq!(status, first, "after {action}");
        }
        ours.exits_with() == Some(0)
    };
    let kernel = format!("-k {RELEASE}");
    assert!(both("add", ""));
    assert_eq!(both("build", &kernel), builds);
    if !builds {
        assert!(!both("install", &kernel));
        assert!(both("remove", "--all"));
        return;
    }
    assert!(both("install", &kernel));
    let installed = sides[0].state();
    assert!(both("uninstall", &kernel));
    assert!(both("install", &kernel));
    assert_eq!(sides[0].state(), installed);

    // Each takes over.
    for side in &sides {
        side.run(side.other, "uninstall", &kernel).exits(0);
    }
    assert_eq!(
        sides[0].state(),
        sides[1].state(),
        "after uninstalling the other's"
    );
    for side in &sides {
        side.run(side.other, "install", &kernel).exits(0);
        assert_eq!(
            side.state(),
            installed,
            "after {} installed what {} built",
            side.other,
            side.own
        );
        side.run(side.own, "uninstall", &kernel).exits(0);
        side.run(side.own, "install", &kernel).exits(0);
        side.run(side.other, "remove", "--all").exits(0);
        side.machine
            .holds("/lib/modules", "KERNEL/\nKERNEL/modules.dep\nSECOND/\n");
        assert_eq!(side.status(side.own), "");
    }
    assert_eq!(
        sides[0].state(),
        sides[1].state(),
        "after removing the other's"
    );
}

macro_rules! pairs {
    ($builds:literal: $($name:ident: $prefix:literal,)*) => {
        $(#[test]
        fn $name() {
            pair($prefix, $builds);
        })*
    };
}

pairs! { true:
    acpi_call: "acpi-call",
    apfs: "linux-apfs",
    bbswitch: "bbswitch",
    ddcci: "ddcci",
    digimend: "digimend",
    dm_writeboost: "dm-writeboost",
    langford: "langford",
    rapiddisk: "rapiddisk",
    tp_smapi: "tp_smapi",
    v4l2loopback: "v4l2loopback",
    vpoll: "vpoll",
}

pairs! { false:
    librem_ec_acpi_which_does_not_compile: "librem",
    openrazer_which_does_not_compile: "openrazer",
}
