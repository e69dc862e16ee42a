//! What a reader does with a small report: filter, search, open a cell, read its log, share a link.

use kiln_report::{Outcome, ReportDirectory};
use serde_json::Value;

use super::{
    driver::Browser,
    fleet::{CompilerLogs, Fleet, fleet},
};

const SMALL: Fleet = Fleet {
    packages: 13,
    kernels: 4,
    hits: 70,
    seed: 1,
};

/// Presses of keys that have no letter.
const ENTER: &str = "\u{e007}";
const ESCAPE: &str = "\u{e00c}";
const DOWN: &str = "\u{e015}";

/// Cells that are shown and not dimmed.
const MATCHING: &str = "[...document.querySelectorAll('.cell[data-cell]:not(.dim)')].filter(c => c.checkVisibility()).length";

/// Whether something in the log is in sight.
fn in_sight(selector: &str) -> String {
    format!(
        "(() => {{ const log = document.querySelector('.log').getBoundingClientRect(), \
         one = document.querySelector('{selector}').getBoundingClientRect(); \
         return one.height > 0 && one.top >= log.top && one.bottom <= log.bottom; }})()"
    )
}

fn report(fleets: &[Fleet]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for one in fleets {
        let report = ReportDirectory::open(directory.path()).unwrap();
        report
            .write(&fleet(*one), &CompilerLogs { lines: 900 })
            .unwrap();
    }
    directory
}

#[test]
fn the_matrix_shows_every_cell_and_filters() {
    let directory = report(&[SMALL]);
    let run = fleet(SMALL);
    let Some(browser) = Browser::start(1400, 1000) else {
        return;
    };
    browser.open(directory.path(), "");
    let cells = browser.run("return document.querySelectorAll('.cell[data-cell]').length");
    assert_eq!(cells, run.cells.len());
    let failed = run.totals().of(Outcome::Failed);
    assert!(failed > 0);

    browser.click("#legend [data-outcome=failed]");
    assert_eq!(browser.run(&format!("return {MATCHING}")), failed);
    assert!(browser.text("#shown").starts_with(&format!("{failed} of ")));
    browser.click("#reset");
    assert_eq!(browser.run(&format!("return {MATCHING}")), run.cells.len());

    browser.click("[data-package='1']");
    assert_eq!(browser.run(&format!("return {MATCHING}")), 4);
    browser.click("[data-kernel='2']");
    assert_eq!(browser.run(&format!("return {MATCHING}")), 1);
    browser.click("#reset");

    browser.type_into("#search", "no such thing");
    let errors = run
        .cells
        .iter()
        .filter(|c| c.package == "bbswitch" && c.first_error.is_some());
    let errors = errors.count();
    assert!(errors > 0);
    assert_eq!(browser.run(&format!("return {MATCHING}")), 0);
    assert_eq!(browser.text("#empty"), "No cell matches.");
    browser.click("#reset");
    browser.type_into("#search", "MAIN.C bbswitch");
    assert_eq!(browser.run(&format!("return {MATCHING}")), errors);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn a_cell_opens_with_its_error_and_its_log() {
    let directory = report(&[SMALL]);
    let run = fleet(SMALL);
    let index = run
        .cells
        .iter()
        .position(|c| c.outcome == Outcome::Failed)
        .unwrap();
    let cell = &run.cells[index];
    let Some(browser) = Browser::start(1400, 1000) else {
        return;
    };
    browser.open(directory.path(), "");
    browser.click(&format!(".cell[data-cell='{index}']"));
    let panel = browser.text("#panel");
    for part in [
        &cell.label(),
        &cell.kernel,
        &cell.first_error.as_ref().unwrap().message,
        cell.key.as_ref().unwrap(),
    ] {
        assert!(panel.contains(part), "{part} in {panel}");
    }
    assert!(panel.contains("never built for this kernel") && panel.contains("make"));
    browser.wait_for("document.querySelector('.log')");
    let lines =
        browser.run("return document.querySelector('.log').textContent.split('\\n').length");
    assert!(lines.as_u64().unwrap() > 900, "the log is whole");
    let error = browser.content(".log .first");
    assert!(error.contains("get_user_pages_remote"));
    browser.wait_for(&in_sight(".log .first"));

    browser.type_into(".find", "unit_77");
    assert_eq!(browser.text(".count"), "1 of 11");
    browser.type_into(".find", ENTER);
    assert_eq!(browser.text(".count"), "2 of 11");
    browser.wait_for(&in_sight("mark.now"));
    assert_eq!(browser.content("mark.now"), "unit_77");
    browser.type_into(".find", "nowhere");
    assert_eq!(browser.text(".count"), "no match");

    let link = browser.run("return location.hash");
    browser.type_into(".find", ESCAPE);
    assert_eq!(
        browser.run("return document.getElementById('panel').hidden"),
        true
    );
    let Some(other) = Browser::start(500, 900) else {
        return;
    };
    other.open(directory.path(), link.as_str().unwrap());
    assert!(other.text("#panel").contains(&cell.label()));
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn the_keyboard_reaches_everything() {
    let directory = report(&[SMALL]);
    let Some(browser) = Browser::start(1400, 1000) else {
        return;
    };
    browser.open(directory.path(), "");
    browser.run("document.querySelector('.cell[tabindex=\"0\"]').focus()");
    browser.type_into(".cell[tabindex='0']", &format!("{DOWN}{DOWN}"));
    let here = browser.run("return Number(document.activeElement.dataset.cell)");
    assert_eq!(here, 8, "two rows of four below the first");
    let label = browser.run("return document.activeElement.getAttribute('aria-label')");
    assert!(
        label
            .as_str()
            .unwrap()
            .starts_with("v4l2loopback/1.2.2 for 6.1.0-20-amd64, ")
    );
    browser.type_into(".cell[tabindex='0']", ENTER);
    assert!(browser.text("#panel").contains("v4l2loopback"));
    browser.type_into("#panel-title", ESCAPE);
    assert_eq!(
        browser.run("return Number(document.activeElement.dataset.cell)"),
        8
    );
}

/// What is below a node for a screen reader: roles and names, of what it passes over that of its children.
fn below(tree: &[Value], node: &Value) -> Vec<String> {
    let number = |id: &Value| tree.iter().find(|one| one["nodeId"] == *id);
    let children = node["childIds"].as_array().unwrap().iter();
    let each = |child: &Value| match child["role"]["value"].as_str() {
        Some(role) if child["ignored"] == false && role != "generic" => {
            vec![format!(
                "{role} {}",
                child["name"]["value"].as_str().unwrap_or_default()
            )]
        }
        _ => below(tree, child),
    };
    children.filter_map(number).flat_map(each).collect()
}

#[test]
fn a_screen_reader_finds_names_where_their_heading_is() {
    let directory = report(&[SMALL]);
    let Some(browser) = Browser::start(1400, 1000) else {
        return;
    };
    browser.open(directory.path(), "");
    browser.run("document.getElementById('matrix').scrollIntoView()");
    browser.wait_for(
        "document.querySelector('.cell').checkVisibility({ contentVisibilityAuto: true })",
    );
    let tree = browser.accessibility_tree();
    let mut rows = tree
        .iter()
        .filter(|node| node["role"]["value"] == "row" && node["ignored"] == false)
        .map(|row| below(&tree, row));
    let headings = rows.next().unwrap();
    assert_eq!(headings[0], "columnheader package");
    assert_eq!(headings.len(), 5);
    let first = rows.next().unwrap();
    assert_eq!(first[0], "rowheader acpi-call/1.0.0");
    let cells = first.iter().filter(|name| name.starts_with("gridcell"));
    assert_eq!(cells.count(), 4, "{first:?}");
}

#[test]
fn the_page_tells_what_changed_since_the_last_report() {
    let later = Fleet {
        packages: 14,
        kernels: 5,
        ..SMALL
    };
    let directory = report(&[SMALL, Fleet { seed: 2, ..later }]);
    assert!(directory.path().join("previous.json").exists());
    let Some(browser) = Browser::start(1400, 1000) else {
        return;
    };
    browser.open(directory.path(), "");
    let text = browser.text("#changes");
    assert!(
        text.contains("newly failing") && text.contains("6.1.0-21-amd64\nbroke 3 packages"),
        "{text}"
    );
    browser.click("#changes .chips button");
    assert!(!browser.text("#panel h2").is_empty());

    let fresh = report(&[SMALL]);
    browser.open(fresh.path(), "");
    assert_eq!(
        browser.run("return document.getElementById('changes').hidden"),
        true
    );
}

#[test]
fn plots_are_drawn_and_dark_mode_holds() {
    let directory = report(&[SMALL]);
    let Some(browser) = Browser::start(1400, 1000) else {
        return;
    };
    browser.open(directory.path(), "");
    assert!(browser.text("#time").contains("Critical path"));
    let path =
        browser.run("return document.querySelector('#time svg .line').getAttribute('d').length");
    assert!(path.as_u64().unwrap() > 100);
    let pixels = "const c = document.querySelector('#time canvas'); \
        return new Set(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size";
    browser.wait_for("document.querySelector('#time canvas').width > 500");
    assert!(
        browser.run(pixels).as_u64().unwrap() > 3,
        "jobs have colours"
    );
    let ground = "return getComputedStyle(document.body).backgroundColor";
    let light = browser.run(ground);
    browser.click("#theme");
    assert_ne!(browser.run(ground), light);
}
