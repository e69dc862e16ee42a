//! The page of a comparison: everything is there, may be narrowed down, and is only ever text.

use std::{fs, os::unix::fs::symlink};

use kiln_report::{
    Cell, Change, ChangeKind, FirstError, Outcome, Run, compare, write_comparison_page,
};

use super::{
    driver::Browser,
    fleet::{Fleet, fleet},
};

const BEFORE: Fleet = Fleet {
    packages: 13,
    kernels: 4,
    hits: 70,
    seed: 1,
};

const AFTER: Fleet = Fleet {
    packages: 14,
    kernels: 5,
    hits: 70,
    seed: 2,
};

/// How many changes are in sight.
const SHOWN: &str = "return document.querySelectorAll('.change').length";

#[test]
fn all_changes_are_there_and_can_be_narrowed_down() {
    let (before, after) = (fleet(BEFORE), fleet(AFTER));
    let comparison = compare(&before, &after);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("page.html");
    write_comparison_page(&file, &comparison, &before, &after).unwrap();
    let Some(browser) = Browser::start(1200, 900) else {
        return;
    };
    browser.open_file(&file);
    let broke = comparison.count(ChangeKind::Broke);
    assert!(
        browser
            .text("h1")
            .starts_with(&format!("{broke} cells newly fail"))
    );
    assert_eq!(browser.run(SHOWN), comparison.changes.len());
    assert!(browser.text("#sides").contains("13 packages for 4 kernels"));
    assert!(browser.text("#sides").contains("14 packages for 5 kernels"));

    let first = comparison.changes.first().unwrap();
    let row = browser.text(".card.broke .change");
    assert!(row.contains(&first.label()), "{row}");
    let after = first.after.as_ref().unwrap();
    assert!(row.contains(after.outcome.words()), "{row}");
    assert!(row.contains(&after.problem().unwrap()), "{row}");

    let new = comparison.count(ChangeKind::New);
    assert!(new > 0);
    browser.click("[data-kind=new]");
    assert_eq!(browser.run(SHOWN), new);
    browser.click("[data-kind=new]");
    browser.type_into("#search", "6.1.0-21-amd64 newest");
    assert_eq!(browser.run(SHOWN), 0);
    assert_eq!(browser.text("#shown"), "No change matches.");
    browser.run("document.getElementById('search').value = ''");
    browser.type_into("#search", &first.label().to_uppercase());
    let same = |change: &&Change| change.label() == first.label();
    let same = comparison.changes.iter().filter(same).count();
    assert_eq!(browser.run(SHOWN), same);

    let ground = "return getComputedStyle(document.body).backgroundColor";
    let light = browser.run(ground);
    browser.click("#theme");
    assert_ne!(browser.run(ground), light);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn what_a_comparison_shows_is_text() {
    let attack =
        "</script><script>window.taken=1</script><img src=x onerror=\"window.taken=2\">@@script@@";
    let run = |outcome| {
        let mut cell = Cell::new(attack, attack, attack, attack, outcome);
        cell.first_error = (outcome == Outcome::Failed).then(|| FirstError {
            file: None,
            line: None,
            message: attack.to_owned(),
        });
        Run {
            kiln: attack.to_owned(),
            cells: vec![cell],
            ..fleet(Fleet {
                packages: 0,
                ..BEFORE
            })
        }
    };
    let (before, after) = (run(Outcome::Built), run(Outcome::Failed));
    let directory = tempfile::tempdir().unwrap();
    let (file, link) = (directory.path().join("page"), directory.path().join("link"));
    fs::write(&file, "the former page").unwrap();
    symlink(&file, &link).unwrap();
    write_comparison_page(&link, &compare(&before, &after), &before, &after).unwrap();
    assert!(link.is_symlink(), "the link leads to the page as before");
    fs::rename(&file, directory.path().join("page.html")).unwrap();
    let Some(browser) = Browser::start(600, 900) else {
        return;
    };
    browser.open_file(&directory.path().join("page.html"));
    for selector in [
        ".change .problem",
        ".change .mono",
        "#sides",
        ".head strong",
    ] {
        let found = browser.content(selector);
        assert!(found.contains(attack), "{selector}: {found}");
    }
    let taken = browser.run("return [window.taken ?? null, document.images.length]");
    assert_eq!(taken, serde_json::json!([null, 0]));
    assert_eq!(browser.complaints(), Vec::<String>::new());
}
