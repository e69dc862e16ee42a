//! Modules that the machine's own compiler builds for an installed kernel, whose headers and programs are changed so that
//! it shows in a module.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use super::{
    caller::Condition,
    gate::Gate,
    ground::{Ground, put},
    input::{Input, State, file, mode, program},
    machine::{self, HELLO_C, kernel},
    run::Run,
    stage::{Package, Stage},
};

/// Where what stands for something else keeps what it stands for.
const KEPT: &str = "/usr/share/eye";

/// A stage with two packages, the second of which depends on the first.
pub(crate) fn stage() -> Stage {
    let ground = Ground::new();
    Gate::make();
    fs::create_dir_all(KEPT).unwrap();
    let tree = fs::canonicalize(machine::tree(kernel())).unwrap();
    let mut shared = kernel_inputs(&tree);
    shared.extend(tool_inputs());
    shared.extend(machine_inputs());
    let packages = vec![first(&ground), one(&ground), two(&ground)];
    Stage::new(
        ground,
        PathBuf::from(kernel()),
        packages,
        shared,
        Duration::from_secs(60),
    )
}

/// A script that runs what is kept of a program, with `before` and `after`.
fn stand_in(name: &str, path: &Path, script: &str) -> Input {
    let kept = Path::new(KEPT).join(name);
    fs::copy(path, &kept).unwrap();
    let variant = |number: &str| {
        program(
            script
                .replace("KEPT", kept.to_str().unwrap())
                .replace("NUMBER", number),
        )
    };
    Input::existing(name, path, [variant("1"), variant("2")])
}

fn kernel_inputs(tree: &Path) -> Vec<Input> {
    let include = fs::canonicalize(tree.join("source")).ok();
    let common = common(tree).or(include).unwrap_or_else(|| tree.to_owned());
    let appended = |path: &Path, more: &str| {
        let mut content = fs::read(path).unwrap();
        content.extend_from_slice(more.as_bytes());
        content
    };
    let at = |name: &str, path: PathBuf, more: &[&str]| {
        let states: Vec<State> = more
            .iter()
            .map(|more| file(appended(&path, more)))
            .collect();
        Input::existing(name, &path, states)
    };
    let header = |number: u8| {
        format!(
            "\n#ifndef __ASSEMBLY__\nstatic const char __attribute__((used)) mutated[] = \"{number}\";\n#endif\n"
        )
    };
    let used = common.join("include/linux/moduleparam.h");
    let symbols = tree.join("Module.symvers");
    let other_crc = other_crc(&fs::read_to_string(&symbols).unwrap());
    let modpost = fs::canonicalize(tree.join("scripts/mod/modpost")).unwrap();
    // Debian's is a small program that runs one of several beside it, by its own name.
    let behind = modpost.with_file_name("modpost.real-lsb-64");
    let modpost = if behind.exists() { behind } else { modpost };
    let more = "#!/bin/sh\nKEPT \"$@\" || exit\nfor f in /var/lib/dkms/*/1.0/build/*.mod.c; do\n\
                echo 'MODULE_INFO(mutated, \"NUMBER\");' >> \"$f\"\ndone\n";
    vec![
        at("used header", used, &[&header(1), &header(2)]),
        at(
            "unused header",
            common.join("include/linux/zorro.h"),
            &["\n/* other */\n"],
        ),
        Input::at(
            "added header",
            common.join("include/linux/eye.h"),
            [State::Absent, file("#define EYE \"added\"\n")],
        ),
        at(
            "autoconf.h",
            tree.join("include/generated/autoconf.h"),
            &["#define CONFIG_EYE 1\n"],
        ),
        at(
            "auto.conf",
            tree.join("include/config/auto.conf"),
            &["CONFIG_EYE=y\n"],
        ),
        at(".config", tree.join(".config"), &["CONFIG_EYE=y\n"]),
        Input::existing("Module.symvers", &symbols, [file(other_crc)]),
        stand_in("modpost", &modpost, more),
    ]
}

/// The tree that a Debian kernel's Makefile includes.
fn common(tree: &Path) -> Option<PathBuf> {
    let text = fs::read_to_string(tree.join("Makefile")).ok()?;
    let path = text
        .split_whitespace()
        .find(|word| word.starts_with("/usr/src/"))?;
    Some(PathBuf::from(path).parent()?.to_owned()).filter(|common| common.join("include").is_dir())
}

/// A list of symbols in which one that only the compiled modules need has another version.
fn other_crc(symbols: &str) -> String {
    let other = |line: &str| match line.split_once('\t') {
        Some((_, rest)) if rest.starts_with("param_ops_int\t") => format!("0x01234567\t{rest}\n"),
        _ => format!("{line}\n"),
    };
    symbols.lines().map(other).collect()
}

fn tool_inputs() -> Vec<Input> {
    let real = |name: &str| fs::canonicalize(Path::new("/usr/bin").join(name)).unwrap();
    let mut ask = Command::new(machine::compiler());
    let cc1 = Run::of(ask.arg("-print-prog-name=cc1")).exits(0).out;
    let cc1 = PathBuf::from(cc1.trim());
    vec![
        Input::existing(
            "cc1",
            &cc1,
            [program(other_ident(&fs::read(&cc1).unwrap()))],
        ),
        stand_in(
            "compiler",
            &real(&machine::compiler()),
            "#!/bin/sh\nexec KEPT -DMUTATED_GCC=NUMBER \"$@\"\n",
        ),
        stand_in(
            "as",
            &real("as"),
            "#!/bin/sh\nexec KEPT --defsym mutated_as=NUMBER \"$@\"\n",
        ),
        stand_in(
            "ld",
            &real("ld"),
            "#!/bin/sh\nexec KEPT --defsym=mutated_ld=NUMBER \"$@\"\n",
        ),
        stand_in(
            "make",
            &real("make"),
            "#!/bin/sh\nKCPPFLAGS=-DMUTATED_MAKE=NUMBER exec KEPT \"$@\"\n",
        ),
        stand_in(
            "sh",
            &real("sh"),
            "#!/bin/bash\nexport MUTATED_SH=NUMBER\nexec KEPT \"$@\"\n",
        ),
        stand_in(
            "strip",
            &real("strip"),
            "#!/bin/sh\nKEPT \"$@\" || exit\nfor last; do :; done\nprintf NUMBER >> \"$last\"\n",
        ),
    ]
}

/// A compiler that calls itself by another name in what it makes.
fn other_ident(cc1: &[u8]) -> Vec<u8> {
    let mut other = cc1.to_owned();
    let comment = b"GCC: ";
    let places: Vec<usize> = (0..cc1.len() - comment.len())
        .filter(|at| cc1[*at..].starts_with(comment))
        .collect();
    for at in places {
        other[at] = b'g';
    }
    other
}

fn machine_inputs() -> Vec<Input> {
    let fresh = || State::Fresh { mode: 0o644 };
    vec![
        Input::at(
            "a header of the machine",
            "/usr/share/eye/eye.h",
            [
                State::Absent,
                file("#define MACHINE \"one\"\n"),
                file("#define MACHINE \"two\"\n"),
            ],
        ),
        Input::at(
            "a program",
            "/usr/bin/mygen",
            [
                State::Absent,
                program("#!/bin/sh\necho one\n"),
                program("#!/bin/sh\necho two\n"),
                mode("", 0o644),
            ],
        ),
        Input::at(
            "a strip earlier in PATH",
            "/usr/sbin/strip",
            [State::Absent, program("#!/bin/sh\nexit 0\n")],
        ),
        Input::at(
            "a program of /usr/local",
            "/usr/local/bin/mygen",
            [State::Absent, program("#!/bin/sh\necho local\n")],
        ),
        Input::at(
            "framework.conf",
            "/etc/dkms/framework.conf",
            [State::Absent, file("build_environment=/etc/dkms/eye.env\n")],
        )
        .read_once(),
        Input::at(
            "build environment",
            "/etc/dkms/eye.env",
            [
                State::Absent,
                file("export EYE=one\n"),
                file("export PATH=/opt/eye/bin:$PATH\n"),
            ],
        ),
        Input::at(
            "a program of the PATH",
            "/opt/eye/bin/mygen",
            [State::Absent, program("#!/bin/sh\necho path\n")],
        ),
        Input::at(
            "os-release",
            "/etc/os-release",
            [State::Link("../usr/lib/os-release".into()), fresh()],
        ),
        Input::of_caller("umask", Condition::Umask, &["077", "000"]),
        Input::of_caller("stack", Condition::Stack, &["64", "unlimited"]),
        Input::of_caller("processors", Condition::Processors, &["0"]),
        Input::of_caller("host name", Condition::Host, &["elsewhere"]),
        Input::of_caller("locale", Condition::Variable("LC_ALL"), &["C.UTF-8"]),
        Input::of_caller("time zone", Condition::Variable("TZ"), &["Asia/Tokyo"]),
        Input::of_caller(
            "KCFLAGS",
            Condition::Variable("KCFLAGS"),
            &["-DMUTATED_ENV"],
        ),
        Input::of_caller(
            "CROSS_COMPILE",
            Condition::Variable("CROSS_COMPILE"),
            &["no-such-"],
        ),
    ]
}

fn conf(name: &str, more: &str) -> String {
    let (before, after) = (Gate::In.path(), Gate::Out.path());
    format!(
        "PACKAGE_NAME={name}\nPACKAGE_VERSION=1.0\nBUILT_MODULE_NAME[0]={name}\nDEST_MODULE_LOCATION[0]=/updates\n\
         MAKE[0]=\"flock -s {} true; make -j2 -C ${{kernel_source_dir}} M=${{dkms_tree}}/{name}/1.0/build && flock -s {} true\"\n{more}",
        before.display(),
        after.display()
    )
}

/// What all others depend on.
fn first(ground: &Ground) -> Package {
    let name = "first".to_owned();
    let make = format!(
        "MAKE[0]=\"flock -s {} true; cp prebuilt.ko first.ko\"\nSTRIP[0]=no\n",
        Gate::Before.path().display()
    );
    ground.write("first/dkms.conf", conf(&name, &make));
    ground.write("first/prebuilt.ko", machine::module(kernel()));
    Package {
        directory: ground.path("first"),
        name,
        inputs: Vec::new(),
        depends: Vec::new(),
    }
}

/// What shows in both modules.
fn source(name: &str, more: &str) -> String {
    let shown = |name: &str| {
        format!(
            "#ifdef {name}\n#define S_{name} MODULE_INFO(s_{name}, __stringify({name}));\nS_{name}\n#endif\n"
        )
    };
    let names = [
        "MUTATED_GCC",
        "MUTATED_MAKE",
        "MUTATED_ENV",
        "CONFIG_EYE",
        "EYE_CONF",
        "EYE",
        "MACHINE",
        "MADE_BY_SH",
        "MADE",
        "NOTE",
        "HIDDEN",
    ];
    let shown: String = names.map(shown).concat();
    format!(
        "#include <linux/stringify.h>\n#include \"note.h\"\n#include \"gen.h\"\n\
         #if __has_include(<linux/eye.h>)\n#include <linux/eye.h>\n#endif\n\
         #if __has_include(\"/usr/share/eye/eye.h\")\n#include \"/usr/share/eye/eye.h\"\n#endif\n\
         #if __has_include(\".hidden.h\")\n#include \".hidden.h\"\n#endif\n\
         #if __has_include(\"link.h\")\n#undef NOTE\n#include \"link.h\"\n#endif\n\
         {HELLO_C}\n{shown}\n/* {name} */\nstatic int word = 1;\nmodule_param(word, int, 0);\n{more}\n"
    )
}

const GEN: &str = "echo \"#define MADE_BY_SH \\\"$MUTATED_SH\\\"\"\necho \"#define MADE \\\"$(mygen) $EYE\\\"\"\n";

fn write(ground: &Ground, name: &str, more: &str, code: &str) -> PathBuf {
    let makefile = "obj-m := NAME.o\nccflags-$(CONFIG_EYE) += -DEYE_CONF\n\
                    $(obj)/NAME.o: $(obj)/gen.h\n$(obj)/gen.h: FORCE\n\tsh $(src)/gen.sh > $@\n\
                    KBUILD_EXTRA_SYMBOLS := $(wildcard /var/lib/dkms/m1/1.0/*/*/module/Module.symvers)\n";
    ground.write(format!("{name}/dkms.conf"), conf(name, more));
    ground.write(format!("{name}/Makefile"), makefile.replace("NAME", name));
    ground.write(format!("{name}/gen.sh"), GEN);
    ground.write(format!("{name}/note.h"), "#define NOTE 0\n");
    ground.write(format!("{name}/{name}.c"), source(name, code));
    ground.write(format!("{name}/patches/word.patch"), patch(name, 2));
    ground.path(name)
}

fn patch(name: &str, number: u8) -> String {
    let hunk = "@@ -1,2 +1,2 @@\n";
    format!(
        "--- a/patched.h\n+++ b/patched.h\n{hunk}-#define PATCHED 1\n+#define PATCHED {number}\n /* {name} */\n"
    )
}

fn own_inputs(name: &str, directory: &Path) -> Vec<Input> {
    let inside = |inner: &str| directory.join(inner);
    let notes = ["1", "2"].map(|number| file(format!("#define NOTE {number}\n")));
    put(
        &inside("patched.h"),
        format!("#define PATCHED 1\n/* {name} */\n"),
        0o644,
    );
    vec![
        Input::existing("source byte", &inside("note.h"), notes),
        Input::existing(
            "source mode",
            &inside("gen.sh"),
            [mode(GEN, 0o755), mode(GEN, 0o600)],
        ),
        Input::at(
            "hidden file",
            inside(".hidden.h"),
            [State::Absent, file("#define HIDDEN 1\n")],
        ),
        Input::at(
            "added file",
            inside("linux/eye.h"),
            [State::Absent, file("#define EYE \"own\"\n")],
        ),
        Input::at(
            "link of the source",
            inside("link.h"),
            [
                State::Absent,
                State::Link("note.h".into()),
                State::Link("/usr/share/eye/eye.h".into()),
            ],
        ),
        Input::at(
            "patch",
            inside("patches/word.patch"),
            [file(patch(name, 2)), file(patch(name, 3)), State::Absent],
        ),
        Input::at(
            "override",
            format!("/etc/dkms/{name}.conf"),
            [
                State::Absent,
                file("STRIP[0]=no\n"),
                file("PATCH[0]=word.patch\n"),
            ],
        ),
        Input::at(
            "patch of the override",
            format!("/etc/dkms/{name}/patches/word.patch"),
            [State::Absent, file(patch(name, 4))],
        ),
    ]
}

fn one(ground: &Ground) -> Package {
    let code = "#include \"patched.h\"\nint mutated_one = PATCHED;\nEXPORT_SYMBOL(mutated_one);\n";
    let directory = write(
        ground,
        "m1",
        "PATCH[0]=word.patch\nBUILD_DEPENDS[0]=first\n",
        code,
    );
    let mut inputs = own_inputs("m1", &directory);
    let c = directory.join("m1.c");
    let other = fs::read_to_string(&c)
        .unwrap()
        .replace("int mutated_one", "long mutated_one");
    inputs.push(Input::existing(
        "type of an exported symbol",
        &c,
        [file(other)],
    ));
    Package {
        name: "m1".to_owned(),
        directory,
        inputs,
        depends: Vec::new(),
    }
}

fn two(ground: &Ground) -> Package {
    let code = "#include \"/usr/src/m1-1.0/note.h\"\n#include \"patched.h\"\nextern int mutated_one;\n\
                int mutated_two(void);\nint mutated_two(void) { return mutated_one + PATCHED + NOTE; }\n";
    let more = "PATCH[0]=word.patch\nBUILD_DEPENDS=(first m1)\n";
    let directory = write(
        ground,
        "m2",
        more,
        &code.replace("#include \"/usr/src", "#undef NOTE\n#include \"/usr/src"),
    );
    Package {
        name: "m2".to_owned(),
        inputs: own_inputs("m2", &directory),
        directory,
        depends: vec!["m1".to_owned()],
    }
}
