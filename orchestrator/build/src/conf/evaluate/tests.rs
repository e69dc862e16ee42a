//! Confs in the sandbox and in bare processes, where not all is as for a build.

use std::os::unix::fs::PermissionsExt;

use kiln_kernel::layers::Layers;
use kiln_sandbox::ScratchBase;

use super::*;

/// The isolations that work on this machine.
fn isolations(user: BuildUser) -> Vec<Isolation> {
    let mut all = vec![Isolation::Bare];
    if Isolation::probe(user).is_ok() {
        all.push(Isolation::Bubblewrap);
    }
    all
}

/// Evaluates a package for a kernel that has no headers: first for its name, then under that.
fn evaluate_without_headers(
    isolation: Isolation,
    user: BuildUser,
    source: &Path,
    conf: Option<&Path>,
    directives: &[String],
) -> RawConf {
    let named = evaluate_as(None, isolation, user, source, conf, directives);
    let part = |index| named.element("@module", index).unwrap();
    let id = PackageId::new(part(0), part(1)).unwrap();
    evaluate_as(Some(&id), isolation, user, source, conf, directives)
}

fn evaluate_as(
    registered: Option<&PackageId>,
    isolation: Isolation,
    user: BuildUser,
    source: &Path,
    conf: Option<&Path>,
    directives: &[String],
) -> RawConf {
    let base = ScratchBase::new(Path::new("/var/tmp"), user).unwrap();
    let scratch = base.scratch().unwrap();
    let outside = |name| scratch.path().join(name);
    let layout = match isolation {
        Isolation::Bubblewrap => Layout {
            dkms_tree: PathBuf::from("/var/lib/dkms"),
            source_tree: PathBuf::from("/usr/src"),
            install_tree: PathBuf::from("/lib/modules"),
            run: PathBuf::from("/run/kiln"),
            out: PathBuf::from("/run/kiln/out"),
        },
        Isolation::Bare => Layout {
            dkms_tree: outside("dkms"),
            source_tree: outside("src"),
            install_tree: outside("modules"),
            run: outside("run"),
            out: outside("out"),
        },
    };
    let kernel = KernelTree {
        release: KernelRelease::new("9.9.9-absent").unwrap(),
        uts_release: KernelRelease::new("9.9.9-absent").unwrap(),
        arch: Arch::host(),
        build: PathBuf::from("/lib/modules/9.9.9-absent/build"),
        source: None,
        files: Layers::host(),
    };
    let input = EvaluateInput::Package {
        source,
        conf,
        directives,
        registered,
        kernel: &kernel,
        kernel_roots: &[],
        system: &SystemRoot::host(),
        build_environment: None,
        neighbours: &BTreeSet::new(),
    };
    let run = Evaluation {
        isolation,
        allowance: Allowance::default(),
        user,
        scratch: &scratch,
        layout: &layout,
        time_limit: Duration::from_secs(60),
        audited: false,
        links: Vec::new(),
    };
    evaluate(&input, &run, &CancelToken::new())
        .result
        .unwrap()
        .0
}

#[test]
fn another_conf_directives_and_a_kernel_without_headers() {
    let user = BuildUser::detect();
    let world = tempfile::Builder::new()
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir_in("/var/tmp")
        .unwrap();
    let source = world.path().join("source");
    fs::create_dir(&source).unwrap();
    let text = "PACKAGE_NAME=own\nPACKAGE_VERSION=1\nCLEAN=$kernel_config\n\
                [ ! -e $kernel_source_dir ] && [ ! -L $kernel_source_dir ] && STRIP=no";
    fs::write(source.join("dkms.conf"), text).unwrap();
    // Nobody else may read it.
    let other = world.path().join("other.conf");
    fs::write(&other, text.replace("own", "other")).unwrap();
    fs::set_permissions(&other, fs::Permissions::from_mode(0o600)).unwrap();
    let directives = ["PACKAGE_VERSION=2", "MAKE=make $x", "KCFLAGS=-O1"].map(str::to_owned);

    for isolation in isolations(user) {
        let own = evaluate_without_headers(isolation, user, &source, None, &[]);
        assert_eq!(own.scalar("PACKAGE_NAME"), Some("own"), "{isolation:?}");
        assert_eq!(own.element("@module", 1), Some("1"));
        assert_eq!(own.scalar("STRIP"), Some("no"), "{isolation:?}");
        let config = own.scalar("CLEAN").unwrap();
        assert!(config.ends_with("/9.9.9-absent/build/.config"), "{config}");

        let other = evaluate_without_headers(isolation, user, &source, Some(&other), &directives);
        assert_eq!(other.scalar("PACKAGE_NAME"), Some("other"), "{isolation:?}");
        assert_eq!(other.element("@module", 0), Some("other"));
        assert_eq!(other.element("@module", 1), Some("2"));
        assert_eq!(other.scalar("PACKAGE_VERSION"), Some("2"));
        assert_eq!(other.scalar("MAKE"), Some("make $x"));
        let exported: Vec<_> = other.pairs("@environment").collect();
        assert_eq!(exported, [("KCFLAGS", "-O1"), ("MAKE", "make $x")]);
    }
}
