//! Text that tries to be more than text. Packages, their errors and their logs come from strangers.

use std::io::{self, Read};

use kiln_report::{Cell, FirstError, LogSource, Outcome, ReportDirectory, Run};

use super::driver::Browser;

const ATTACK: &str = "</script><script>window.taken=1</script><!--<script>\
    <img src=x onerror=\"window.taken=2\">'\"&lt;\u{2028}@@script@@ ${taken}";

/// The same as it is shown: what ends a line is named.
fn shown() -> String {
    ATTACK.replace('\u{2028}', "\\u{2028}")
}

struct Hostile;

impl LogSource for Hostile {
    fn open(&self, _: &str) -> io::Result<Option<Box<dyn Read + '_>>> {
        let log = format!("\x1b[31;1m{ATTACK}\x1b[0m\n\x1b]0;title\x07\");kilnLog(\"\nend\n");
        Ok(Some(Box::new(io::Cursor::new(log.into_bytes()))))
    }
}

#[test]
fn hostile_text_is_shown_as_text() {
    let mut cell = Cell::new(
        format!("p{ATTACK}"),
        ATTACK,
        format!("k{ATTACK}"),
        ATTACK,
        Outcome::Failed,
    );
    cell.log = Some(format!("../../{ATTACK}"));
    cell.first_error = Some(FirstError {
        file: Some(ATTACK.to_owned()),
        line: Some(1),
        message: ATTACK.to_owned(),
    });
    cell.hint = Some(ATTACK.to_owned());
    cell.why = Some(ATTACK.to_owned());
    cell.key = Some(ATTACK.to_owned());
    let run = Run {
        kiln: ATTACK.to_owned(),
        started_ms: 0,
        finished_ms: 1,
        cores: 1,
        remote_slots: 0,
        protection: String::new(),
        interrupted: false,
        cells: vec![cell],
    };
    let directory = tempfile::tempdir().unwrap();
    let report = ReportDirectory::open(directory.path()).unwrap();
    report
        .write(
            &Run {
                cells: Vec::new(),
                ..run.clone()
            },
            &Hostile,
        )
        .unwrap();
    report.write(&run, &Hostile).unwrap();

    let Some(browser) = Browser::start(1200, 900) else {
        return;
    };
    browser.open(directory.path(), "");
    browser.click("#changes .chips button");
    browser.wait_for("document.querySelector('.log')");
    let shown = shown();
    let log = browser.run("return document.querySelector('.log').textContent");
    assert_eq!(log, format!("{shown}\n\");kilnLog(\"\nend\n"));
    for selector in [
        ".name[role=rowheader] button",
        "#panel .message",
        "#panel .place",
        "#panel h2",
        "#footer",
        "#failures .problem",
    ] {
        let found = browser.run(&format!(
            "return document.querySelector('{selector}').textContent"
        ));
        assert!(
            found.as_str().unwrap().contains(&shown),
            "{selector}: {found}"
        );
    }
    assert_eq!(
        browser.run("return window.taken ?? null"),
        serde_json::Value::Null
    );
    assert_eq!(
        browser.run("return document.querySelectorAll('img').length"),
        0
    );

    // What got in as markup all the same would still not run, and could fetch nothing.
    browser.run("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.taken=3\">'); \
        const s = document.createElement('script'); s.textContent = 'window.taken=4'; document.body.append(s);");
    browser.run("return new Promise(done => setTimeout(done, 200))");
    assert_eq!(
        browser.run("return window.taken ?? null"),
        serde_json::Value::Null
    );
    assert!(
        browser
            .complaints()
            .iter()
            .any(|text| text.contains("Content Security Policy"))
    );
}
