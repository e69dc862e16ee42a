//! What `kiln config` prints, and what is said of settings that are wrong.
//!
//! `show` prints TOML: it can be read back as a file of settings. What is not TOML is in
//! comments, and no secret is in either.

use kiln_config::{Configuration, Entry, Exposure, FileState, Origin, Problem, SettingsFile};
use kiln_files::Suspicion;
use kiln_sandbox::Protection;
use serde_json::{Value, json};

use super::{out, words};

/// How wide a setting may be before what follows it leaves its column.
const WIDTH: usize = 60;

/// Prints every setting, and where its value comes from.
pub(crate) fn settings(configuration: &Configuration, protection: Protection, as_json: bool) {
    if as_json {
        let mut all = json(configuration);
        all["protection"] = json!(protection.name());
        out::json(&all);
        return;
    }
    out::line(&format!("# builds are confined by {protection}"));
    for file in &configuration.files {
        let state = state(file.state);
        out::line(&format!("# {}: {state}", file.path.display()));
    }
    let rows: Vec<(String, String)> = configuration
        .entries
        .iter()
        .map(|entry| (assignment(entry), remark(entry)))
        .collect();
    let width = rows
        .iter()
        .map(|(setting, _)| setting.chars().count())
        .filter(|width| *width <= WIDTH)
        .max()
        .unwrap_or_default();
    for (setting, remark) in rows {
        out::line(&format!("{setting:width$}  # {remark}"));
    }
}

/// Prints which files were looked at, to who wanted to know whether they are right.
pub(crate) fn checked_files(files: &[SettingsFile]) {
    for file in files {
        out::line(&format!("{}: {}", file.path.display(), state(file.state)));
    }
}

/// Prints all that is wrong, each with a hint.
pub(super) fn problems(problems: &[Problem]) {
    for problem in problems {
        out::error_line(&format!("kiln: error: {}", words::chain(problem)));
        if let Some(hint) = hint(problem) {
            out::error_line(&format!("kiln: hint: {hint}"));
        }
    }
}

fn state(state: FileState) -> &'static str {
    match state {
        FileState::Read => "read",
        FileState::Absent => "not there",
        FileState::OutOfSight => "out of sight: a directory above it is closed to this user",
        FileState::Unusable => "cannot be used",
    }
}

fn assignment(entry: &Entry) -> String {
    let key = entry.setting.key;
    match (&entry.value, &entry.gives_way_to) {
        (Some(value), None) => format!("{key} = {value}"),
        (Some(value), Some(_)) => format!("# {key} = {value}"),
        (None, _) => format!("# {key}"),
    }
}

fn remark(entry: &Entry) -> String {
    let Some(origin) = &entry.origin else {
        return "not set".to_owned();
    };
    let mut text = origin.to_string();
    if entry.setting.exposure == Exposure::Secret {
        text.push_str(", set but not shown");
    }
    if let Some(other) = entry.gives_way_to {
        text.push_str(&format!(", gives way to {other}"));
    }
    if !entry.overrides.is_empty() {
        let others: Vec<String> = entry.overrides.iter().map(ToString::to_string).collect();
        text.push_str(&format!(", over {}", others.join(", ")));
    }
    text
}

fn json(configuration: &Configuration) -> Value {
    let files: Vec<Value> = configuration
        .files
        .iter()
        .map(|file| {
            let state = match file.state {
                FileState::Read => "read",
                FileState::Absent => "absent",
                FileState::OutOfSight => "out of sight",
                FileState::Unusable => "unusable",
            };
            json!({ "path": file.path.to_string_lossy(), "state": state })
        })
        .collect();
    let settings: Vec<Value> = configuration
        .entries
        .iter()
        .map(|entry| {
            json!({
                "key": entry.setting.key,
                "value": entry.value,
                "is_set": entry.origin.is_some(),
                "is_secret": entry.setting.exposure == Exposure::Secret,
                "origin": entry.origin.as_ref().map(origin),
                "overrides": entry.overrides.iter().map(origin).collect::<Vec<_>>(),
                "gives_way_to": entry.gives_way_to,
                "variable": entry.setting.variable,
                "flag": entry.setting.flag,
            })
        })
        .collect();
    let problems: Vec<String> = configuration
        .problems
        .iter()
        .map(|problem| words::chain(problem))
        .collect();
    json!({ "files": files, "settings": settings, "problems": problems })
}

fn origin(origin: &Origin) -> Value {
    match origin {
        Origin::Default => json!({ "kind": "default" }),
        Origin::File(position) => json!({
            "kind": "file",
            "path": position.path.to_string_lossy(),
            "line": position.line,
            "column": position.column,
        }),
        Origin::Variable(name) => json!({ "kind": "variable", "name": name }),
        Origin::Flag(name) => json!({ "kind": "flag", "name": name }),
    }
}

fn hint(problem: &Problem) -> Option<String> {
    Some(match problem {
        Problem::Unreadable { path, .. } if path.is_file() => format!(
            "there are no secrets in it, so all may read it: chmod a+r {}",
            path.display()
        ),
        Problem::Untrusted {
            suspicion: Suspicion::Owner { .. },
            ..
        } => "put these settings into a file of your own, or of root's".to_owned(),
        Problem::Untrusted { suspicion, .. } => suspicion.remedy()?,
        Problem::Named { source, .. } => source.remedy()?,
        Problem::NotInFiles { .. } => {
            "put it into a file that only you can read, and name that as remote.token_file; or set KILN_REMOTE_TOKEN".to_owned()
        }
        Problem::Cleartext { .. } => "use grpcs://".to_owned(),
        _ => return None,
    })
}
