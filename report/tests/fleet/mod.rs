//! A made-up fleet: any number of packages and kernels with every outcome, the same each time.

use std::io::{self, Read};

use kiln_report::{
    Cell, Cost, FirstError, Lane, LogSource, Outcome, Output, Phase, Place, Run, Span,
};

const NAMES: [&str; 20] = [
    "acpi-call",
    "bbswitch",
    "v4l2loopback",
    "evdi",
    "jool-dkms",
    "xtables-addons",
    "dm-writeboost",
    "linux-apfs-rw",
    "vpoll",
    "rapiddisk",
    "ddcci",
    "digimend",
    "tp-smapi",
    "openrazer-driver",
    "iptables-netflow",
    "lttng-modules",
    "librem-ec-acpi",
    "langford",
    "zfs",
    "nvidia-current",
];

/// The slots that jobs run in...
const SLOTS: u32 = 8;

/// ... of which so many are on this machine.
const CORES: u32 = 5;

/// How a fleet is to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fleet {
    pub(crate) packages: usize,
    pub(crate) kernels: usize,
    /// Of a hundred cells so many are in the cache.
    pub(crate) hits: u64,
    /// Changes every draw.
    pub(crate) seed: u64,
}

/// A number that depends on nothing but these (the mixer of SplitMix64).
pub(crate) fn draw(seed: u64, a: usize, b: usize) -> u64 {
    let mut x = seed
        .wrapping_add((a as u64) << 32 | b as u64)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

pub(crate) fn package(index: usize) -> (String, String) {
    let name = NAMES[index % NAMES.len()];
    let name = match index / NAMES.len() {
        0 => name.to_owned(),
        round => format!("{name}-{round}"),
    };
    (name, format!("1.{}.{}", index % 9, index % 4))
}

pub(crate) fn kernel(index: usize) -> String {
    let flavour = ["amd64", "cloud-amd64", "rt-amd64", "generic"][index % 4];
    format!("6.{}.0-{}-{flavour}", 1 + index / 16, 20 + index / 4)
}

/// Makes the run.
pub(crate) fn fleet(fleet: Fleet) -> Run {
    let mut cells = Vec::new();
    let mut free = [0_u64; SLOTS as usize];
    for p in 0..fleet.packages {
        for k in 0..fleet.kernels {
            let (name, version) = package(p);
            // What fails, fails for a stretch of kernels, as it does when an interface changes.
            let breaks =
                draw(1, p, 0).is_multiple_of(4) && k as u64 >= draw(2, p, 0) % fleet.kernels as u64;
            let chance = draw(fleet.seed, p, k) % 100;
            let outcome = match () {
                () if draw(3, p, k).is_multiple_of(50) => Outcome::Excluded,
                () if breaks && chance < 30 => Outcome::Failed,
                () if breaks => Outcome::KnownFailure,
                () if chance < fleet.hits => Outcome::Hit,
                () if chance == 99 => Outcome::Aborted,
                () if chance.is_multiple_of(7) => Outcome::RemoteHit,
                () => Outcome::Built,
            };
            let mut cell = Cell::new(name, version, kernel(k), "x86_64", outcome);
            fill(&mut cell, p, k, &mut free);
            cells.push(cell);
        }
    }
    let end = free.into_iter().max().unwrap_or(0);
    Run {
        kiln: "0.1.0".to_owned(),
        started_ms: 1_790_000_000_000 + fleet.seed * 86_400_000,
        finished_ms: 1_790_000_000_000 + fleet.seed * 86_400_000 + end + 40,
        cores: CORES,
        remote_slots: SLOTS - CORES,
        protection: "bubblewrap".to_owned(),
        interrupted: false,
        cells,
    }
}

fn fill(cell: &mut Cell, p: usize, k: usize, free: &mut [u64; SLOTS as usize]) {
    let wall_ms = 900 + draw(4, p, 0) % 6000 + draw(5, p, k) % 700;
    let digest = |kind: u64| {
        (0..4)
            .map(|n| format!("{:016x}", draw(kind * 8 + n, p, k)))
            .collect::<String>()
    };
    if matches!(cell.outcome, Outcome::Excluded) {
        cell.cause = Some("excluded by BUILD_EXCLUSIVE_KERNEL=^6\\.[1-4]".to_owned());
        return;
    }
    cell.key = Some(digest(10));
    if cell.outcome.is_from_this_run() {
        let slot = (0..free.len()).min_by_key(|slot| free[*slot]).unwrap_or(0);
        let start_ms = free[slot];
        let end_ms = start_ms + wall_ms;
        free[slot] = end_ms + 3;
        cell.span = Some(Span { start_ms, end_ms });
        let slot = u32::try_from(slot).unwrap();
        cell.lane = Some(match slot.checked_sub(CORES) {
            Some(slot) => Lane {
                place: Place::Remote,
                slot,
            },
            None => Lane {
                place: Place::Local,
                slot,
            },
        });
        cell.why = Some("never built for this kernel".to_owned());
        let cut = |part: u64| start_ms + wall_ms * part / 100;
        cell.phases = [
            ("prepare", 0, 2),
            ("make", 2, 92),
            ("strip", 92, 94),
            ("check", 94, 97),
            ("store", 97, 100),
        ]
        .map(|(name, from, to)| Phase {
            name: name.to_owned(),
            span: Span {
                start_ms: cut(from),
                end_ms: cut(to),
            },
        })
        .to_vec();
    }
    if cell.outcome == Outcome::Aborted {
        cell.cause = Some("killed by signal 9, perhaps for lack of memory".to_owned());
        return;
    }
    cell.cost = Some(Cost {
        wall_ms,
        cpu_ms: wall_ms * 95 / 100,
        peak_memory_bytes: 80 << 20,
    });
    cell.log = Some(format!("{}-{p}-{k}", cell.outcome.id()));
    if matches!(cell.outcome, Outcome::Failed | Outcome::KnownFailure) {
        let message = "implicit declaration of function 'get_user_pages_remote'; did you mean 'get_user_pages_fast'? [-Werror=implicit-function-declaration]";
        cell.first_error = Some(FirstError {
            file: Some(format!("src/{}_main.c", cell.package)),
            line: Some(u32::try_from(draw(6, p, 0) % 900).unwrap()),
            message: message.to_owned(),
        });
        return;
    }
    cell.outputs = vec![Output {
        path: format!("{}.ko", cell.package),
        digest: digest(20),
        bytes: 30_000 + draw(7, p, k) % 400_000,
    }];
}

/// Logs as a compiler would print them: the one whose name starts with `failed` has errors.
#[derive(Debug)]
pub(crate) struct CompilerLogs {
    /// Lines of each.
    pub(crate) lines: usize,
}

impl LogSource for CompilerLogs {
    fn open(&self, log: &str) -> io::Result<Option<Box<dyn Read + '_>>> {
        let mut text = format!("make.log of {log}\n\nBuilding module(s)\n");
        for line in 0..self.lines {
            text.push_str(&format!(
                "  CC [M]  /var/lib/dkms/x/1.0/build/src/unit_{line}.o\n"
            ));
            if line == self.lines / 2 && (log.starts_with("failed") || log.starts_with("known")) {
                text.push_str("src/x_main.c:81:12: error: implicit declaration of function 'get_user_pages_remote'; did you mean 'get_user_pages_fast'? [-Werror=implicit-function-declaration]\n   81 |     return get_user_pages_remote(mm);\n      |            ^~~~~~~~~~~~~~~~~~~~~\n");
            }
        }
        Ok(Some(Box::new(io::Cursor::new(text.into_bytes()))))
    }
}
