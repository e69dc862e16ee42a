//! What the code of a package cannot do where there is no bubblewrap: to kiln, to what it collects, to a terminal.

use super::{
    environment::WITHOUT_BUBBLEWRAP,
    machine::{arch, kernel, processes},
    run::Run,
    world::World,
};

/// Builds a package whose PRE_BUILD is this script, without bubblewrap.
fn build(world: &World, script: &str) -> Run {
    let package = world.package("bare", "PRE_BUILD=try.sh");
    world.write_script("bare/try.sh", &format!("#!/bin/bash\n{script}\n"));
    let line = format!("build {package} -k {}", kernel());
    world.on_machine(WITHOUT_BUBBLEWRAP, line)
}

#[test]
fn daemons_are_gone_before_anything_is_collected() {
    let world = World::new();
    let token = world.token();
    // One that ignores signals, one in a session of its own, one whose parents are gone.
    let script = format!(
        "setsid sleep {token} > /dev/null 2>&1 < /dev/null &\n\
         ( trap '' HUP TERM INT; setsid bash -c 'sleep {token} & sleep {token}' & )\n\
         ( ( setsid sleep {token} & ) & )"
    );
    build(&world, &script).exits(0).says("built bare/1.0");
    assert_eq!(processes(&token), Vec::<u32>::new());
}

#[test]
fn nobody_is_left_who_could_change_a_result() {
    let world = World::new();
    let package = world.package("bare", "POST_BUILD=late.sh");
    let late = "#!/bin/bash\nout=$(dirname $KILN_OUT 2> /dev/null || echo ../../../../out)\n\
        setsid bash -c 'while :; do rm -rf '$out'/beside; mkdir -p '$out'/beside/d; echo mine > '$out'/beside/d/passwd; \
        rm -rf '$out'/beside/d; ln -s /etc '$out'/beside/d; done' > /dev/null 2>&1 < /dev/null &\n";
    world.write_script("bare/late.sh", late);
    let line = format!("build {package} -k {} --output taken", kernel());
    world.on_machine(WITHOUT_BUBBLEWRAP, line);
    let taken = walk(&world.path("taken"));
    assert!(
        taken.iter().all(|text| !text.contains("root:")),
        "{taken:?}"
    );
}

/// What is in the files below a directory.
fn walk(directory: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let content = |path: std::path::PathBuf| match path.is_dir() {
        true => walk(&path),
        false => vec![String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned()],
    };
    entries.flat_map(|entry| content(entry.path())).collect()
}

#[test]
fn a_build_has_no_terminal_and_gets_no_privileges() {
    let world = World::new();
    // 0 where the session is one of another process namespace.
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let own = stat.rsplit(") ").next().unwrap().split(' ').nth(3).unwrap();
    let script = format!(
        "grep -q '^NoNewPrivs:.1' /proc/self/status || exit 1\n\
         [ $(ps -o sid= -p $$) != {own} ] || exit 1\n\
         ! ( : < /dev/tty ) 2> /dev/null || exit 1\n\
         perl -MSocket -e 'socket(S, $_, SOCK_STREAM, 0) and exit 1 for AF_INET, AF_INET6, 16, 40' || exit 1\n\
         perl -MSocket -e 'socket(S, AF_UNIX, SOCK_STREAM, 0) or exit 1' || exit 1\n\
         perl -e 'defined msgget(1, 01600) and exit 1; defined semget(1, 1, 01600) and exit 1' || exit 1\n\
         [ $(cat /proc/self/oom_score_adj) = 1000 ]"
    );
    build(&world, &script).exits(0);
}

#[test]
fn a_build_reads_no_memory_of_kiln() {
    let world = World::new();
    let secret = world.token();
    let package = world.package("bare", "PRE_BUILD=read.sh");
    // What a process was started with is read by the rules for its memory. Of a process that keeps it to itself it is root's:
    // kiln and the watch do.
    let read = format!(
        "#!/bin/bash\nclosed=0\nfor ((pid = $$; pid > 1; pid = $(ps -o ppid= -p $pid))); do\n\
         ! grep -qz SECRET={secret} /proc/$pid/environ 2> /dev/null || exit 1\n\
         [ $(ps -o uid= -p $pid) != 4321 ] || [ $(stat -c %u /proc/$pid/environ) != 0 ] || ((closed += 1))\n\
         done\n[ $closed = 2 ]\n"
    );
    world.write_script("bare/read.sh", &read);
    // One user runs kiln and its builds.
    let script = format!(
        "{WITHOUT_BUBBLEWRAP}\ncp \"$1\" \"$WORLD/own\"; chmod 755 \"$WORLD\" \"$WORLD/own\"\n\
         shift; mkdir \"$WORLD/user\"; chown 4321:4321 \"$WORLD/user\"\n\
         export KILN_CACHE=\"$WORLD/user/cache\" HOME=\"$WORLD/user\" SECRET={secret}\n\
         set -- setpriv --reuid=4321 --regid=4321 --clear-groups \"$WORLD/own\" \"$@\""
    );
    let line = format!("build {package} -k {}", kernel());
    world
        .on_machine(&script, line)
        .exits(0)
        .says("built bare/1.0");
}

#[test]
fn landlock_leaves_a_build_nothing_to_write_to_but_its_own() {
    let world = World::new();
    let other = world.path("open");
    std::fs::create_dir(&other).unwrap();
    let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(&other, everybody).unwrap();
    let token = world.token();
    let other = other.display();
    let script = format!(
        "for place in {other} /tmp /var/tmp /dev/shm; do\n\
         ! (echo x > $place/{token}) 2> /dev/null || exit 1\ndone\n\
         ! ls {other} 2> /dev/null || exit 1\n\
         echo x > $TMPDIR/x && mv $TMPDIR/x . && rm x || exit 1\n\
         ! kill -0 {} 2> /dev/null || exit 1\n\
         ! (: < /dev/tcp/127.0.0.1/$PORT) 2> /dev/null || exit 1",
        std::process::id()
    );
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let run = build(&world, &script.replace("$PORT", &port.to_string()));
    if run.err.contains("no namespaces, no Landlock") {
        // The kernel has none, and kiln says so.
        return;
    }
    run.exits(0).says("What protects the machine: Landlock");
    let world = World::new();
    let secret = world.write("secret", "a secret");
    let read = format!("! cat {} 2> /dev/null || exit 1", secret.display());
    build(&world, &read).exits(0);
}

#[test]
fn one_build_changes_nothing_of_another() {
    let world = World::new();
    // They have one user, who may change permissions in the directories of both.
    let slow = world.package("honest", "PRE_BUILD=wait.sh\nPOST_BUILD=late.sh");
    world.write_script("honest/wait.sh", "#!/bin/bash\nsleep 2\n");
    world.write_script("honest/late.sh", "#!/bin/bash\necho late\n");
    let evil = world.package("evil", "PRE_BUILD=change.sh");
    let other = format!(
        "/var/tmp/kiln-bare-{}/honest-{}-{}",
        rustix::process::geteuid().as_raw(),
        kernel(),
        arch()
    );
    let change = format!(
        "#!/bin/bash\nfor ((i = 0; i < 300; i++)); do\n\
         chmod 0 {other}/dkms {other}/out 2> /dev/null; sleep 0.01\ndone\n:\n"
    );
    world.write_script("evil/change.sh", &change);
    let line = format!("build {slow} {evil} -k {} -j2 --json", kernel());
    let run = world.on_machine(WITHOUT_BUBBLEWRAP, line).exits(0);
    for package in ["honest", "evil"] {
        assert_eq!(run.cell(package)["result"], "built", "{run}");
    }
    world
        .kiln(format!("log {slow} -k {}", kernel()))
        .never_says("not executable");
}

#[test]
fn what_no_key_holds_is_closed_to_a_build() {
    let world = World::new();
    let closed = "for place in /etc/passwd /opt /usr/local/bin /usr/lib/modules /var/lib/dkms; do\n\
         ! ls $place 2> /dev/null || ! [ -d $place ] || exit 1\n\
         ! cat $place 2> /dev/null || exit 1\ndone\n\
         cat /etc/os-release /usr/include/stdio.h > /dev/null";
    build(&world, closed).exits(0).says("built bare/1.0");
    // All that it can read is in its key.
    build(&world, closed).exits(0).says("from the cache");
}
