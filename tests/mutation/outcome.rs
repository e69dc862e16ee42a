//! What came of each package in a run, so that two runs can be compared.

use std::{collections::BTreeMap, fmt, fs, path::PathBuf};

use serde_json::Value;

use super::run::Run;

/// What came of one package.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    /// Kiln's word for it; one from the cache is `built` too.
    pub(crate) word: String,
    /// Whether it was in the cache.
    pub(crate) cached: bool,
    cause: String,
    /// Each output with its digest.
    outputs: BTreeMap<String, String>,
    /// Each output's file in the cache.
    files: Vec<PathBuf>,
}

/// By package.
pub(crate) type Outcomes = BTreeMap<String, Outcome>;

/// Reads what `--json` printed. A run that was refused as a whole has one outcome, in the name of nothing.
pub(crate) fn outcomes(run: &Run) -> Outcomes {
    if run.out.is_empty() {
        let refused = Outcome {
            word: "refused".to_owned(),
            cached: false,
            cause: run.err.clone(),
            outputs: BTreeMap::new(),
            files: Vec::new(),
        };
        return Outcomes::from([(String::new(), refused)]);
    }
    let summary = run.summary();
    let cells = summary["cells"].as_array().unwrap();
    let outcome = |cell: &Value| {
        let text = |name: &str| cell[name].as_str().unwrap_or_default().to_owned();
        let (word, cached) = match cell["result"].as_str().unwrap() {
            "hit" => ("built", true),
            word => (word, cell["cached"].as_bool().unwrap_or_default()),
        };
        let outputs = cell["outputs"].as_array().map(Vec::as_slice);
        let outputs = outputs.unwrap_or_default();
        let output = |output: &Value| {
            let digest = output["digest"].as_str().unwrap().to_owned();
            (output["path"].as_str().unwrap().to_owned(), digest)
        };
        let file = |output: &Value| PathBuf::from(output["object"].as_str().unwrap());
        let (name, _) = cell["package"].as_str().unwrap().split_once('/').unwrap();
        let outcome = Outcome {
            word: word.to_owned(),
            cached,
            cause: text("cause"),
            outputs: outputs.iter().map(output).collect(),
            files: outputs.iter().map(file).collect(),
        };
        (name.to_owned(), outcome)
    };
    cells.iter().map(outcome).collect()
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cause = self.cause.lines().next().unwrap_or_default();
        write!(f, "{} {cause}", self.word)
    }
}

impl Outcome {
    /// Whether a run may give this one where one with an empty cache gives the other.
    pub(crate) fn is_as(&self, clean: &Self) -> bool {
        (&self.word, &self.cause, &self.outputs) == (&clean.word, &clean.cause, &clean.outputs)
    }

    /// How it differs from another, in a few lines.
    pub(crate) fn difference(&self, clean: &Self) -> String {
        let from = if self.cached {
            "from the cache"
        } else {
            "made anew"
        };
        let mut text = format!("{from}: {} {:?}", self.word, self.cause);
        if (&self.word, &self.cause) != (&clean.word, &clean.cause) {
            text.push_str(&format!(", clean: {} {:?}", clean.word, clean.cause));
        }
        let (ours, theirs) = (self.words(), clean.words());
        for (line, other) in ours.iter().zip(&theirs).filter(|(a, b)| a != b).take(8) {
            text.push_str(&format!("\n        {line}\n  clean {other}"));
        }
        text
    }

    /// The lines that a fake compiler has put behind a module.
    fn words(&self) -> Vec<String> {
        let content = self.files.iter().filter_map(|file| fs::read(file).ok());
        let content: Vec<u8> = content.flatten().collect();
        let mark = content.windows(MARK.len()).rposition(|part| part == MARK);
        let words = mark.map_or(&[][..], |mark| &content[mark..]);
        String::from_utf8_lossy(words)
            .lines()
            .map(str::to_owned)
            .collect()
    }
}

/// What stands between a module and the words about it.
pub(crate) const MARK: &[u8] = b"\nwhat was seen:\n";
