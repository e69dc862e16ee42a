//! A fleet of a hundred packages and a hundred kernels. Figures are printed, not asserted:
//! `cargo test -p kiln-report --test browser large -- --nocapture`; docs/report.md has some.

use kiln_report::{Outcome, ReportDirectory};

use super::{
    driver::Browser,
    fleet::{CompilerLogs, Fleet, fleet},
};

const LARGE: Fleet = Fleet {
    packages: 100,
    kernels: 100,
    hits: 70,
    seed: 1,
};

/// How often each interaction is measured; the median is told first.
const ROUNDS: usize = 5;

/// Does something and says how long it took until the next frame was drawn, in milliseconds.
const TIMED: &str = "const timed = async (work) => { \
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done))); \
    const start = performance.now(); work(); const handled = performance.now() - start; \
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done))); \
    return [Math.round(handled), Math.round(performance.now() - start)]; };";

/// Lets what follows a frame be done as well.
const QUIET: &str = "return new Promise((done) => setTimeout(done, 60))";

#[test]
fn ten_thousand_cells() {
    let run = fleet(LARGE);
    let directory = tempfile::tempdir().unwrap();
    let report = ReportDirectory::open(directory.path()).unwrap();
    report.write(&run, &CompilerLogs { lines: 20 }).unwrap();
    let Some(browser) = Browser::start(1400, 1000) else {
        return;
    };
    browser.open(directory.path(), "");
    let cells = browser.run("return document.querySelectorAll('.cell[data-cell]').length");
    assert_eq!(cells, 10_000);
    let load = browser.run(
        "const paint = performance.getEntriesByName('first-contentful-paint')[0]; \
         return [performance.getEntriesByName('kiln-ready')[0].startTime, paint?.startTime].map(Math.round)",
    );
    eprintln!("page ready and first painted after {load} ms");

    let type_into = |text: &str| {
        format!(
            "{TIMED} return timed(() => {{ const s = document.getElementById('search'); s.value = '{text}'; \
         s.dispatchEvent(new Event('input')); }})"
        )
    };
    let click = |selector: &str| {
        format!("{TIMED} return timed(() => document.querySelector(\"{selector}\").click())")
    };
    let interactions = [
        ("first letter of a search", type_into("e")),
        ("second letter", type_into("ev")),
        ("search for an error text", type_into("get_user_pages")),
        ("end of the search", type_into("")),
        ("only failed", click("[data-outcome=failed]")),
        ("all again", click("#reset")),
        ("one kernel", click("[data-kernel='50']")),
        ("all again", click("#reset")),
        ("comfortable", click("#density")),
        ("compact", click("#density")),
        ("open a cell", click(".cell[data-cell='4242']")),
    ];
    let mut times = vec![Vec::new(); interactions.len()];
    for _ in 0..ROUNDS {
        browser.run("document.getElementById('matrix').scrollIntoView()");
        for ((_, script), times) in interactions.iter().zip(&mut times) {
            let before = browser.main_thread();
            let drawn = browser.run(script)[1].as_u64().unwrap();
            browser.run(QUIET);
            times.push(((browser.main_thread() - before).round() as u64, drawn));
        }
        browser.run("document.querySelector('#panel [aria-label=Close]').click()");
    }
    let median = |times: &mut dyn Iterator<Item = u64>| {
        let mut times: Vec<u64> = times.collect();
        times.sort_unstable();
        format!("{} ms {times:?}", times[times.len() / 2])
    };
    for ((what, _), times) in interactions.iter().zip(&times) {
        let cpu = median(&mut times.iter().map(|one| one.0));
        let drawn = median(&mut times.iter().map(|one| one.1));
        eprintln!("{what}: CPU {cpu}, drawn after {drawn}");
    }
    browser.click(".cell[data-cell='4242']");
    assert!(browser.text("#panel h2").contains('/'));
    browser.click("#panel [aria-label=Close]");
    let failed = run.totals().of(Outcome::Failed);
    browser.click("#legend [data-outcome=failed]");
    assert!(
        browser
            .text("#shown")
            .starts_with(&format!("{failed} of 10000 cells"))
    );
    let scroll = format!(
        "{TIMED} return timed(() => {{ const s = document.getElementById('scroller'); s.scrollTop = 900; s.scrollLeft = 700; }})"
    );
    eprintln!("scroll: {} ms", browser.run(&scroll));
    assert_eq!(browser.complaints(), Vec::<String>::new());
}
