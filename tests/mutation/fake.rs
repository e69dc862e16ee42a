//! A kernel and packages whose compiler is quick: it writes down what it sees of all that a job may look at.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use super::{
    fake_inputs::{Own, SCRIPT, own_inputs, patch, shared_inputs},
    gate::Gate,
    ground::{Ground, gaps_count, put},
    machine::{self, kernel},
    outcome::MARK,
    run::Run,
    stage::{Package, Stage},
};

/// The programs in whose place it stands, by what is called.
pub(crate) struct Programs {
    eye: Vec<u8>,
    pub(crate) compiler: PathBuf,
    pub(crate) cc1: PathBuf,
    pub(crate) others: Vec<PathBuf>,
}

impl Programs {
    fn install(ground: &Ground) -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/mutation/eye.c");
        let to = ground.path("eye");
        let mut cc = Command::new("gcc");
        Run::of(cc.args(["-static", "-O1", "-s", "-o"]).arg(&to).arg(source)).exits(0);
        let real = |name: &str| fs::canonicalize(Path::new("/usr/bin").join(name)).unwrap();
        let mut ask = Command::new(machine::compiler());
        let cc1 = Run::of(ask.arg("-print-prog-name=cc1")).exits(0).out;
        let programs = Self {
            eye: fs::read(&to).unwrap(),
            compiler: real(&machine::compiler()),
            cc1: PathBuf::from(cc1.trim()),
            others: ["as", "ld", "strip"].map(real).to_vec(),
        };
        // The real one's own directory is large, and read by every build with an empty cache.
        let parts = programs.cc1.parent().unwrap();
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", "mode=755", "tmpfs"])
            .arg(parts);
        Run::of(&mut mount).exits(0);
        let all = [&programs.compiler, &programs.cc1].into_iter();
        for path in all.chain(&programs.others) {
            fs::remove_file(path).unwrap_or_default();
            put(path, programs.variant(0), 0o755);
        }
        programs
    }

    /// The program with other bytes behind it.
    pub(crate) fn variant(&self, number: u8) -> Vec<u8> {
        [self.eye.as_slice(), b"variant ", &[b'0' + number]].concat()
    }
}

/// A stage with so many packages.
pub(crate) fn stage(packages: usize) -> Stage {
    let ground = Ground::new();
    let module = stripped(&ground, &machine::module(kernel()));
    let programs = Programs::install(&ground);
    Gate::make();
    let tree = kernel_tree(&ground, &programs);
    let shared = shared_inputs(&tree, &programs);
    let mut all = vec![first(&ground, &module)];
    for number in 1..=packages {
        all.push(package(&ground, number, &tree, &module, &programs));
    }
    Stage::new(ground, tree, all, shared, Duration::from_secs(5))
}

/// A module without what the real strip would take away.
fn stripped(ground: &Ground, module: &[u8]) -> Vec<u8> {
    let path = ground.write("module.ko", module);
    Run::of(Command::new("strip").arg("-g").arg(&path)).exits(0);
    fs::read(path).unwrap()
}

/// A kernel's tree of a few files, in the shape of Debian's: programs and the Makefile are in trees of their own.
fn kernel_tree(ground: &Ground, programs: &Programs) -> PathBuf {
    let compiler = programs.compiler.file_name().unwrap().to_str().unwrap();
    let release = format!("#define UTS_RELEASE \"{}\"\n", kernel());
    ground.write("kernel/build/include/generated/utsrelease.h", release);
    ground.write("kernel/build/include/linux/used.h", "used\n");
    ground.write("kernel/build/include/linux/unused.h", "unused\n");
    ground.write("kernel/build/Module.symvers", "");
    ground.write(
        "kernel/build/other.symvers",
        "0x12345678\teye\tvmlinux\tEXPORT_SYMBOL\t\n",
    );
    ground.write("kernel/build/.config", config(compiler, ""));
    let modpost = ground.write("kernel/kbuild/scripts/mod/modpost", programs.variant(0));
    put(&modpost, programs.variant(0), 0o755);
    let link = ground.path("kernel/build/scripts");
    std::os::unix::fs::symlink("../kbuild/scripts", link).unwrap();
    let common = ground.path("kernel/common/Makefile");
    let include = format!("include {}\n", common.display());
    ground.write("kernel/build/Makefile", include);
    let rules = format!(
        "name = $(notdir $(abspath $(M)/../..))\nmodules:\n\
         \tcd $(M) && {compiler} looks > words && $(CURDIR)/scripts/mod/modpost looks-modpost >> words\n\
         \tcd $(M) && cat prebuilt.ko mark words > $(name).ko\n"
    );
    put(&common, rules, 0o644);
    ground.path("kernel/build")
}

/// A kernel's configuration with more in it.
pub(crate) fn config(compiler: &str, more: &str) -> String {
    format!(
        "CONFIG_MODULES=y\nCONFIG_CC_IS_GCC=y\nCONFIG_CC_VERSION_TEXT=\"{compiler} (Debian) 1\"\n{more}"
    )
}

fn conf(name: &str, more: &str) -> String {
    format!(
        "PACKAGE_NAME={name}\nPACKAGE_VERSION=1.0\nBUILT_MODULE_NAME[0]={name}\n\
         DEST_MODULE_LOCATION[0]=/updates\n{more}"
    )
}

fn write_package(ground: &Ground, name: &str, more: &str, looks: &str, module: &[u8]) -> PathBuf {
    ground.write(format!("{name}/dkms.conf"), conf(name, more));
    ground.write(format!("{name}/looks"), looks);
    ground.write(format!("{name}/looks-modpost"), "self\n");
    ground.write(format!("{name}/looks-tool"), "self\n");
    ground.write(format!("{name}/prebuilt.ko"), module);
    ground.write(format!("{name}/mark"), MARK);
    ground.path(name)
}

/// What all others depend on; its module is always the same.
fn first(ground: &Ground, module: &[u8]) -> Package {
    let looks = format!("hold {}\n", Gate::Before.path().display());
    let name = "first".to_owned();
    Package {
        directory: write_package(ground, &name, "STRIP[0]=no\n", &looks, module),
        name,
        inputs: Vec::new(),
        depends: Vec::new(),
    }
}

fn package(
    ground: &Ground,
    number: usize,
    tree: &Path,
    module: &[u8],
    programs: &Programs,
) -> Package {
    let name = format!("p{number}");
    let share = format!("/usr/share/eye/{name}");
    let depends = number.is_multiple_of(4).then(|| format!("p{}", number - 1));
    let mut more = "PATCH[0]=words.patch\nBUILD_DEPENDS[0]=first\n".to_owned();
    let mut looks = looks(&name, &share, tree, programs);
    if let Some(below) = &depends {
        more.push_str(&format!("BUILD_DEPENDS[1]={below}\n"));
        let built = format!(
            "/var/lib/dkms/{below}/1.0/{}/{}/module",
            kernel(),
            machine::arch()
        );
        looks.push_str(&format!(
            "read {built}/{below}.ko\nread /usr/src/{below}-1.0/note.txt\nread /usr/src/{below}-1.0/aside.txt\n"
        ));
    }
    if number.is_multiple_of(5) && gaps_count() {
        looks.push_str(&format!("read /proc/self/root{share}/c\n"));
    }
    if number % 6 == 1 {
        more.push_str(&format!(
            "[ ! -e /etc/default/eye ] || . /etc/default/eye\n\
             PRE_BUILD=\"note.sh $(cat {share}/conf 2> /dev/null) $(command -v eye-{name}) $(nproc) $(hostname 2>&1) \\
             $([ -e $kernel_source_dir/include/linux/used.h ] && echo used) ${{EYE-}} ${{EYE_DEFAULT-}}\"\n"
        ));
    }
    looks.push_str(&format!(
        "hold {}\nread {share}/a\n",
        Gate::Out.path().display()
    ));
    let directory = write_package(ground, &name, &more, &looks, module);
    let inside = |inner: &str| directory.join(inner);
    put(&inside("note.sh"), SCRIPT, 0o755);
    put(&inside("patches/words.patch"), patch("two"), 0o644);
    put(&inside("words.txt"), "one\n", 0o644);
    put(&inside("note.txt"), "note\n", 0o644);
    let inputs = own_inputs(&Own {
        name: &name,
        directory: &directory,
        share: Path::new(&share),
        conf: &conf(&name, &more),
        looks: &looks,
        programs,
    });
    for input in &inputs {
        let mut rng = fastrand::Rng::with_seed(0);
        input.begin(&mut rng);
    }
    Package {
        name,
        directory,
        inputs,
        depends: depends.into_iter().collect(),
    }
}

/// What the compiler looks at.
fn looks(name: &str, share: &str, tree: &Path, programs: &Programs) -> String {
    let tree = tree.display();
    let cc1 = programs.cc1.display();
    format!(
        "hold {}\nself\nmachine\nlist .\nread note.txt\nread words.txt\nread note\nlink link\nstat link\nread added/deep/file\nstat hollow\n\
         read {share}/a\nlink {share}/a\nstat {share}/b\nlist {share}\nread {share}/deep/er/file\nstat {share}/deep\n\
         run eye-{name} looks-tool\nrun {cc1} looks-tool\nrun as looks-tool\nrun ld looks-tool\nrun eye-tool looks-tool\n\
         read /usr/share/eye/shared\nstat /usr/share/eye/shared\nread /etc/alternatives/eye\nread /etc/os-release\nread /etc/debian_version\n\
         stat /usr/local/bin/as\nread /etc/unseen\nlist /etc/dkms\nread /etc/dkms/{name}/file\n\
         read {tree}/include/linux/used.h\nread {tree}/.config\nread {tree}/Module.symvers\nlist {tree}\nstat {tree}/empty\nread {tree}/include/linux/added.h\nread {tree}/include/linux/elsewhere/shared\nlist {tree}/include/linux/elsewhere\n\
         env LANG\nenv LC_ALL\nenv TZ\nenv EYE\nenv CC\nenv MAKEFLAGS\nenv SOURCE_DATE_EPOCH\nenv KBUILD_BUILD_HOST\nenv PATH\nenv BASH_ENV\n",
        Gate::In.path().display()
    )
}
