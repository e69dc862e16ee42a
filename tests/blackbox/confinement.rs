//! What the code of a package cannot do, in its dkms.conf or in its build.

use std::{fs, net::TcpListener};

use super::{
    machine::{kernel, processes},
    world::World,
};

/// Asserts that no file of this name came to be where a package may have tried to put it.
#[track_caller]
fn is_nowhere(name: &str, world: &World) {
    let places = ["/etc", "/usr", "/usr/src", "/var/tmp", "/tmp", "/root", "/"];
    for place in places {
        let path = std::path::Path::new(place).join(name);
        assert!(!path.exists(), "{} was written", path.display());
    }
    for place in ["", "source", "home"] {
        assert!(!world.path(place).join(name).exists(), "in {place:?}");
    }
}

/// Shell commands that try to write `name` wherever one might.
fn writes(name: &str, world: &World) -> String {
    let root = world.path("");
    let root = root.display();
    format!(
        "for place in / /etc /usr /usr/src /var/tmp /tmp /root $HOME {root} {root}source; do \
         ( echo x > $place/{name} ) 2> /dev/null; done; "
    )
}

#[test]
fn a_conf_writes_nothing_outside() {
    let world = World::new();
    let name = format!("kiln-conf-wrote-{}", world.token());
    let package = world.package("source", &writes(&name, &world));
    world.build(&package, "").exits(0);
    is_nowhere(&name, &world);
}

#[test]
fn a_job_writes_nothing_outside() {
    let world = World::new();
    let name = format!("kiln-job-wrote-{}", world.token());
    let attempt = writes(&name, &world);
    let package = world.package("source", "PRE_BUILD=attempt.sh");
    world.write_script("source/attempt.sh", &format!("#!/bin/sh\n{attempt}\n:\n"));
    world.build(&package, "").exits(0);
    is_nowhere(&name, &world);
}

/// A listener that must not hear anything, and bash's words to call it.
fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let call = format!("( echo hello > /dev/tcp/127.0.0.1/{port} )");
    (listener, call)
}

#[test]
fn a_conf_calls_nobody() {
    let world = World::new();
    let (listener, call) = listener();
    let package = world.package("caller", &format!("{call} 2> /dev/null || :"));
    world.build(&package, "").exits(0);
    assert!(listener.accept().is_err(), "the conf called");
}

#[test]
fn a_job_calls_nobody() {
    let world = World::new();
    let (listener, call) = listener();
    let package = world.package("caller", "PRE_BUILD=call.sh");
    world.write_script(
        "caller/call.sh",
        &format!("#!/bin/bash\n{call} || echo no answer\n"),
    );
    world.build(&package, "").exits(0);
    assert!(listener.accept().is_err(), "the job called");
    world
        .kiln(format!("log {package} -k {}", kernel()))
        .exits(0)
        .says("\nno answer\n");
}

#[test]
fn a_job_is_not_root() {
    let world = World::new();
    let package = world.package(
        "modest",
        "MAKE[0]='echo user \\$(id -u); cat /etc/shadow; '\"${MAKE[0]}\"",
    );
    world.build(&package, "").exits(0);
    world
        .kiln(format!("log {package} -k {}", kernel()))
        .exits(0)
        .says("\nuser 65534\n")
        .never_says("root:");
}

#[test]
fn a_process_of_a_job_is_not_root_outside_either() {
    let world = World::new();
    let token = world.token();
    let package = world.package("modest", &format!("MAKE[0]='sleep {token}'"));
    let mut run = world.start(format!("build {package} -k {} --json", kernel()));
    run.until("started", "modest");
    let pid = || {
        processes(&token).into_iter().find(|pid| {
            fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(b"sleep\0"))
        })
    };
    super::run::wait_until("the job sleeps", || pid().is_some());
    let status = fs::read_to_string(format!("/proc/{}/status", pid().unwrap())).unwrap();
    run.signal(rustix::process::Signal::INT);
    run.finish().exits(130);
    let line = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    assert_ne!(line("Uid:"), "0");
    assert_eq!(line("CapEff:"), "0000000000000000");
}

#[test]
fn a_job_that_leaves_daemons_leaves_none() {
    let world = World::new();
    let token = world.token();
    let package = world.package("haunted", "PRE_BUILD=spawn.sh");
    world.write_script(
        "haunted/spawn.sh",
        &format!(
            "#!/bin/sh\nsetsid sleep {token} > /dev/null 2>&1 < /dev/null &\n\
             ( trap '' HUP TERM; setsid sleep {token} & )\n"
        ),
    );
    world.build(&package, "").exits(0).says("built haunted/1.0");
    assert_eq!(processes(&token), Vec::<u32>::new());
}

/// A package whose build ends with this command is refused, and nothing of it is kept.
fn takes_nothing_over(command: &str, message: &str) {
    let world = World::new();
    let package = world.package("sly", "POST_BUILD=trick.sh");
    world.write_script("sly/trick.sh", &format!("#!/bin/sh\n{command}\n"));
    world
        .build(&package, "")
        .exits(1)
        .says(message)
        .never_says("root:");
    let stats = world.kiln("cache stats --json").exits(0);
    assert_eq!(stats.events()[0]["records"]["job"]["successes"], 0);
}

#[test]
fn a_link_in_place_of_a_result_is_refused() {
    takes_nothing_over(
        "ln -s /etc/shadow /run/kiln/out/Module.symvers",
        "results cannot be taken over",
    );
}

#[test]
fn a_directory_in_place_of_a_module_is_refused() {
    takes_nothing_over("mkdir /run/kiln/out/sly.ko", "sly.ko' with non-directory");
}

#[test]
fn a_pipe_in_place_of_a_result_is_refused() {
    takes_nothing_over(
        "mkfifo /run/kiln/out/Module.symvers",
        "results cannot be taken over",
    );
}

#[test]
fn a_job_does_not_see_other_kernels() {
    let world = World::new();
    let package = world.package(
        "curious",
        "MAKE[0]='echo modules: \\$(ls /lib/modules) end; '\"${MAKE[0]}\"",
    );
    world.build(&package, "").exits(0);
    let other = super::machine::other_kernel();
    world
        .kiln(format!("log {package} -k {}", kernel()))
        .exits(0)
        .says(&format!("\nmodules: {} end", kernel()))
        .never_says(other);
}

/// A package whose job asks the kernel for what no build needs, and fails if it gets anything.
fn greedy(world: &World) -> String {
    let program = "gcc -o greedy greedy.c && ./greedy";
    let package = world.package(
        "greedy",
        &format!("MAKE[0]='{program} && '\"${{MAKE[0]}}\""),
    );
    world.write("greedy/greedy.c", include_bytes!("refused.c"));
    package
}

#[test]
fn what_a_build_does_not_need_of_the_kernel_is_refused() {
    let world = World::new();
    let package = greedy(&world);
    world.build(&package, "").exits(0);
}

#[test]
fn it_is_refused_without_bubblewrap_too() {
    let world = World::new();
    let package = greedy(&world);
    let line = format!("build {package} -k {}", kernel());
    world
        .on_machine(super::environment::WITHOUT_BUBBLEWRAP, &line)
        .exits(0)
        .says("bubblewrap (bwrap) is not installed");
}
