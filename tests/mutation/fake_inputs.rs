//! The inputs of the fake form's jobs, each with the states that it may be in.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    caller::Condition,
    fake::{Programs, config},
    input::{Input, State, file, mode, program},
};

/// What a package's script says, and so what its conf said.
pub(crate) const SCRIPT: &str = "#!/bin/sh\necho \"$@\" > note\n";

/// The inputs of all packages.
pub(crate) fn shared_inputs(tree: &Path, programs: &Programs) -> Vec<Input> {
    let mut inputs = program_inputs(programs);
    inputs.extend(kernel_inputs(tree, programs));
    inputs.extend(machine_inputs(programs));
    inputs.extend(caller_inputs());
    inputs
}

fn program_inputs(programs: &Programs) -> Vec<Input> {
    let all = [("compiler", &programs.compiler), ("cc1", &programs.cc1)].into_iter();
    let others = ["as", "ld", "strip"].into_iter().zip(&programs.others);
    let states = || [0, 1, 2].map(|number| program(programs.variant(number)));
    all.chain(others)
        .map(|(name, path)| Input::at(name, path, states()))
        .collect()
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
    let gone = [
        State::Absent,
        fresh.clone(),
        mode("used\n", 0o600),
        State::Link("/usr/share/eye/shared".into()),
    ];
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
            std::slice::from_ref(&fresh),
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
        at(
            "link of the kernel",
            "include/linux/elsewhere",
            &[
                State::Link("/usr/share/eye".into()),
                State::Link("../../../common".into()),
                State::Link("/opt/eye/bin".into()),
            ],
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
                file("shared\n"),
                mode("shared\n", 0o600),
                fresh(),
                State::Link("other".into()),
                State::Directory,
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
        )
        .read_once(),
        Input::at(
            "a part of framework.conf",
            "/etc/dkms/framework.conf.d/eye.conf",
            [State::Absent, file("build_environment=/etc/dkms/eye.env\n")],
        )
        .read_once(),
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
        Input::at("a file of /etc", "/etc/unseen", [State::Absent, fresh()]),
        Input::at(
            "a file of /etc/default",
            "/etc/default/eye",
            [
                State::Absent,
                file("EYE_DEFAULT=one\n"),
                file("EYE_DEFAULT=two\n"),
            ],
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

/// What the inputs of one package are made from.
pub(crate) struct Own<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// Its source.
    pub(crate) directory: &'a Path,
    /// The system's directory that only it looks at.
    pub(crate) share: &'a Path,
    /// Its dkms.conf.
    pub(crate) conf: &'a str,
    /// What its compiler looks at.
    pub(crate) looks: &'a str,
    /// The programs.
    pub(crate) programs: &'a Programs,
}

/// The inputs of one package.
pub(crate) fn own_inputs(of: &Own<'_>) -> Vec<Input> {
    let fresh = || State::Fresh { mode: 0o644 };
    let Own {
        name,
        directory,
        share,
        conf,
        looks,
        programs,
    } = *of;
    let inside = |inner: &str| directory.join(inner);
    let own = |file: &str| share.join(file);
    let over = PathBuf::from("/etc/dkms").join(name);
    let looks_more = format!("{looks}read {}\n", own("d").display());
    vec![
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
        Input::at(
            "source for dependents",
            inside("aside.txt"),
            [file("aside\n"), fresh()],
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
            [file(looks), file(looks_more)],
        ),
        Input::at(
            "dkms.conf",
            inside("dkms.conf"),
            [
                file(conf),
                file(format!("{conf}# more\n")),
                file(format!("{conf}STRIP[0]=no\n")),
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
            "override of the version",
            format!("/etc/dkms/{name}-1.0.conf"),
            [
                file("# nothing\n"),
                file(format!(
                    "MAKE[0]=\"echo more >> mark; make -C $kernel_source_dir M=$dkms_tree/{name}/1.0/build modules\"\n"
                )),
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
                mode("a\n", 0o600),
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
                State::Link(programs.compiler.clone()),
                mode("", 0o644),
            ],
        ),
    ]
}

/// A patch that writes a word.
pub(crate) fn patch(word: &str) -> String {
    format!("--- a/words.txt\n+++ b/words.txt\n@@ -1 +1 @@\n-one\n+{word}\n")
}
