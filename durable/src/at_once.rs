//! Several operations side by side: a journalling file system commits what is synced together at once.

use std::thread;

/// More threads than this do not make a disk sync faster.
const THREADS: usize = 8;

/// Does something to each item, several at a time. Fails with one of the failures.
///
/// # Errors
///
/// What `act` fails with; some of the other items may be done then.
pub fn all_at_once<T: Sync, E: Send>(
    items: &[T],
    act: impl Fn(&T) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let mut shares = items.chunks(items.len().div_ceil(THREADS).max(1));
    let first = shares.next().unwrap_or_default();
    thread::scope(|scope| {
        let mut done = Ok(());
        let mut others = Vec::new();
        let mut left = vec![first];
        for share in shares {
            let run = || share.iter().try_for_each(&act);
            match thread::Builder::new().spawn_scoped(scope, run) {
                Ok(other) => others.push(other),
                // Here then, where the user may have no more threads (RLIMIT_NPROC of setrlimit(2)).
                Err(_) => left.push(share),
            }
        }
        for share in left {
            done = done.and(share.iter().try_for_each(&act));
        }
        for other in others {
            done = done.and(other.join().expect("file operations do not panic"));
        }
        done
    })
}
