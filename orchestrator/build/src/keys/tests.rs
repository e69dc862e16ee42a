//! Each component changes the key, alone: an input is changed, and exactly the component that is to have it differs.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use kiln_cache::{Cost, KeyBuilder, ObjectDigest, Output, Status, Store, Subject};
use kiln_kernel::{
    Arch, KernelInput, KernelRelease, KernelTree, TargetKernel,
    fingerprints::{Fingerprints, Trust},
    layers::Layers,
    package::{Found, PackageId, PackageSource},
    witness::Origin,
};
use kiln_sandbox::Layout;

use super::*;
use crate::{
    conf::{Compiler, Conf, Exclusion, ModuleSpec, Patch},
    plan::{CellId, ConfAction, Dependency, Ingredient, JobSpec, PackageInput},
};

/// What goes into the keys of an action, as files and values.
struct Kitchen {
    directory: tempfile::TempDir,
    layout: Layout,
    conf: Conf,
    release: &'static str,
    arch: &'static str,
    has_source_apart: bool,
    registered: bool,
    kernel_variables: bool,
    directives: Vec<String>,
    conf_elsewhere: bool,
    build_environment: bool,
    overrides: bool,
    extra_tools: bool,
    dependency: Option<DependencyRecord>,
    tools: Vec<Ingredient>,
}

struct DependencyRecord {
    version: &'static str,
    output: &'static str,
    content: &'static [u8],
    executable: bool,
    place: &'static str,
}

/// Gives a file a time, in seconds since 1970.
fn date(path: &Path, seconds: u64) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    fs::File::open(path).unwrap().set_modified(time).unwrap();
}

impl Kitchen {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = directory.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            date(&path, 1);
        };
        for (path, text) in [
            ("source/dkms.conf", "PACKAGE_NAME=one"),
            ("source/one.c", "int one;"),
            ("below/below.c", "int below;"),
            ("build/Makefile", "all:"),
            ("apart/Makefile", "all:"),
            ("overrides/one.conf", "STRIP=no"),
            ("extra/bin/cc", "#!/bin/sh"),
            ("elsewhere.conf", "MAKE=other"),
            ("environment", "export A=1"),
        ] {
            write(path, text);
        }
        let tool = |name: &str| {
            let text = TextComponent::new(name, ["gcc=1".to_owned()]);
            Ingredient::text(Arc::new(text), Origin::Told)
        };
        Self {
            layout: Layout {
                dkms_tree: "/var/lib/dkms".into(),
                source_tree: "/usr/src".into(),
                install_tree: "/lib/modules".into(),
                run: "/run/kiln".into(),
                out: "/run/kiln/out".into(),
            },
            conf: conf(),
            release: "6.1.0",
            arch: "x86_64",
            has_source_apart: false,
            registered: false,
            kernel_variables: false,
            directives: Vec::new(),
            conf_elsewhere: false,
            build_environment: false,
            overrides: false,
            extra_tools: false,
            dependency: None,
            tools: vec![tool(crate::plan::PROGRAMS), tool("toolbox packages")],
            directory,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        date(&self.path(name), 1);
    }

    fn package(&self, name: &str, fingerprints: &mut Fingerprints<'_>) -> Arc<PackageInput> {
        let found = Found {
            source: PackageSource::Tree(self.path(name)),
            registered: self
                .registered
                .then(|| PackageId::new("one", "1.0").unwrap()),
        };
        let mut inputs = PackageInput::new(&found, fingerprints, None).unwrap();
        Arc::new(inputs.pop().unwrap())
    }

    fn kernel(&self, fingerprints: &mut Fingerprints<'_>) -> Arc<KernelInput> {
        let release = KernelRelease::new(self.release).unwrap();
        let target = TargetKernel::from(KernelTree {
            release: release.clone(),
            uts_release: release,
            arch: Arch::new(self.arch).unwrap(),
            build: self.path("build"),
            source: self.has_source_apart.then(|| self.path("apart")),
            files: Layers::host(),
        });
        Arc::new(KernelInput::new(target, fingerprints).unwrap())
    }

    /// The keys of the job and of the conf, both with the names of their components.
    fn keys(&self) -> (Keys, Keys) {
        let store = Store::open(&self.path("cache")).unwrap();
        let mut fingerprints = Fingerprints::new(&store).trusting(Trust::Nothing);
        let package = self.package("source", &mut fingerprints);
        let kernel = self.kernel(&mut fingerprints);
        let overrides = self.overrides.then(|| {
            let overrides = self.path("overrides");
            fingerprints.tree_witness(&overrides).unwrap()
        });
        let mut file = |name: &str| {
            let path = self.path(name);
            let seen = fingerprints.file_witness(&path).unwrap();
            (path, seen)
        };
        let action = ConfAction {
            package: (!self.kernel_variables).then(|| Arc::clone(&package)),
            kernel: Arc::clone(&kernel),
            layout: self.layout.clone(),
            conf: self.conf_elsewhere.then(|| file("elsewhere.conf")),
            directives: self.directives.clone(),
            overrides: overrides.clone(),
            build_environment: self.build_environment.then(|| file("environment")),
        };
        let extra = Path::new("/opt/extra").to_owned();
        let extra_tools = match self.extra_tools {
            true => vec![(
                extra,
                fingerprints.tree_witness(&self.path("extra")).unwrap(),
            )],
            false => Vec::new(),
        };
        let spec = JobSpec {
            cell: CellId::new(0),
            package,
            kernel,
            conf: Arc::new(self.conf.clone()),
            layout: self.layout.clone(),
            tools: self.tools.clone(),
            extra_tools,
            overrides,
            dependencies: self.dependencies(&mut fingerprints),
        };
        let record = Arc::new(self.record());
        let records = spec.resolve(|_| Some(Arc::clone(&record))).unwrap();
        (job_keys(&spec, &records), conf_keys(&action))
    }

    fn dependencies(&self, fingerprints: &mut Fingerprints<'_>) -> Vec<Dependency> {
        let Some(one) = &self.dependency else {
            return Vec::new();
        };
        vec![Dependency {
            cell: CellId::new(1),
            package_id: PackageId::new("below", one.version).unwrap(),
            package: self.package("below", fingerprints),
            places: vec![(one.output.to_owned(), one.place.to_owned())],
        }]
    }

    fn record(&self) -> ActionRecord {
        let (key, components) = KeyBuilder::new(ActionKind::Job).finish();
        let outputs = self.dependency.iter().map(|one| Output {
            path: one.output.to_owned(),
            object: ObjectDigest::of(one.content),
            size: one.content.len() as u64,
            executable: one.executable,
        });
        ActionRecord {
            key,
            kind: ActionKind::Job,
            subject: Subject {
                name: "below/1.0".to_owned(),
                target: "6.1.0/x86_64".to_owned(),
            },
            components,
            status: Status::Success,
            outputs: outputs.collect(),
            log: None,
            note: BTreeMap::new(),
            cost: Cost::default(),
            created: 0,
        }
    }
}

/// A conf in which everything is said that counts.
fn conf() -> Conf {
    Conf {
        package: PackageId::new("one", "1.0").unwrap(),
        modules: vec![ModuleSpec {
            built_name: "one".to_owned(),
            built_location: "src/".to_owned(),
            dest_name: "one".to_owned(),
            dest_location: "/extra".to_owned(),
            strip: true,
            excluded: None,
        }],
        make: "make".to_owned(),
        patches: vec![Patch {
            index: 0,
            path: "a.patch".to_owned(),
        }],
        pre_build: Some("pre.sh".to_owned()),
        post_build: Some("post.sh".to_owned()),
        other_hooks: Vec::new(),
        build_depends: Vec::new(),
        build_depends_rebuild: false,
        autoinstall: true,
        no_weak_modules: false,
        excluded: None,
        compiler: Compiler::default(),
        environment: vec![("A".to_owned(), "1".to_owned())],
        problems: Vec::new(),
        obsolete_by: None,
        states_exclusive: false,
        deprecated: Vec::new(),
        complaints: Vec::new(),
    }
}

/// The names of the components that two keys differ in.
fn changed(before: &Key, after: &Key) -> Vec<String> {
    let in_both = |one: &Component, other: &Key| other.components.contains(one);
    let new = after.components.iter().filter(|one| !in_both(one, before));
    let gone = before.components.iter().filter(|one| !in_both(one, after));
    let mut names: Vec<String> = new.chain(gone).map(|one| one.name.clone()).collect();
    names.sort();
    names.dedup();
    names
}

/// Asserts what a change changes: components of the job's key, and of the conf's.
fn assert_changes(what: &str, job: &[&str], conf: &[&str], change: impl FnOnce(&mut Kitchen)) {
    let mut kitchen = Kitchen::new();
    kitchen.dependency = Some(DependencyRecord {
        version: "1.0",
        output: "below.ko",
        content: b"module",
        executable: false,
        place: "updates/dkms",
    });
    let (job_before, conf_before) = kitchen.keys();
    change(&mut kitchen);
    let (job_after, conf_after) = kitchen.keys();
    let path = kitchen.directory.path().display().to_string();
    let told = |before: &Keys, after: &Keys| -> Vec<String> {
        let names = changed(before.remote(), after.remote());
        names.iter().map(|name| name.replace(&path, "")).collect()
    };
    assert_eq!(told(&job_before, &job_after), job, "job: {what}");
    assert_eq!(told(&conf_before, &conf_after), conf, "conf: {what}");
    // What is installed counts for jobs that an engine runs.
    let is_known = job.is_empty() || job == ["toolbox packages"];
    assert_eq!(
        is_known,
        job_before.trace.key == job_after.trace.key,
        "{what}"
    );
    assert_eq!(
        conf.is_empty(),
        conf_before.trace.key == conf_after.trace.key,
        "{what}"
    );
    let with_files = |keys: &Keys, files: &str| {
        keys.with_system(TextComponent::new(SEEN, [files.to_owned()]))
            .key
    };
    assert_eq!(with_files(&job_after, "x"), with_files(&job_after, "x"));
    assert_ne!(with_files(&job_after, "x"), with_files(&job_after, "y"));
}

#[test]
fn files_and_places() {
    type Change = fn(&mut Kitchen);
    let cases: &[(&str, &[&str], &[&str], Change)] = &[
        ("nothing", &[], &[], |_| ()),
        ("source", &["source"], &["source"], |k| {
            k.write("source/one.c", "int two;")
        }),
        ("hidden file", &["source"], &["source"], |k| {
            k.write("source/.x", "")
        }),
        ("dkms_tree", &["settings"], &["settings"], |k| {
            k.layout.dkms_tree = "/dkms".into()
        }),
        ("source_tree", &["settings"], &["settings"], |k| {
            k.layout.source_tree = "/src".into()
        }),
        ("install_tree", &["settings"], &["settings"], |k| {
            k.layout.install_tree = "/modules".into();
        }),
        ("release", &["settings"], &["settings"], |k| {
            k.release = "6.1.1"
        }),
        ("arch", &["settings"], &["settings"], |k| k.arch = "aarch64"),
        (
            "kernel tree",
            &["kernel tree /build"],
            &["kernel tree /build"],
            |k| {
                k.write("build/Makefile", "none:");
            },
        ),
        (
            "another tree",
            &[
                "kernel tree /apart",
                "settings",
                "times and modes of kernel tree /apart",
            ],
            &[
                "kernel tree /apart",
                "settings",
                "times and modes of kernel tree /apart",
            ],
            |k| k.has_source_apart = true,
        ),
        (
            "times of a kernel's files",
            &["times and modes of kernel tree /build"],
            &["times and modes of kernel tree /build"],
            |k| date(&k.path("build/Makefile"), 2),
        ),
        ("overrides", &["/etc/dkms/one"], &["/etc/dkms"], |k| {
            k.overrides = true
        }),
        ("registered", &[], &["settings"], |k| k.registered = true),
        ("a kernel's own variables", &[], &["source"], |k| {
            k.kernel_variables = true
        }),
        ("directive", &[], &["settings"], |k| {
            k.directives.push("STRIP=no".to_owned())
        }),
        ("another conf", &[], &["dkms.conf"], |k| {
            k.conf_elsewhere = true
        }),
        ("build_environment", &[], &["build_environment file"], |k| {
            k.build_environment = true
        }),
        ("extra tools", &["/opt/extra"], &[], |k| {
            k.extra_tools = true
        }),
        ("dependency's source", &["source of below"], &[], |k| {
            k.write("below/below.c", "int above;");
        }),
        ("programs", &["toolbox programs"], &[], |k| {
            let text = TextComponent::new(crate::plan::PROGRAMS, ["gcc=2".to_owned()]);
            k.tools[0] = Ingredient::text(Arc::new(text), Origin::Told);
        }),
        ("packages", &["toolbox packages"], &[], |k| {
            let text = TextComponent::new("toolbox packages", ["gcc=2".to_owned()]);
            k.tools[1] = Ingredient::text(Arc::new(text), Origin::Told);
        }),
    ];
    for (what, job, conf, change) in cases {
        assert_changes(what, job, conf, change);
    }
}

#[test]
fn dependencies() {
    type Change = fn(&mut DependencyRecord);
    let cases: [(&str, Change); 5] = [
        ("version", |one| one.version = "2.0"),
        ("name", |one| one.output = "other.ko"),
        ("content", |one| one.content = b"other"),
        ("mode", |one| one.executable = true),
        ("place", |one| one.place = "extra"),
    ];
    for (what, change) in cases {
        assert_changes(what, &["BUILD_DEPENDS below"], &[], |kitchen| {
            change(kitchen.dependency.as_mut().unwrap());
        });
    }
    assert_changes(
        "no dependency",
        &["BUILD_DEPENDS below", "source of below"],
        &[],
        |kitchen| kitchen.dependency = None,
    );
}

#[test]
fn what_a_conf_means() {
    type Change = fn(&mut Conf);
    let counts: [(&str, Change); 16] = [
        ("MAKE", |conf| conf.make.push('x')),
        ("a line in MAKE", |conf| conf.make.push_str("\\nx")),
        ("BUILT_MODULE_NAME", |conf| {
            conf.modules[0].built_name.push('x')
        }),
        ("BUILT_MODULE_LOCATION", |conf| {
            conf.modules[0].built_location.push_str("x/")
        }),
        ("DEST_MODULE_NAME", |conf| {
            conf.modules[0].dest_name.push('x')
        }),
        ("STRIP", |conf| conf.modules[0].strip = false),
        ("BUILD_EXCLUSIVE", |conf| {
            conf.modules[0].excluded = Some(Exclusion {
                directive: "BUILD_EXCLUSIVE_ARCH".to_owned(),
                value: "x".to_owned(),
            });
        }),
        ("another module", |conf| {
            conf.modules.push(conf.modules[0].clone())
        }),
        ("PATCH", |conf| conf.patches[0].path.push('x')),
        ("no PATCH", |conf| conf.patches.clear()),
        ("PRE_BUILD", |conf| conf.pre_build = None),
        ("POST_BUILD", |conf| conf.post_build = None),
        ("CC", |conf| {
            conf.compiler.required = Some("gcc-11".to_owned())
        }),
        ("built with", |conf| {
            conf.compiler.built_with = Some("gcc-11".to_owned())
        }),
        ("clang", |conf| conf.compiler.clang = true),
        ("lld", |conf| conf.compiler.lld = true),
    ];
    for (what, change) in counts {
        assert_changes(what, &["recipe"], &[], |kitchen| change(&mut kitchen.conf));
    }
    assert_changes("environment", &["recipe"], &[], |kitchen| {
        kitchen.conf.environment[0].1 = "2".to_owned();
    });
    assert_changes("package", &["recipe"], &[], |kitchen| {
        kitchen.conf.package = PackageId::new("one", "1.1").unwrap();
    });
    let counts_not: [(&str, Change); 4] = [
        ("DEST_MODULE_LOCATION", |conf| {
            conf.modules[0].dest_location = "/x".to_owned()
        }),
        ("AUTOINSTALL", |conf| conf.autoinstall = false),
        ("POST_INSTALL", |conf| {
            conf.other_hooks
                .push(("POST_INSTALL".to_owned(), "x".to_owned()));
        }),
        ("complaints", |conf| conf.complaints.push("x".to_owned())),
    ];
    for (what, change) in counts_not {
        assert_changes(what, &[], &[], |kitchen| change(&mut kitchen.conf));
    }
}

#[test]
fn a_line_within_a_value_is_no_line_of_its_own() {
    let text = |line: &str| TextComponent::new("x", [line.to_owned()]).digest;
    assert_ne!(text("a\nb"), text("a\\nb"));
    assert_ne!(text("a\\b"), text("a\\\\b"));
    let two = TextComponent::new("x", ["a".to_owned(), "b".to_owned()]).digest;
    assert_ne!(text("a\nb"), two);
}

#[test]
#[cfg(feature = "remote")]
fn questions_of_kbuild() {
    let topic = |kitchen: &Kitchen| {
        let store = Store::open(&kitchen.path("cache")).unwrap();
        let mut fingerprints = Fingerprints::new(&store).trusting(Trust::Nothing);
        let spec = JobSpec {
            cell: CellId::new(0),
            package: kitchen.package("source", &mut fingerprints),
            kernel: kitchen.kernel(&mut fingerprints),
            conf: Arc::new(kitchen.conf.clone()),
            layout: kitchen.layout.clone(),
            tools: Vec::new(),
            extra_tools: Vec::new(),
            overrides: None,
            dependencies: Vec::new(),
        };
        probe_topic(kitchen.tools[0].digest, &spec)
    };
    let counts: [fn(&mut Kitchen); 7] = [
        |kitchen| kitchen.conf.compiler.clang = true,
        |kitchen| kitchen.conf.compiler.lld = true,
        |kitchen| kitchen.conf.compiler.required = Some("gcc-11".to_owned()),
        |kitchen| kitchen.conf.compiler.built_with = Some("gcc-11".to_owned()),
        |kitchen| kitchen.release = "6.1.1",
        |kitchen| kitchen.write("build/Makefile", "none:"),
        |kitchen| kitchen.tools[0].digest = ObjectDigest::of(b"x"),
    ];
    for (number, change) in counts.into_iter().enumerate() {
        let mut kitchen = Kitchen::new();
        let before = topic(&kitchen);
        change(&mut kitchen);
        assert_ne!(topic(&kitchen), before, "change {number}");
    }
    let mut kitchen = Kitchen::new();
    let before = topic(&kitchen);
    kitchen.conf.make.push('x');
    kitchen.write("source/one.c", "int two;");
    assert_eq!(topic(&kitchen), before);
}
