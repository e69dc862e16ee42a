//! Writes the report of a made-up fleet, to be looked at or measured.
//!
//! `cargo run -p kiln-report --example fleet -- DIR [PACKAGES [KERNELS]]`, twice for a comparison.

#[path = "../tests/fleet/mod.rs"]
#[allow(missing_docs, clippy::unwrap_used, reason = "shared with the tests")]
mod fleet;

use std::{env, error::Error, time::Instant};

use fleet::{CompilerLogs, Fleet, fleet};
use kiln_report::{ReportDirectory, load};

#[allow(clippy::print_stdout, reason = "a program")]
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let number = |at: usize| arguments.get(at).map_or(Ok(100), |text| text.parse());
    let path = arguments
        .first()
        .ok_or("usage: fleet DIR [PACKAGES [KERNELS]]")?;
    let seed = load(path.as_ref()).map_or(1, |_| 2);
    let run = fleet(Fleet {
        packages: number(1)?,
        kernels: number(2)?,
        hits: 70,
        seed,
    });
    let started = Instant::now();
    ReportDirectory::open(path)?.write(&run, &CompilerLogs { lines: 300 })?;
    println!("{} cells in {:?}", run.cells.len(), started.elapsed());
    Ok(())
}
