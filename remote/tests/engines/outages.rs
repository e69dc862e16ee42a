//! Servers that are gone, slow, cut off or full: they cost a bounded time once a run, and no more.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kiln_remote::{Options, RemoteCache, RemoteError, SigningKey};

use crate::casd::Casd;
use crate::process::free_port;
use crate::proxy::{Proxy, Way};
use crate::site::{Site, action, options, pair, reader, upload, writer};

/// What the clocks of a busy machine may add to an account.
const LATE: Duration = Duration::from_millis(500);

fn impatient(endpoint: &str) -> Options {
    let mut options = options(endpoint);
    options.budget.patience = Duration::from_secs(1);
    options
}

fn gave_up(cache: &RemoteCache) -> String {
    cache.gave_up().expect("it has given up").to_string()
}

#[test]
fn a_server_that_is_not_there() {
    let endpoint = format!("grpc://127.0.0.1:{}", free_port());
    let (site, other) = (Site::new(), Site::new());
    let (writer, reader) = pair(&options(&endpoint));
    let record = other.record("bbswitch", 9_000);
    for _ in 0..50 {
        let error = reader.fetch(&record.key, &site.store).unwrap_err();
        assert!(matches!(error, RemoteError::GaveUp(_)), "{error:?}");
    }
    let cause = format!("cannot reach {endpoint}: Connection refused (os error 111)");
    assert_eq!(gave_up(&reader), cause);
    // Once a run, not once a record.
    assert_eq!(reader.statistics().retries, 3);
    assert!(reader.statistics().waited < Duration::from_secs(5));

    for _ in 0..50 {
        writer.push(&record, &other.store).unwrap();
    }
    let summary = writer.flush();
    assert_eq!((summary.pushed, summary.failed), (0, 50));
    assert_eq!(summary.failure.unwrap().to_string(), cause);
}

#[test]
fn a_name_that_is_not_known() {
    let (_, reader) = pair(&options("grpc://kiln-cache.invalid:80"));
    let error = reader.check().unwrap_err();
    assert!(matches!(error, RemoteError::GaveUp(_)), "{error:?}");
    assert!(gave_up(&reader).starts_with("cannot reach grpc://kiln-cache.invalid:80: "));
}

/// It accepts connections and says nothing at all.
#[test]
fn a_server_that_hangs() {
    let casd = Casd::start();
    let proxy = Proxy::new(casd.port(), Way::Hold);
    let site = Site::new();
    let (_, reader) = pair(&impatient(&proxy.endpoint()));
    let keys: Vec<_> = (0..100).map(|number| action(&number.to_string())).collect();
    let heard = AtomicUsize::new(0);
    reader.fetch_many(&keys, &site.store, &|_, fetched| {
        assert!(matches!(fetched, Err(RemoteError::GaveUp(_))));
        heard.fetch_add(1, Ordering::Relaxed);
    });
    assert_eq!(heard.into_inner(), 100);
    assert!(
        gave_up(&reader).contains("is too slow"),
        "{}",
        gave_up(&reader)
    );
    assert!(reader.statistics().waited < Duration::from_secs(1) + LATE);
}

/// It stops answering in the middle of a run.
#[test]
fn a_server_that_hangs_later() {
    let casd = Casd::start();
    let proxy = Proxy::new(casd.port(), Way::Pass);
    let (here, there) = (Site::new(), Site::new());
    let key = SigningKey::generate().unwrap();
    let records = ["before", "after"].map(|name| here.record(name, 9_000));
    upload(&writer(&options(&casd.endpoint()), &key), &here, &records);
    let reader = reader(&impatient(&proxy.endpoint()), &key);
    assert!(
        reader
            .fetch(&records[0].key, &there.store)
            .unwrap()
            .is_some()
    );
    let before = reader.statistics().waited;
    proxy.set(Way::Hold);
    reader.fetch(&records[1].key, &there.store).unwrap_err();
    reader.fetch(&records[1].key, &there.store).unwrap_err();
    assert!(reader.statistics().waited - before < Duration::from_secs(1) + LATE);
    assert!(there.has_nothing_of(&records[1]));
}

/// A download that comes, but so slowly that building is faster.
#[test]
fn a_server_that_trickles() {
    let casd = Casd::start();
    let proxy = Proxy::new(casd.port(), Way::Pass);
    let (here, there) = (Site::new(), Site::new());
    let key = SigningKey::generate().unwrap();
    let record = here.record("large", 9_000_000);
    upload(
        &writer(&options(&casd.endpoint()), &key),
        &here,
        std::slice::from_ref(&record),
    );
    let reader = reader(&impatient(&proxy.endpoint()), &key);
    reader.check().unwrap();
    proxy.set(Way::Trickle);
    reader.fetch(&record.key, &there.store).unwrap_err();
    let statistics = reader.statistics();
    // The patience, what the answers and the bytes were worth.
    let worth = Duration::from_secs_f64(statistics.bytes_received as f64 / 65536.0);
    assert!(statistics.waited < Duration::from_millis(1500) + worth + LATE);
    assert!(statistics.bytes_received < 100_000);
    assert!(there.has_nothing_of(&record));
}

/// The connection breaks in the middle of a download, which goes on where it was.
#[test]
fn a_download_is_resumed() {
    let casd = Casd::start();
    let proxy = Proxy::new(casd.port(), Way::CutOnceAfter(6_000_000));
    let (here, there) = (Site::new(), Site::new());
    let key = SigningKey::generate().unwrap();
    let record = here.record("large", 9_000_000);
    upload(
        &writer(&options(&casd.endpoint()), &key),
        &here,
        std::slice::from_ref(&record),
    );
    let reader = reader(&options(&proxy.endpoint()), &key);
    let fetched = reader.fetch(&record.key, &there.store).unwrap();
    assert_eq!(fetched.as_ref(), Some(&record));
    assert!(there.has(&record));
    assert_eq!(proxy.connections(), 2);
    let statistics = reader.statistics();
    assert!(statistics.retries >= 1);
    // From the beginning, it would have been 15 million. What was on its way is lost.
    assert!(statistics.bytes_received < 13_000_000, "{statistics:?}");
}

#[test]
fn a_server_that_is_stopped_in_the_middle() {
    let mut casd = Casd::start();
    let (here, there) = (Site::new(), Site::new());
    let (writer, reader) = pair(&options(&casd.endpoint()));
    let records: Vec<_> = (0..20)
        .map(|number| here.record(&format!("module{number}"), 9_000))
        .collect();
    upload(&writer, &here, &records);
    for record in &records[..10] {
        assert!(reader.fetch(&record.key, &there.store).unwrap().is_some());
    }
    casd.kill();
    for record in &records[10..] {
        let error = reader.fetch(&record.key, &there.store).unwrap_err();
        assert!(matches!(error, RemoteError::GaveUp(_)), "{error:?}");
        // What is not there is built.
        assert!(there.has_nothing_of(record));
        there.record(&record.subject.name, 9_000);
    }
    assert!(gave_up(&reader).starts_with("cannot reach "));
    let statistics = reader.statistics();
    assert_eq!((statistics.hits, statistics.retries), (10, 3));
    for record in &records[..10] {
        assert!(there.has(record));
    }
    writer.push(&records[0], &here.store).unwrap();
    assert_eq!(writer.flush().failed, 1);
}

#[test]
fn a_server_that_is_restarted() {
    let mut casd = Casd::start();
    let (here, there) = (Site::new(), Site::new());
    let (writer, reader) = pair(&options(&casd.endpoint()));
    let records = ["before", "after"].map(|name| here.record(name, 9_000));
    upload(&writer, &here, &records);
    assert!(
        reader
            .fetch(&records[0].key, &there.store)
            .unwrap()
            .is_some()
    );
    casd.restart();
    assert!(
        reader
            .fetch(&records[1].key, &there.store)
            .unwrap()
            .is_some()
    );
    assert!(reader.gave_up().is_none());
    upload(&writer, &here, &records);
}

/// A full server is read on.
#[test]
fn a_full_server() {
    let casd = Casd::with(&[
        "--quota-high=2M".to_owned(),
        "--protect-session-blobs".to_owned(),
    ]);
    let (here, there) = (Site::new(), Site::new());
    let (writer, reader) = pair(&options(&casd.endpoint()));
    let small = here.record("small", 9_000);
    upload(&writer, &here, std::slice::from_ref(&small));
    for number in 0..20 {
        let large = here.record(&format!("large{number}"), 300_000);
        writer.push(&large, &here.store).unwrap();
    }
    let summary = writer.flush();
    let failure = summary.failure.expect("three times the room that there is");
    let full = format!("{} is full or over its quota: ", casd.endpoint());
    assert!(
        failure.to_string().starts_with(&full),
        "{failure}\n{}",
        casd.said()
    );
    assert!(reader.fetch(&small.key, &there.store).unwrap().is_some());
}

/// Nobody to sign for, so nothing is uploaded; nobody to trust, so nothing is taken.
#[test]
fn without_keys() {
    let casd = Casd::start();
    let (here, there) = (Site::new(), Site::new());
    let (writer, reader) = pair(&options(&casd.endpoint()));
    let record = here.record("bbswitch", 9_000);
    upload(&writer, &here, std::slice::from_ref(&record));
    let error = writer.fetch(&record.key, &there.store).unwrap_err();
    assert!(matches!(error, RemoteError::Refused { .. }), "{error:?}");
    let error = reader.push(&record, &here.store).unwrap_err();
    assert!(matches!(error, RemoteError::NoSigningKey), "{error:?}");
}
