//! Crashes: processes killed in the middle. Every step of a publication is in the unit tests.

use std::time::Duration;

use kiln_cache::VerifyMode;

use crate::fixture::{Cache, key, leftovers};
use crate::process;

#[test]
fn what_a_killed_process_published_is_whole_and_the_rest_is_not_there() {
    let cache = Cache::new();
    for round in 0..15 {
        let mut other = process::start("publish_for_ever", &cache.path());
        let mut last = other.hear().unwrap();
        for _ in 0..round % 5 {
            last = other.hear().unwrap();
        }
        std::thread::sleep(Duration::from_micros(round * 300));
        other.kill();
        for seed in 0..=last.parse::<u32>().unwrap() {
            let found = cache
                .store
                .lookup_verified(&key(&seed.to_string()).0)
                .unwrap();
            assert!(found.is_some(), "round {round}: {seed} was published");
        }
        let report = cache.again().verify(VerifyMode::Look).unwrap();
        assert!(report.is_clean(), "round {round}: {report:?}");
        assert_eq!(leftovers(&cache.path()), [""; 0]);
        assert_eq!(cache.store.take_damage(), []);
    }
}
