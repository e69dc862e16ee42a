//! What a job looks at of the system is in its key: programs that it runs in roundabout ways, files that it looks
//! for in vain, and nothing that it does not look at.

use std::fs;

use super::{
    machine::{self, kernel},
    run::Run,
    world::World,
};

/// Lets a machine have the program `mygen`, which prints a word, and a header that defines it.
const INSTALL: &str = r#"
for directory in bin share; do
    mkdir -p "$WORLD/layers/upper/$directory" "$WORLD/layers/work/$directory"
    mount -t overlay overlay -o "lowerdir=/usr/$directory,upperdir=$WORLD/layers/upper/$directory,workdir=$WORLD/layers/work/$directory" "/usr/$directory"
done
install_mygen() {
    printf '#!/bin/sh\necho %s\n' "$1" > /usr/bin/mygen
    chmod 755 /usr/bin/mygen
    # A program that no shell reads.
    case $1 in 2) cp /usr/bin/basename /usr/bin/mybin ;; *) cp /usr/bin/dirname /usr/bin/mybin ;; esac
    mkdir -p /usr/share/mygen
    printf '#define MYGEN "%s"\n' "$1" > /usr/share/mygen/mygen.h
    # As a package's files, which have the same times wherever they are installed.
    touch -d "@$1" /usr/bin/mygen /usr/bin/mybin /usr/share/mygen/mygen.h
}
"#;

struct Case {
    world: World,
    package: String,
}

impl Case {
    /// A package whose module is what a script prints that `commands` write into `word`.
    fn of(commands: &str) -> Self {
        let world = World::new();
        let package = world.package(
            "odd",
            "MAKE[0]='sh ./all.sh && cp prebuilt/${kernelver}.ko odd.ko && \
             objcopy --add-section .word=word odd.ko'",
        );
        world.write("odd/all.sh", commands);
        Self { world, package }
    }

    /// Builds on a machine that is changed by a script first; gives what was printed and the module's digest.
    fn build(&self, change: &str, more: &str) -> (Run, String) {
        let line = format!("build {} -k {} -o out {more}", self.package, kernel());
        // Times of files within one tick of the clock tell nothing.
        let change = format!("{INSTALL}\n{change}\nsleep 0.05");
        let run = self.world.on_machine(&change, line).exits(0);
        let module = self.world.path(format!(
            "out/{}/{}/odd/1.0/odd.ko",
            kernel(),
            machine::arch()
        ));
        let module = fs::read(module).unwrap();
        (run, String::from_utf8_lossy(&module).into_owned())
    }

    /// Asserts that a build after a change gives what one with an empty cache does; gives what was printed.
    fn as_clean(&self, change: &str) -> Run {
        let (run, module) = self.build(change, "");
        let (_, clean) = self.build(change, "--cache-dir clean");
        fs::remove_dir_all(self.world.path("clean")).unwrap();
        assert!(
            module == clean,
            "another module than with an empty cache: {run}"
        );
        run
    }
}

#[test]
fn programs_that_are_run_in_roundabout_ways_count() {
    let ways = [
        "mygen > word",
        "printf 'G != mygen\\nall: ; echo $(G) > word\\n' > m; make -f m",
        "printf 'all: ; echo ${shell mygen} > word\\n' > m; make -f m",
        "echo 'mygen > word' > gen.sh; sh ./gen.sh",
        "if true; then env mygen > word; fi",
        "echo mygen | xargs -n1 env > word",
        "ln -s /usr/share/mygen/mygen.h word; cat word > w; mv w word",
        "printf '#!/usr/bin/mygen\\n' > gen; chmod +x gen; ./gen > word",
        "(cd /usr/share/mygen && cat mygen.h) > word",
    ];
    for way in ways {
        let case = Case::of(way);
        case.as_clean("install_mygen 2").says("built");
        case.build("install_mygen 2", "").0.says("from the cache");
        case.as_clean("install_mygen 3").says("built");
    }
}

#[test]
fn a_path_counts_by_where_it_leads() {
    // `..` is above what a link leads to, not above the link; links move, and scripts are named by others.
    let ways = [
        "cat /lib/../share/mygen/mygen.h > word",
        "cat /lib/modules/*/build/../../share/mygen/mygen.h > word || cat /lib/modules/*/build/../share/mygen/mygen.h > word",
        "cat ${up}usr/share/mygen/mygen.h > word",
        "mkdir /tmp/own; cat /tmp/own/../../usr/share/mygen/mygen.h > word",
        "mkdir -p own/x; ln -s own/x s; cat s/../../${up}usr/share/mygen/mygen.h > word",
        "ln -s /lib/systemd s; cat s/../../share/mygen/mygen.h > word",
        "mkdir -p /tmp/a/b; ln -s ../../usr/share/mygen/mygen.h /tmp/a/b/l; mv /tmp/a/b/l /tmp/a/l; cat /tmp/a/l > word",
        "mkdir -p /tmp/a/b; ln -s ../../usr/share/mygen/mygen.h /tmp/a/b/l; ln /tmp/a/b/l /tmp/a/l; cat /tmp/a/l > word",
        "mkdir -p /tmp/a/b/c; ln -s ../../../usr/share/mygen/mygen.h /tmp/a/b/c/l; mv /tmp/a/b/c /tmp/a/c; cat /tmp/a/c/l > word",
        "mkdir -p /tmp/a; cat /tmp/a/l || :; ln -s /usr/share/mygen/mygen.h /tmp/a/l; cat /tmp/a/l > word",
        "printf '#!%susr/bin/mybin\n' $up > s; chmod +x s; ./s > word",
        "printf '#!/usr/bin/mybin\n' > s; chmod +x s; perl -e 'open(F, q(<), q(s)); fcntl(F, 2, 0); $p = q(s); $e = q(); \
         $a = pack(q(pJ), $p, 0); $n = pack(q(J), 0); syscall(322, fileno(F), $e, $a, $n, 0x1000); die $!' > word",
    ];
    for way in ways {
        let case = Case::of(&format!("up=$(pwd -P | sed 's|/[^/]*|../|g')\n{way}"));
        case.as_clean("install_mygen 2");
        case.as_clean("install_mygen 3");
    }
    for way in ways_in_vain() {
        let case = Case::of(way);
        case.as_clean("");
        case.as_clean("install_mygen 2");
    }
}

/// Ways to look for a file that is not there.
fn ways_in_vain() -> [&'static str; 3] {
    [
        "[ -e /bin/../share/mygen/mygen.h ] && echo with > word || echo without > word",
        "mkdir -p /tmp/a/b; ln -s ../../usr/share/mygen/mygen.h /tmp/a/b/l; mv /tmp/a/b/l /tmp/a/l; \
         [ -e /tmp/a/l ] && echo with > word || echo without > word",
        "mkdir /tmp/own; cd /tmp/own; rmdir /tmp/own; [ -e ../../usr/share/mygen/mygen.h ] && echo with > \"$OLDPWD/word\" || echo without > \"$OLDPWD/word\"",
    ]
}

#[test]
fn what_is_looked_for_in_vain_counts() {
    let ways = [
        "if [ -e /usr/share/mygen/mygen.h ]; then echo with; else echo without; fi > word",
        "printf 'all: ; echo $(wildcard /usr/share/mygen/*) > word\\n' > m; make -f m",
        "command -v mygen > word || true",
        "(cat /usr/share/mygen/mygen.h || echo none) > word",
        "echo /usr/share/*/mygen.h > word",
        "perl -MSocket -e 'socket(S, AF_UNIX, SOCK_STREAM, 0); connect(S, sockaddr_un(qq(/usr/share/mygen/mygen.h))); print qq($!)' > word",
    ];
    for way in ways {
        let case = Case::of(way);
        case.as_clean("").says("built");
        case.build("", "").0.says("from the cache");
        case.as_clean("install_mygen 2").says("built");
        case.as_clean("").says("from the cache");
    }
}

#[test]
fn what_is_not_looked_at_does_not_count() {
    let case = Case::of("echo constant > word");
    case.build("install_mygen 2", "").0.says("built");
    case.build("install_mygen 3; echo > /usr/bin/other", "")
        .0
        .says("from the cache");
    case.build("", "").0.says("from the cache");
}

#[test]
fn a_change_is_explained_by_the_path() {
    let case = Case::of("mygen > word");
    case.build("install_mygen 2", "");
    let line = format!("explain {} -k {}", case.package, kernel());
    case.world
        .on_machine(&format!("{INSTALL}\ninstall_mygen 3"), line)
        .exits(0)
        .says("changed: system files looked up")
        .says("execute /usr/bin/mygen");
}

#[test]
fn a_job_that_cannot_be_followed_depends_on_everything() {
    let case = Case::of("cat /proc/self/root/usr/share/mygen/mygen.h > word");
    case.as_clean("install_mygen 2").says("built");
    case.as_clean("install_mygen 3").says("built");
}

#[test]
fn a_job_that_cannot_be_followed_is_known_until_something_changes() {
    for (way, reason) in [
        (
            "cat /proc/self/root/usr/share/common-licenses/BSD > word",
            "/proc/self/root/usr/share/common-licenses/BSD leads to",
        ),
        (
            "ln -s /usr/share/common-licenses l; cat l/BSD > word",
            "a link leads to the directory /usr/share/common-licenses",
        ),
    ] {
        let case = Case::of(way);
        case.world.build(&case.package, "").exits(0).says("built");
        case.world
            .build(&case.package, "")
            .exits(0)
            .says("from the cache");
        let line = format!("explain {} -k {}", case.package, kernel());
        let everything = "depends on everything installed: ";
        (case.world.kiln(line).exits(0)).says(&format!("{everything}{reason}"));
        case.build("echo > /usr/share/any", "").0.says("built");
    }
}

#[test]
fn a_failure_ends_when_what_it_missed_is_there() {
    let world = World::new();
    let package = world.package(
        "odd",
        "MAKE[0]='mygen > word && cp prebuilt/${kernelver}.ko odd.ko'",
    );
    let line = format!("build {package} -k {}", kernel());
    world.on_machine(INSTALL, &line).exits(1);
    let install = format!("{INSTALL}\ninstall_mygen 2");
    world.on_machine(&install, &line).exits(0).says("built");
}

#[test]
fn a_program_that_moves_while_a_job_runs_voids_it() {
    let case = Case::of("mygen > word; sleep 1; mygen >> word");
    // Replaced and put back: what is there in the end is what was there before.
    let swap = "install_mygen 2
(sleep 3; cp -p /usr/bin/mygen /usr/bin/kept; install_mygen 3; sleep 0.3; mv /usr/bin/kept /usr/bin/mygen) &";
    let line = format!("build {} -k {}", case.package, kernel());
    let slow = case.world.package(
        "odd",
        "MAKE[0]='mygen > word; sleep 6; cp prebuilt/${kernelver}.ko odd.ko'",
    );
    assert_eq!(slow, case.package);
    let run = case.world.on_machine(&format!("{INSTALL}\n{swap}"), &line);
    run.exits(0)
        .says("mygen changed during the build; what it goes into is built again")
        .says("1 built");
    case.world
        .on_machine(&format!("{INSTALL}\ninstall_mygen 2\nsleep 0.05"), &line)
        .exits(0)
        .says("from the cache");
}

#[test]
fn what_is_reached_through_what_is_open_counts() {
    for way in [
        "(exec 5< /usr/share; cat /dev/fd/5/mygen/mygen.h) > word",
        "cat /dev/stdin/mygen.h < /usr/share/mygen > word",
        "(cd /usr/share/misc; cat /proc/self/cwd/../mygen/mygen.h) > word",
    ] {
        let case = Case::of(way);
        case.as_clean("install_mygen 2").says("built");
        case.as_clean("install_mygen 3").says("built");
    }
}

#[test]
fn where_nothing_may_be_executed_counts() {
    let mounted = |options: &str| {
        format!(
            "install_mygen 2\nmount -t tmpfs none /usr/share/mygen\ncp /usr/bin/mygen /usr/share/mygen/run\n\
                 touch -d @2 /usr/share/mygen/run\nmount -o remount,{options} /usr/share/mygen"
        )
    };
    let case = Case::of("(/usr/share/mygen/run || echo fallback) > word");
    let (_, module) = case.build(&mounted("exec"), "");
    assert!(!module.contains("fallback"));
    case.as_clean(&mounted("noexec"));
    let (_, module) = case.build(&mounted("noexec"), "");
    assert!(module.contains("fallback"));
}

#[test]
fn builds_run_what_they_make_wherever_the_cache_is() {
    let case = Case::of(
        "printf '#!/bin/sh\necho made\n' > run; chmod +x run; (./run || echo fallback) > word",
    );
    let cache = case.world.path("mounted");
    fs::create_dir(&cache).unwrap();
    let mount = format!("mount -t tmpfs -o noexec,mode=755 none {}", cache.display());
    let more = format!("--cache-dir {}/cache", cache.display());
    let (_, module) = case.build(&mount, &more);
    assert!(module.contains("made\n"));
    let everywhere =
        format!("{mount}\nmount --bind /var/tmp /var/tmp\nmount -o remount,bind,noexec /var/tmp");
    let line = format!("build {} -k {} {more}", case.package, kernel());
    case.world
        .on_machine(&everywhere, line)
        .exits(3)
        .says("mounted noexec");
}

#[test]
fn nothing_of_the_machine_shows() {
    let case = Case::of(
        "for f in cpuinfo version sys/kernel/osrelease sys/kernel/random/boot_id cmdline meminfo; do \
         echo $f; cat /proc/$f; done > word; nproc >> word; ls /sys >> word 2>&1 || true; \
         echo pages: $(getconf _PHYS_PAGES) $(getconf PAGE_SIZE) >> word",
    );
    let (_, module) = case.build("", "");
    let word = &module[module.find("cpuinfo\n").unwrap()..];
    assert!(word.contains(&format!("{}\n", kernel())), "{word}");
    assert!(word.contains("00000000-0000"), "{word}");
    assert!(word.contains("pages: 2097152 4096"), "{word}");
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let cmdline = fs::read_to_string("/proc/cmdline").unwrap();
    for secret in [boot.trim(), cmdline.trim(), "MHz"] {
        assert!(!word.contains(secret), "{secret:?} in {word}");
    }
}

#[test]
fn programs_are_told_of_the_kernel_that_is_built_for() {
    let case = Case::of(
        "perl -MPOSIX -e 'print join(q( ), POSIX::uname())' > word; setarch --show >> word 2>&1 || true",
    );
    let (_, module) = case.build("", "");
    let told = format!("Linux kiln {} #1 {}", kernel(), machine::arch());
    assert!(module.contains(&told), "{module}");
    let old = "set -- setarch --uname-2.6 --addr-no-randomize \"$@\"";
    case.as_clean(old).says("from the cache");
    let (_, other) = case.build(old, "--cache-dir other");
    assert!(module == other);
}

#[test]
fn what_a_program_would_mount_for_itself_is_refused_and_hides_nothing() {
    for way in [
        "unshare -rm sh -c 'mkdir m; mount --bind /usr/share/mygen m; cat m/mygen.h' > word || echo none > word",
        "unshare -rm chroot /usr cat /share/mygen/mygen.h > word 2>&1 || echo none > word",
    ] {
        let case = Case::of(way);
        let (_, module) = case.build("install_mygen 2", "");
        assert!(module.contains("none"), "{module}");
        case.as_clean("install_mygen 3").says("from the cache");
    }
}

#[test]
fn times_of_files_and_rights_count() {
    let case = Case::of(
        "if [ /usr/bin/mygen -nt /usr/share/mygen/mygen.h ]; then echo newer; else echo older; fi > word; \
         [ ! -u /usr/bin/mygen ] || echo special >> word; cat /usr/share/mygen/mygen.h >> word || true",
    );
    case.as_clean("install_mygen 2").says("built");
    case.as_clean("install_mygen 2; touch -d @5 /usr/bin/mygen")
        .says("built");
    case.as_clean("install_mygen 2; chmod u+s /usr/bin/mygen")
        .says("built");
    case.as_clean("install_mygen 2; chmod 640 /usr/share/mygen/mygen.h")
        .says("built");
    case.as_clean("install_mygen 2").says("from the cache");
}

#[test]
fn what_the_caller_has_open_is_closed_to_builds() {
    let case = Case::of("cat <&7 > word || echo closed > word; ls /proc/self/fd >> word");
    let open = "echo hidden > $WORLD/secret; chmod 600 $WORLD/secret; exec 7< $WORLD/secret";
    let (_, module) = case.build(open, "");
    assert!(module.contains("closed\n"), "{module}");
    assert!(!module.contains("hidden"), "{module}");
    case.as_clean("").says("from the cache");
}
