//! Certificates, tokens and helpers, against a BuildGrid that insists on them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use kiln_remote::{Credentials, Options, RemoteCache, RemoteError, Token, Trust};

use crate::buildgrid::{BuildGrid, Door};
use crate::certificates::{Certificates, token};
use crate::site::{Site, action, options, pair, upload};

const SECRET: &str = "a-secret-of-at-least-thirty-two-bytes";

fn check(options: &Options) -> Result<(), RemoteError> {
    let cache = RemoteCache::new(options.clone(), Trust::default(), None).unwrap();
    cache.check().map(drop)
}

/// The cause for which the server is not asked any more: known, and said in one line.
fn cause(options: &Options) -> Arc<RemoteError> {
    let cache = RemoteCache::new(options.clone(), Trust::default(), None).unwrap();
    let site = Site::new();
    let error = cache.fetch(&action("any"), &site.store).unwrap_err();
    let message = error.to_string();
    assert_eq!(message.lines().count(), 1, "{message}");
    println!("{message}");
    assert!(matches!(error, RemoteError::GaveUp(_)), "{error:?}");
    let cause = cache.gave_up().unwrap();
    assert_eq!(cause.to_string(), message);
    cause
}

fn travels(options: &Options) {
    let (here, there) = (Site::new(), Site::new());
    let (writer, reader) = pair(options);
    let records = [("small", 9_000), ("large", 9_000_000)];
    let records = records.map(|(name, size)| here.record(name, size));
    upload(&writer, &here, &records);
    for record in &records {
        let fetched = reader.fetch(&record.key, &there.store).unwrap();
        assert_eq!(fetched.as_ref(), Some(record));
    }
}

#[test]
fn mutual_tls() {
    let certificates = Certificates::make();
    let server = BuildGrid::start(Door::MutualTls(&certificates));
    let identity = |name: &str| {
        let file = |kind| certificates.file(&format!("{name}.{kind}"));
        Some((file("pem"), file("key")))
    };
    let mut good = options(&server.endpoint());
    good.tls.ca = Some(certificates.file("ca.pem"));
    good.tls.identity = identity("client");
    travels(&good);

    let mut wrong_ca = good.clone();
    wrong_ca.tls.ca = Some(certificates.file("other-ca.pem"));
    assert!(matches!(*cause(&wrong_ca), RemoteError::Certificate { .. }));

    let mut system_roots = good.clone();
    system_roots.tls.ca = None;
    assert!(matches!(
        *cause(&system_roots),
        RemoteError::Certificate { .. }
    ));

    let mut wrong_name = good.clone();
    wrong_name.tls.server_name = Some("cache.example.org".to_owned());
    assert!(matches!(
        *cause(&wrong_name),
        RemoteError::Certificate { .. }
    ));

    let mut nobody = good.clone();
    nobody.tls.identity = None;
    assert!(matches!(
        *cause(&nobody),
        RemoteError::ClientCertificate { .. }
    ));

    let mut stranger = good.clone();
    stranger.tls.identity = identity("other");
    assert!(matches!(
        *cause(&stranger),
        RemoteError::ClientCertificate { .. }
    ));

    let mut no_file = good.clone();
    no_file.tls.ca = Some(certificates.file("none.pem"));
    assert!(matches!(*cause(&no_file), RemoteError::File { .. }));

    let mut no_certificate = good.clone();
    no_certificate.tls.identity = Some((
        certificates.file("localhost"),
        certificates.file("client.key"),
    ));
    assert!(matches!(*cause(&no_certificate), RemoteError::Tls { .. }));

    let plain = options(&server.endpoint().replace("grpcs", "grpc"));
    assert!(matches!(*cause(&plain), RemoteError::Unreachable { .. }));
}

#[test]
fn tls_towards_a_server_without() {
    let server = BuildGrid::start(Door::Open);
    let secure = options(&server.endpoint().replace("grpc", "grpcs"));
    assert!(matches!(*cause(&secure), RemoteError::Unreachable { .. }));
}

#[test]
fn tokens() {
    let server = BuildGrid::start(Door::Token(SECRET));
    let mut options = options(&server.endpoint());
    assert!(matches!(*cause(&options), RemoteError::Denied { .. }));

    options.credentials = Credentials::Token(Token::new(&token(SECRET, 3600)));
    travels(&options);

    options.credentials = Credentials::Token(Token::new(&token(SECRET, -60)));
    assert!(matches!(*cause(&options), RemoteError::Denied { .. }));
    options.credentials =
        Credentials::Token(Token::new(&token("another-secret-of-thirty-two-bytes", 60)));
    assert!(matches!(*cause(&options), RemoteError::Denied { .. }));

    options.credentials = Credentials::None;
    let header = (
        "authorization".to_owned(),
        format!("Bearer {}", token(SECRET, 3600)),
    );
    options.headers = vec![header];
    check(&options).unwrap();
}

/// The file held an expired token, and somebody has renewed it: no need to start again.
#[test]
fn a_renewed_token_file_is_read_again() {
    let server = BuildGrid::start(Door::Token(SECRET));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let mut options = options(&server.endpoint());
    options.credentials = Credentials::TokenFile(file.clone());
    assert!(matches!(*cause(&options), RemoteError::File { .. }));

    fs::write(&file, format!("{}\n", token(SECRET, 3600))).unwrap();
    assert!(matches!(*cause(&options), RemoteError::Untrusted(_)));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let cache = RemoteCache::new(options.clone(), Trust::default(), None).unwrap();
    let site = Site::new();
    assert_eq!(cache.fetch(&action("one"), &site.store).unwrap(), None);
    assert_eq!(cache.statistics().retries, 0);

    fs::write(&file, token(SECRET, -60)).unwrap();
    assert!(matches!(*cause(&options), RemoteError::Denied { .. }));
}

fn helper(path: &Path, script: &str) {
    fs::write(path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn credential_helpers() {
    let server = BuildGrid::start(Door::Token(SECRET));
    let folder = tempfile::tempdir().unwrap();
    let (path, asked) = (folder.path().join("helper"), folder.path().join("asked"));
    let mut options = options(&server.endpoint());
    options.credentials = Credentials::Helper(path.clone());
    let good = token(SECRET, 3600);
    let answer = |expires: &str| {
        format!(
            "echo \"$1 $(cat)\" >>{}; echo '{{\"headers\": {{\"Authorization\": [\"Bearer {good}\"]}}{expires}}}'",
            asked.display()
        )
    };
    helper(&path, &answer(""));
    travels(&options);
    let question = format!(
        "get {{\"uri\":\"{}\"}}\n",
        server.endpoint().replace("grpc", "http")
    );
    // Once for each of the two clients.
    assert_eq!(fs::read_to_string(&asked).unwrap(), question.repeat(2));

    // What has expired is asked for again with each call.
    fs::remove_file(&asked).unwrap();
    helper(&path, &answer(", \"expires\": \"2001-01-01T00:00:00Z\""));
    let cache = RemoteCache::new(options.clone(), Trust::default(), None).unwrap();
    let site = Site::new();
    assert_eq!(cache.fetch(&action("one"), &site.store).unwrap(), None);
    assert_eq!(cache.fetch(&action("two"), &site.store).unwrap(), None);
    assert_eq!(fs::read_to_string(&asked).unwrap(), question.repeat(3));

    for (script, said) in [
        ("echo no account >&2; exit 3", "exit status: 3: no account"),
        (
            "echo hello",
            "its answer is not the JSON of a credential helper",
        ),
        (
            "echo '{\"expires\": \"soon\"}'",
            "\"soon\" is not a time of RFC 3339",
        ),
    ] {
        helper(&path, script);
        let error = cause(&options).to_string();
        assert_eq!(
            error,
            format!("credential helper {}: {said}", path.display())
        );
    }
}
