//! A headless Chromium over WebDriver: as much of the protocol as the tests need.
//!
//! Each browser has a profile of its own that is gone with it, and its driver a port that the system chose.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a browser must not do in a test: ask the network, or keep anything.
const OPTIONS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
];

/// A browser with one page.
pub(crate) struct Browser {
    driver: Child,
    session: String,
    agent: ureq::Agent,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts one, with a window of this size. None where the distribution has no browser that
    /// may read a test's files.
    pub(crate) fn start(width: u32, height: u32) -> Option<Self> {
        let profile = tempfile::tempdir().unwrap();
        let driver = Command::new("chromedriver")
            .arg("--port=0")
            .env("TMPDIR", profile.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let system = fs::read_to_string("/etc/os-release").unwrap_or_default();
        if driver.is_err() && system.lines().any(|line| line == "ID=ubuntu") {
            eprintln!(
                "skipped: Ubuntu has Chromium only as a snap, which may not read the tests' files"
            );
            return None;
        }
        let mut driver = driver.expect("chromedriver runs; `tests/provision.sh test` installs it");
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines
            .find_map(|line| {
                let line = line.unwrap();
                let (_, port) = line.split_once("started successfully on port ")?;
                Some(port.trim_end_matches('.').to_owned())
            })
            .expect("chromedriver says its port");
        thread::spawn(move || lines.for_each(drop));
        let data = profile.path().join("profile");
        fs::create_dir(&data).unwrap();
        let mut arguments: Vec<String> = OPTIONS.map(str::to_owned).to_vec();
        arguments.push(format!("--user-data-dir={}", data.display()));
        arguments.push(format!("--window-size={width},{height}"));
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .build()
            .new_agent();
        let mut browser = Self {
            driver,
            session: format!("http://127.0.0.1:{port}/session"),
            agent,
            _profile: profile,
        };
        let capabilities = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let session = browser.post("", &capabilities);
        let id = session["sessionId"].as_str().unwrap();
        browser.session = format!("{}/{id}", browser.session);
        Some(browser)
    }

    /// Opens the page of a report; `hash` is what comes after its name.
    pub(crate) fn open(&self, directory: &Path, hash: &str) {
        let url = format!("file://{}/index.html{hash}", directory.display());
        self.post("/url", &json!({ "url": url }));
    }

    /// Opens a page that is in one file.
    pub(crate) fn open_file(&self, file: &Path) {
        let url = format!("file://{}", file.display());
        self.post("/url", &json!({ "url": url }));
    }

    /// Runs a script in the page and gives what it returns.
    #[track_caller]
    pub(crate) fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// The text of the first element that matches.
    #[track_caller]
    pub(crate) fn text(&self, selector: &str) -> String {
        let found = self.run(&format!(
            "return document.querySelector({})?.innerText ?? null",
            json!(selector)
        ));
        let text = found.as_str();
        text.unwrap_or_else(|| panic!("no {selector}")).to_owned()
    }

    /// The text of the first element that matches, whether or not it has been drawn yet.
    #[track_caller]
    pub(crate) fn content(&self, selector: &str) -> String {
        let found = self.run(&format!(
            "return document.querySelector({})?.textContent ?? null",
            json!(selector)
        ));
        let text = found.as_str();
        text.unwrap_or_else(|| panic!("no {selector}")).to_owned()
    }

    /// Clicks as a user does: what is covered or out of sight is not clicked.
    #[track_caller]
    pub(crate) fn click(&self, selector: &str) {
        let element = self.element(selector);
        self.post(&format!("/element/{element}/click"), &json!({}));
    }

    /// Types into an element, or presses keys (by their WebDriver numbers) on it.
    #[track_caller]
    pub(crate) fn type_into(&self, selector: &str, text: &str) {
        let element = self.element(selector);
        self.post(
            &format!("/element/{element}/value"),
            &json!({ "text": text }),
        );
    }

    /// Waits until a script returns something that is true.
    #[track_caller]
    pub(crate) fn wait_for(&self, condition: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.run(&format!("return Boolean({condition})")) != true {
            assert!(Instant::now() < deadline, "waited in vain for {condition}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// What a screen reader is told of the page: Chromium's nodes, the children of each by their numbers.
    pub(crate) fn accessibility_tree(&self) -> Vec<Value> {
        let tree = self.devtools("Accessibility.getFullAXTree", &json!({}));
        tree["nodes"].as_array().unwrap().clone()
    }

    /// How long the page's main thread has worked so far, in milliseconds of CPU time.
    pub(crate) fn main_thread(&self) -> f64 {
        self.devtools(
            "Performance.enable",
            &json!({ "timeDomain": "threadTicks" }),
        );
        let answer = self.devtools("Performance.getMetrics", &json!({}));
        let mut metrics = answer["metrics"].as_array().unwrap().iter();
        let work = metrics.find(|metric| metric["name"] == "TaskDuration");
        work.unwrap()["value"].as_f64().unwrap() * 1000.0
    }

    fn devtools(&self, command: &str, parameters: &Value) -> Value {
        let body = json!({ "cmd": command, "params": parameters });
        self.post("/goog/cdp/execute", &body)
    }

    /// What the page complained about since the last call: errors, and what its policy refused.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let log = self.post("/se/log", &json!({ "type": "browser" }));
        let entries = log.as_array().unwrap().iter();
        entries
            .map(|entry| entry["message"].as_str().unwrap().to_owned())
            .collect()
    }

    fn element(&self, selector: &str) -> String {
        let using = json!({ "using": "css selector", "value": selector });
        let found = self.post("/element", &using);
        let id = found.as_object().unwrap().values().next().unwrap();
        id.as_str().unwrap().to_owned()
    }

    #[track_caller]
    fn post(&self, path: &str, body: &Value) -> Value {
        let url = format!("{}{path}", self.session);
        let mut answer = self
            .agent
            .post(&url)
            .send_json(body)
            .unwrap_or_else(|error| panic!("{path}: {error}"));
        let value: Value = answer.body_mut().read_json().unwrap();
        assert!(value["value"]["error"].is_null(), "{path} {body}: {value}");
        value["value"].clone()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.agent.delete(&self.session).call();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
