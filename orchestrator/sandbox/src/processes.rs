//! The processes of this machine, and what memory they have (proc_pid_stat(5), proc_pid_status(5)).
//!
//! An action's processes are those below the one that was started for it: nobody leaves that tree, since it has a process at its
//! top that takes in orphans.

use std::{
    collections::HashMap,
    fs,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use kiln_durable::regular;
use kiln_scheduler::StopReason;
use rustix::process::Pid;

/// How often all processes are listed, however many actions ask, and those of one action are looked at.
const PERIOD: Duration = Duration::from_millis(250);

/// The processes at some moment.
struct Table {
    taken: Instant,
    children: HashMap<i32, Vec<i32>>,
}

static TABLE: Mutex<Option<Table>> = Mutex::new(None);

/// Looks whether an action has more memory than it may.
#[derive(Debug)]
pub struct MemoryGauge {
    limit: u64,
    next: Instant,
}

impl MemoryGauge {
    /// Why an action is stopped that has.
    pub const EXCEEDED: StopReason = StopReason::Other("too much memory");

    /// For an action that may have `limit` bytes.
    pub fn new(limit: u64) -> Self {
        Self {
            limit,
            next: Instant::now() + PERIOD,
        }
    }

    /// Looks, if it is time to, at an action whose first process this is, and says if it is to be stopped.
    pub fn look(&mut self, process: Pid) -> Option<StopReason> {
        let now = Instant::now();
        if now < self.next {
            return None;
        }
        self.next = now + PERIOD;
        let is_more = |of_one: fn(i32) -> Option<u64>| memory_of(process, of_one) > self.limit;
        // The exact look takes long, so it is for those who may be over the limit.
        (is_more(memory) && is_more(exact_memory)).then_some(Self::EXCEEDED)
    }
}

/// How much memory a process has with all below it, in bytes, by what `of_one` says of each.
fn memory_of(process: Pid, of_one: fn(i32) -> Option<u64>) -> u64 {
    let mut last = TABLE.lock().unwrap_or_else(PoisonError::into_inner);
    let table = match last.take() {
        Some(table) if table.taken.elapsed() < PERIOD => table,
        _ => Table {
            taken: Instant::now(),
            children: list(),
        },
    };
    let below = table.below(process.as_raw_nonzero().get());
    *last = Some(table);
    drop(last);
    below.into_iter().filter_map(of_one).sum()
}

/// The processes that a process has started or taken in.
pub(super) fn children_of(process: Pid) -> impl Iterator<Item = Pid> {
    let children = list().remove(&process.as_raw_nonzero().get());
    let numbers = children.into_iter().flatten();
    numbers.filter_map(Pid::from_raw)
}

impl Table {
    fn below(&self, top: i32) -> Vec<i32> {
        let mut found = vec![top];
        let mut next = 0;
        // A number that was used again meanwhile could close a circle.
        while next < found.len() && found.len() <= self.children.len() * 2 {
            found.extend(self.children.get(&found[next]).into_iter().flatten());
            next += 1;
        }
        found
    }
}

/// All processes, by who started them or took them in.
fn list() -> HashMap<i32, Vec<i32>> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let stat = regular::text_of_system(entry.path().join("stat"));
        if let Some(parent) = stat.ok().as_deref().and_then(parent) {
            children.entry(parent).or_default().push(pid);
        }
    }
    children
}

/// The fourth field of /proc/PID/stat; the second is a name in brackets, which may have anything in it.
fn parent(stat: &str) -> Option<i32> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(1)?.parse().ok()
}

/// What a process has written to and not given back, in swap or not; what it shares with its children counts for each.
fn memory(process: i32) -> Option<u64> {
    let status = regular::text_of_system(format!("/proc/{process}/status")).ok()?;
    Some(sum(&status, ["RssAnon:", "RssShmem:", "VmSwap:"]))
}

/// The same, of which each that shares a page has its part; as [`memory`] where the kernel or the process does not tell.
fn exact_memory(process: i32) -> Option<u64> {
    match regular::text_of_system(format!("/proc/{process}/smaps_rollup")) {
        Ok(text) if text.contains("Pss_Anon:") => {
            Some(sum(&text, ["Pss_Anon:", "Pss_Shmem:", "SwapPss:"]))
        }
        _ => memory(process),
    }
}

/// The bytes of all lines with one of these names, which are in kilobytes.
fn sum(text: &str, names: [&str; 3]) -> u64 {
    let kilobytes = |line: &str| line.split_whitespace().nth(1)?.parse::<u64>().ok();
    let named = |line: &&str| names.iter().any(|name| line.starts_with(name));
    text.lines()
        .filter(named)
        .filter_map(kilobytes)
        .sum::<u64>()
        * 1024
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn what_a_name_has_in_it_is_no_number() {
        assert_eq!(parent("12 (a) 7 (b) S 34 12"), Some(34));
        assert_eq!(parent("12"), None);
    }

    #[test]
    fn memory_is_what_a_process_wrote() {
        let status =
            "VmPeak: 9 kB\nRssAnon:\t 100 kB\nRssFile: 50 kB\nRssShmem:\t 3 kB\nVmSwap: 1 kB\n";
        let found = sum(status, ["RssAnon:", "RssShmem:", "VmSwap:"]);
        assert_eq!(found, 104 << 10);
    }

    #[test]
    fn what_a_child_starts_counts() {
        let script =
            "perl -e '$| = 1; $x = \"x\" x (64 << 20); print \"there\\n\"; sleep 60' & wait";
        let mut child = Command::new("bash")
            .args(["-c", script])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = [0; 5];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut said).unwrap();
        let top = Pid::from_child(&child);
        let deadline = Instant::now() + PERIOD * 4;
        while memory_of(top, memory) < 64 << 20 && Instant::now() < deadline {
            std::thread::sleep(PERIOD / 4);
        }
        let found = [memory, exact_memory].map(|of_one| memory_of(top, of_one));
        for pid in children_of(top) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        child.wait().unwrap();
        let right = |bytes: &u64| (64 << 20..256 << 20).contains(bytes);
        assert!(found.iter().all(right), "{found:?}");
    }
}
