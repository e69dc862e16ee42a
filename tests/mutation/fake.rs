//! A kernel and packages whose compiler is quick: it writes down what it sees of all that a job may look at.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    caller::Condition,
    gate::Gate,
    ground::{Ground, put},
    input::{Input, State, file, mode, program},
    machine::{self, kernel},
    outcome::MARK,
    run::Run,
    stage::{Package, Stage},
};

const NO_INPUT: [Input; 0] = [];

/// The programs in whose place it stands, by what is called.
struct Programs {
    eye: Vec<u8>,
    compiler: PathBuf,
    cc1: PathBuf,
    others: Vec<PathBuf>,
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
    fn variant(&self, number: u8) -> Vec<u8> {
        [self.eye.as_slice(), b"variant ", &[b'0' + number]].concat()
    }

    fn inputs(&self) -> Vec<Input> {
        let all = [("compiler", &self.compiler), ("cc1", &self.cc1)].into_iter();
        let others = ["as", "ld", "strip"].into_iter().zip(&self.others);
        let states = || [0, 1, 2].map(|number| program(self.variant(number)));
        all.chain(others)
            .map(|(name, path)| Input::at(name, path, states()))
            .collect()
    }
}

/// A stage with so many packages.
pub(crate) fn stage(packages: usize) -> Stage {
    let ground = Ground::new();
    let module = stripped(&ground, &machine::module(kernel()));
    let programs = Programs::install(&ground);
    Gate::make();
    let tree = kernel_tree(&ground, &programs);
    let mut shared = programs.inputs();
    shared.extend(kernel_inputs(&tree, &programs));
    shared.extend(machine_inputs(&programs));
    shared.extend(caller_inputs());
    let mut all = vec![first(&ground, &module)];
    for number in 1..=packages {
        all.push(package(&ground, number, &tree, &module, &programs));
    }
    Stage::new(ground, tree, all, shared)
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

fn config(compiler: &str, more: &str) -> String {
    format!(
        "CONFIG_MODULES=y\nCONFIG_CC_IS_GCC=y\nCONFIG_CC_VERSION_TEXT=\"{compiler} (Debian) 1\"\n{more}"
    )
}

fn kernel_inputs(tree: &Path, programs: &Programs) -> Vec<Input> {
    let at = |name: &str, inner: &str, others: &[State]| {
        Input::existing(name, &tree.join(inner), others)
    };
    let fresh = State::Fresh { mode: 0o644 };
    let compiler = programs.compiler.file_name().unwrap().to_str().unwrap();
    let modpost = [1, 2].map(|number| program(programs.variant(number)));
    let common = tree.join("../common");
    let rules = fs::read_to_string(common.join("Makefile")).unwrap();
    let more = format!("{rules}\t@echo more >> $(M)/$(name).ko\n");
    let gone = [State::Absent, fresh.clone(), mode("secret\n", 0o600)];
    vec![
        at("used header", "include/linux/used.h", &gone),
        at("unused header", "include/linux/unused.h", &gone),
        at(
            "added header",
            "include/linux/added.h",
            &[fresh.clone(), State::Link("used.h".into())],
        ),
        at(
            "hidden file of the kernel",
            "include/linux/.hidden",
            &[fresh.clone()],
        ),
        at(
            ".config",
            ".config",
            &[file(config(compiler, "CONFIG_MORE=y\n"))],
        ),
        at(
            "Module.symvers",
            "Module.symvers",
            &[fresh, State::Link("other.symvers".into())],
        ),
        at(
            "directory of the kernel",
            "empty",
            &[State::Directory, file("")],
        ),
        at("modpost", "scripts/mod/modpost", &modpost),
        Input::existing(
            "the kernel's Makefile",
            &common.join("Makefile"),
            [file(more)],
        ),
    ]
}

/// What a machine may have or lack, wherever a shell or a compiler looks.
fn machine_inputs(programs: &Programs) -> Vec<Input> {
    let fresh = || State::Fresh { mode: 0o644 };
    let make = fs::canonicalize("/usr/bin/make").unwrap();
    let sh = fs::canonicalize("/usr/bin/sh").unwrap();
    let variant = |path: &Path| program([&fs::read(path).unwrap()[..], b"other"].concat());
    vec![
        Input::existing("make", &make, [variant(&make)]),
        Input::existing("sh", &sh, [variant(&sh)]),
        Input::at(
            "an assembler earlier in PATH",
            "/usr/sbin/as",
            [State::Absent, program(programs.variant(3)), mode("", 0o644)],
        ),
        Input::at(
            "a program of /usr/local",
            "/usr/local/bin/as",
            [State::Absent, program(programs.variant(4))],
        ),
        Input::at(
            "os-release",
            "/etc/os-release",
            [
                State::Link("../usr/lib/os-release".into()),
                fresh(),
                State::Absent,
            ],
        ),
        Input::existing(
            "debian_version",
            Path::new("/etc/debian_version"),
            [fresh(), State::Absent],
        ),
        Input::at(
            "an alternative",
            "/etc/alternatives/eye",
            [
                State::Absent,
                State::Link("/usr/share/eye/shared".into()),
                State::Link("/usr/bin/make".into()),
            ],
        ),
        Input::at(
            "a file that all look at",
            "/usr/share/eye/shared",
            [
                State::Absent,
                fresh(),
                mode("secret\n", 0o600),
                State::Link("other".into()),
            ],
        ),
        Input::at(
            "what a link leads to",
            "/usr/share/eye/other",
            [State::Absent, fresh()],
        ),
        Input::at(
            "framework.conf",
            "/etc/dkms/framework.conf",
            [
                State::Absent,
                file("# nothing\n"),
                file("modprobe_on_install=yes\n"),
            ],
        ),
        Input::at(
            "a part of framework.conf",
            "/etc/dkms/framework.conf.d/eye.conf",
            [State::Absent, file("build_environment=/etc/dkms/eye.env\n")],
        ),
        Input::at(
            "build environment",
            "/etc/dkms/eye.env",
            [
                State::Absent,
                file("export EYE=one\n"),
                file("export EYE=two\nexport PATH=/opt/eye/bin:$PATH\n"),
            ],
        ),
        Input::at(
            "a program of the PATH",
            "/opt/eye/bin/eye-tool",
            [
                State::Absent,
                program(programs.variant(5)),
                program(programs.variant(6)),
            ],
        ),
        Input::at(
            "a package's sums",
            "/var/lib/dpkg/info/eye.md5sums",
            [State::Absent, fresh()],
        ),
        Input::at(
            "the machine's processors",
            "/etc/unseen",
            [State::Absent, fresh()],
        ),
    ]
}

fn caller_inputs() -> Vec<Input> {
    let variable = |name: &'static str, words: &[&'static str]| {
        Input::of_caller(name, Condition::Variable(name), words)
    };
    vec![
        Input::of_caller("umask", Condition::Umask, &["077", "027", "000"]),
        Input::of_caller("stack", Condition::Stack, &["4096", "unlimited"]),
        Input::of_caller("open files", Condition::Files, &["512", "4096"]),
        Input::of_caller("processors", Condition::Processors, &["0"]),
        Input::of_caller("host name", Condition::Host, &["elsewhere"]),
        Input::of_caller("ignored signals", Condition::Ignored, &["HUP", "INT"]),
        variable("LANG", &["C.UTF-8", "de_DE.UTF-8"]),
        variable("LC_ALL", &["C.UTF-8", "POSIX"]),
        variable("TZ", &["Asia/Tokyo", "UTC"]),
        variable("EYE", &["three"]),
        variable("CC", &["false"]),
        variable("MAKEFLAGS", &["-n", "-k"]),
        variable("SOURCE_DATE_EPOCH", &["1"]),
        variable("KBUILD_BUILD_HOST", &["elsewhere"]),
        variable("BASH_ENV", &["/etc/debian_version"]),
    ]
}

const SCRIPT: &str = "#!/bin/sh\necho \"$@\" > note\n";

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
        inputs: NO_INPUT.to_vec(),
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
    let depends = (number % 4 == 0).then(|| format!("p{}", number - 1));
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
            "read {built}/{below}.ko\nread /usr/src/{below}-1.0/note.txt\n"
        ));
    }
    if number % 5 == 0 && std::env::var_os("KILN_NO_GAPS").is_none() {
        looks.push_str(&format!("read /proc/self/root{share}/c\n"));
    }
    if number % 6 == 1 {
        more.push_str(&format!(
            "PRE_BUILD=\"note.sh $(cat {share}/conf 2> /dev/null) $(command -v eye-{name})\"\n"
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
    let fresh = || State::Fresh { mode: 0o644 };
    let own = |file: &str| PathBuf::from(&share).join(file);
    let over = PathBuf::from("/etc/dkms").join(&name);
    let looks_more = format!("{looks}read {share}/d\n");
    let inputs = vec![
        Input::existing(
            "source byte",
            &inside("note.txt"),
            [fresh(), State::Absent, State::Link("words.txt".into())],
        ),
        Input::existing(
            "source mode",
            &inside("note.sh"),
            [
                mode(SCRIPT, 0o644),
                mode(SCRIPT, 0o600),
                mode(SCRIPT, 0o700),
            ],
        ),
        Input::at(
            "link of the source",
            inside("link"),
            [
                State::Absent,
                State::Link("note.txt".into()),
                State::Link("/usr/share/eye/shared".into()),
            ],
        ),
        Input::at("hidden file", inside(".hidden"), [State::Absent, fresh()]),
        Input::at(
            "added file",
            inside("added/deep/file"),
            [State::Absent, fresh()],
        ),
        Input::at(
            "added directory",
            inside("hollow"),
            [State::Absent, State::Directory],
        ),
        Input::at(
            "patch",
            inside("patches/words.patch"),
            [file(patch("two")), file(patch("three")), file("nonsense\n")],
        ),
        Input::at(
            "what to look at",
            inside("looks"),
            [file(&looks), file(looks_more)],
        ),
        Input::at(
            "dkms.conf",
            inside("dkms.conf"),
            [
                file(conf(&name, &more)),
                file(conf(&name, &format!("{more}# more\n"))),
                file(conf(&name, &format!("{more}STRIP[0]=no\n"))),
            ],
        ),
        Input::at(
            "override",
            format!("/etc/dkms/{name}.conf"),
            [
                State::Absent,
                file("# nothing\n"),
                file("STRIP[0]=no\n"),
                file("PATCH=()\n"),
            ],
        ),
        Input::at(
            "patch of the override",
            over.join("patches/words.patch"),
            [State::Absent, file(patch("four"))],
        ),
        Input::at(
            "file of the override",
            over.join("file"),
            [State::Absent, fresh()],
        ),
        Input::at(
            "a",
            own("a"),
            [
                file("a\n"),
                fresh(),
                State::Absent,
                State::Link("b".into()),
                mode("secret\n", 0o600),
            ],
        ),
        Input::at(
            "b",
            own("b"),
            [State::Absent, fresh(), program("b\n"), State::Directory],
        ),
        Input::at("c", own("c"), [State::Absent, fresh()]),
        Input::at("d", own("d"), [State::Absent, fresh()]),
        Input::at("deep", own("deep/er/file"), [State::Absent, fresh()]),
        Input::at(
            "what the conf reads",
            own("conf"),
            [State::Absent, file("one\n"), file("two\n")],
        ),
        Input::at(
            "a program",
            format!("/usr/bin/eye-{name}"),
            [
                State::Absent,
                program(programs.variant(7)),
                program(programs.variant(8)),
                mode("", 0o644),
            ],
        ),
    ];
    for input in &inputs {
        let mut rng = fastrand::Rng::with_seed(0);
        input.begin(&mut rng);
    }
    let mut all = vec!["first".to_owned()];
    all.extend(depends);
    all.remove(0);
    Package {
        name,
        directory,
        inputs,
        depends: all,
    }
}

fn patch(word: &str) -> String {
    format!("--- a/words.txt\n+++ b/words.txt\n@@ -1 +1 @@\n-one\n+{word}\n")
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
         read {tree}/include/linux/used.h\nread {tree}/.config\nread {tree}/Module.symvers\nlist {tree}\nstat {tree}/empty\nread {tree}/include/linux/added.h\n\
         env LANG\nenv LC_ALL\nenv TZ\nenv EYE\nenv CC\nenv MAKEFLAGS\nenv SOURCE_DATE_EPOCH\nenv KBUILD_BUILD_HOST\nenv PATH\nenv BASH_ENV\n",
        Gate::In.path().display()
    )
}
