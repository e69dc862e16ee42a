//! Servers that do not let kiln in, real ones: a wrong certificate or an expired token costs a notice.

use super::{
    buildgrid::{BuildGrid, Door},
    certificates::{Certificates, token},
    machine::kernel,
    run::Run,
    world::World,
};

const SECRET: &str = "a-secret-of-at-least-thirty-two-bytes";

/// What is said when a server is not used.
const AWAY: &str = "the shared cache cannot be used, going on without";

/// Builds a package in a world of its own that uploads to a server, with what `set` says.
fn upload(endpoint: &str, set: &[(&str, &str)]) -> Run {
    let world = World::new();
    world.kiln("remote keygen key.pem key.pub").exits(0);
    build(&world, endpoint, set)
}

fn build(world: &World, endpoint: &str, set: &[(&str, &str)]) -> Run {
    let package = world.package("alone", "");
    let kernel = kernel();
    let line =
        format!("build {package} -k {kernel} --json --remote-upload --remote-cache {endpoint}");
    let mut command = world.command(line);
    command.env("KILN_SIGNING_KEY", world.path("key.pem"));
    Run::of(command.envs(set.iter().copied())).exits(0)
}

/// The run has built, and said once that it did so without the server, and why.
#[track_caller]
fn built_without(run: &Run, why: &str) {
    assert_eq!(run.cell("alone")["result"], "built", "{run}");
    let said = run.out.matches(AWAY).count() + run.err.matches(AWAY).count();
    assert_eq!(said, 1, "{run}");
    assert!(
        run.out.contains(why) || run.err.contains(why),
        "no {why:?} in {run}"
    );
}

/// The settings are good: who has built before is a hit for who comes after.
#[track_caller]
fn travels(server: &BuildGrid, set: &[(&str, &str)]) {
    let (here, there) = (World::new(), World::new());
    here.kiln("remote keygen key.pem key.pub").exits(0);
    let first = build(&here, &server.endpoint(), set).never_says(AWAY);
    assert_eq!(first.cell("alone")["result"], "built", "{first}");
    let trust = here.path("key.pub").display().to_string();
    let package = here.path("alone").display().to_string();
    let line = format!(
        "build {package} -k {} --json --remote-cache {}",
        kernel(),
        server.endpoint()
    );
    let mut command = there.command(line);
    command.env("KILN_TRUST", trust).envs(set.iter().copied());
    let second = Run::of(&mut command).exits(0);
    assert_eq!(second.cell("alone")["result"], "hit", "{second}");
}

/// The settings of a client with a certificate.
fn set<'t>(ca: &'t str, cert: &'t str, key: &'t str) -> [(&'static str, &'t str); 3] {
    [
        ("KILN_REMOTE_CA", ca),
        ("KILN_REMOTE_CERT", cert),
        ("KILN_REMOTE_KEY", key),
    ]
}

#[test]
fn wrong_certificates() {
    let certificates = Certificates::make();
    let server = BuildGrid::start(Door::MutualTls(&certificates));
    let endpoint = server.endpoint();
    let file = |name: &str| certificates.file(name).display().to_string();
    let [ca, other_ca] = ["ca.pem", "other-ca.pem"].map(file);
    let [cert, key] = ["client.pem", "client.key"].map(file);
    let [other_cert, other_key] = ["other.pem", "other.key"].map(file);
    travels(&server, &set(&ca, &cert, &key));
    built_without(
        &upload(&endpoint, &set(&other_ca, &cert, &key)),
        "is not trusted",
    );
    built_without(
        &upload(&endpoint, &set(&ca, &other_cert, &other_key)),
        "does not accept our certificate",
    );
    built_without(
        &upload(&endpoint, &set(&ca, &cert, &key)[..1]),
        "does not accept our certificate",
    );
}

#[test]
fn expired_and_wrong_tokens() {
    let server = BuildGrid::start(Door::Token(SECRET));
    let endpoint = server.endpoint();
    let good = token(SECRET, 3600);
    travels(&server, &[("KILN_REMOTE_TOKEN", &good)]);
    let expired = token(SECRET, -60);
    let wrong = token("another-secret-of-thirty-two-bytes", 3600);
    for set in [
        &[("KILN_REMOTE_TOKEN", expired.as_str())][..],
        &[("KILN_REMOTE_TOKEN", wrong.as_str())],
        &[],
    ] {
        built_without(&upload(&endpoint, set), "does not accept our credentials");
    }
}

#[test]
fn certificates_asked_of_a_server_without() {
    let server = BuildGrid::start(Door::Open);
    travels(&server, &[]);
    let secure = server.endpoint().replace("grpc", "grpcs");
    built_without(&upload(&secure, &[]), "cannot reach");
}
