//! Records that travel from one machine to another.

use std::collections::BTreeMap;
use std::sync::Mutex;

use kiln_cache::Status;

use crate::buildgrid::{BuildGrid, Door};
use crate::casd::Casd;
use crate::raw::{Raw, envelope};
use crate::site::{Site, action, options, pair, upload};

fn travels(endpoint: &str) {
    let (here, there) = (Site::new(), Site::new());
    let (writer, reader) = pair(&options(endpoint));
    // The last one is larger than a message.
    let records = [("small", 9_000), ("medium", 300_000), ("large", 9_000_000)];
    let records = records.map(|(name, size)| here.record(name, size));
    upload(&writer, &here, &records);
    for record in &records {
        let fetched = reader.fetch(&record.key, &there.store).unwrap();
        assert_eq!(fetched.as_ref(), Some(record));
        assert!(there.has(record));
    }
    assert_eq!(reader.fetch(&action("other"), &there.store).unwrap(), None);
    let statistics = reader.statistics();
    assert_eq!(
        (statistics.lookups, statistics.hits, statistics.misses),
        (4, 3, 1)
    );
    assert!(statistics.bytes_received > 9_000_000);
    assert_eq!(reader.gave_up().map(|cause| cause.to_string()), None);

    // What is there is not sent again.
    let before = writer.statistics();
    upload(&writer, &here, &records[2..]);
    let after = writer.statistics();
    assert!(after.bytes_sent - before.bytes_sent < 10_000);
}

#[test]
fn a_record_travels_through_casd() {
    travels(&Casd::start().endpoint());
}

#[test]
fn a_record_travels_through_buildgrid() {
    travels(&BuildGrid::start(Door::Open).endpoint());
}

#[test]
fn a_failure_travels_too() {
    let casd = Casd::start();
    let (here, there) = (Site::new(), Site::new());
    let (writer, reader) = pair(&options(&casd.endpoint()));
    let mut record = here.record("broken", 0);
    record.outputs.clear();
    record.status = Status::Failure {
        code: 2,
        cause: "a.c:1: error".to_owned(),
    };
    upload(&writer, &here, std::slice::from_ref(&record));
    let fetched = reader.fetch(&record.key, &there.store).unwrap();
    assert_eq!(fetched.as_ref(), Some(&record));
    let result = Raw::connect(casd.port()).result(&record.key).unwrap();
    assert_eq!(result.exit_code, 2);
}

/// What another client sees is a proper result: files with digests that it can read.
#[test]
fn a_record_is_a_plain_result_to_others() {
    let casd = Casd::start();
    let here = Site::new();
    let (writer, _) = pair(&options(&casd.endpoint()));
    let record = here.record("bbswitch", 9_000);
    upload(&writer, &here, std::slice::from_ref(&record));
    let raw = Raw::connect(casd.port());
    let mut result = raw.result(&record.key).unwrap();
    let paths: Vec<_> = result
        .output_files
        .iter()
        .map(|file| file.path.clone())
        .collect();
    assert_eq!(paths, [".kiln/record", "bbswitch.ko"]);
    let module = raw.read(result.output_files[1].digest.as_ref().unwrap());
    let object = record.outputs[0].object;
    assert_eq!(Some(module), here.store.read(&object).unwrap());
    let log = raw.read(result.stdout_digest.as_ref().unwrap());
    assert_eq!(log, b"log of bbswitch\n");
    assert!(envelope(&mut result).digest.as_ref().unwrap().size_bytes > 0);
}

#[test]
fn many_are_fetched_at_once() {
    let casd = Casd::start();
    let (here, there) = (Site::new(), Site::new());
    let (writer, reader) = pair(&options(&casd.endpoint()));
    let records: Vec<_> = (0..200)
        .map(|number| here.record(&format!("module{number}"), 20_000))
        .collect();
    upload(&writer, &here, &records);
    let mut keys: Vec<_> = records.iter().map(|record| record.key).collect();
    keys.push(action("other"));
    let heard = Mutex::new(BTreeMap::new());
    let started = std::time::Instant::now();
    reader.fetch_many(&keys, &there.store, &|index, fetched| {
        let twice = heard.lock().unwrap().insert(index, fetched.unwrap());
        assert!(twice.is_none());
    });
    println!("{:?} for 201 records", started.elapsed());
    let heard = heard.into_inner().unwrap();
    assert_eq!(heard.len(), 201);
    assert_eq!(heard[&200], None);
    for (index, record) in records.iter().enumerate() {
        assert_eq!(heard[&index].as_ref(), Some(record));
        assert!(there.has(record));
    }
}

/// A record is told without its objects, which may be lost, and nothing of it comes into the store.
#[test]
fn records_are_looked_up_by_themselves() {
    let casd = Casd::start();
    let (here, there) = (Site::new(), Site::new());
    let (writer, reader) = pair(&options(&casd.endpoint()));
    let records = ["kept", "lost"].map(|name| here.record(name, 900_000));
    upload(&writer, &here, &records);
    let result = Raw::connect(casd.port()).result(&records[1].key).unwrap();
    let module = result.output_files.last().unwrap().digest.clone().unwrap();
    std::fs::remove_file(casd.blob(&module.hash)).unwrap();

    let keys = [records[0].key, records[1].key, action("other")];
    let heard = Mutex::new(BTreeMap::new());
    reader.look_up_many(&keys, &there.store, &|index, found| {
        heard.lock().unwrap().insert(index, found.unwrap());
    });
    let heard = heard.into_inner().unwrap();
    assert_eq!(heard[&0].as_ref(), Some(&records[0]));
    assert_eq!(heard[&2], None);
    assert_eq!(heard.len(), 3);
    for record in &records {
        assert!(there.has_nothing_of(record));
    }
    assert!(reader.statistics().bytes_received < 100_000);
}

#[test]
fn an_evicted_blob_is_a_miss() {
    let casd = Casd::start();
    let (here, there) = (Site::new(), Site::new());
    let (writer, reader) = pair(&options(&casd.endpoint()));
    let records = ["kept", "lost"].map(|name| here.record(name, 9_000));
    upload(&writer, &here, &records);
    let result = Raw::connect(casd.port()).result(&records[1].key).unwrap();
    let module = result.output_files.last().unwrap().digest.clone().unwrap();
    std::fs::remove_file(casd.blob(&module.hash)).unwrap();

    assert_eq!(reader.fetch(&records[1].key, &there.store).unwrap(), None);
    assert!(there.has_nothing_of(&records[1]));
    assert!(
        reader
            .fetch(&records[0].key, &there.store)
            .unwrap()
            .is_some()
    );
    assert_eq!(reader.gave_up().map(|cause| cause.to_string()), None);

    // Whoever builds it uploads it again, and it is there for the next.
    upload(&writer, &here, &records[1..]);
    assert!(
        reader
            .fetch(&records[1].key, &there.store)
            .unwrap()
            .is_some()
    );
    assert!(there.has(&records[1]));
}

/// What the store has already is not downloaded.
#[test]
fn only_what_is_lacking_is_downloaded() {
    let casd = Casd::start();
    let (here, there) = (Site::new(), Site::new());
    let (writer, reader) = pair(&options(&casd.endpoint()));
    let record = here.record("bbswitch", 5_000_000);
    upload(&writer, &here, std::slice::from_ref(&record));
    there.record("bbswitch", 5_000_000);
    there.store.forget(&record.key).unwrap();
    assert!(reader.fetch(&record.key, &there.store).unwrap().is_some());
    assert!(there.has(&record));
    assert!(reader.statistics().bytes_received < 100_000);
}
