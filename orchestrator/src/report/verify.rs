//! What `kiln cache verify` prints.

use kiln_build::{plan::Rereading, probes::Inspection};
use kiln_cache::{Subject, VerifyReport};
use kiln_kernel::KernelRelease;
use serde_json::{Value, json};

use super::{out, words};
use crate::{
    cli::VerifyArgs,
    rebuild::{Deviation, Different, NotHere, Obstacle, Rebuilt},
};

/// Says that records are being built anew, which takes a while.
pub(crate) fn rebuilding(count: usize, kernel: &KernelRelease) {
    out::notice(&format!("building {count} records anew for {kernel}"));
}

/// Prints what a check of the cache found.
pub(crate) fn cache_verify(
    found: &VerifyReport,
    answers: &Inspection,
    rebuilt: Option<&Rebuilt>,
    reread: Option<&Rereading>,
    arguments: &VerifyArgs,
) {
    if arguments.json {
        out::json(&as_json(found, answers, rebuilt, reread));
        return;
    }
    for digest in &found.bad_objects {
        out::error_line(&format!("damaged object {digest}"));
    }
    for key in &found.bad_records {
        out::error_line(&format!("damaged record {key}"));
    }
    for key in &found.incomplete_records {
        out::error_line(&format!("record {key} lacks an object"));
    }
    for line in &answers.wrong {
        out::error_line(&format!("the compiler answers otherwise: {line}"));
    }
    for key in &answers.misled {
        out::error_line(&format!(
            "record {key} was built with a wrong answer of the compiler"
        ));
    }
    let (different, not_here) = rebuilt.map_or((&[][..], &[][..]), |rebuilt| {
        (&rebuilt.different[..], &rebuilt.not_here[..])
    });
    for one in different {
        let about = about(&one.subject);
        for deviation in &one.deviations {
            let words = deviation_in_words(deviation);
            out::error_line(&format!("{about}: {words} (record {})", one.key));
        }
    }
    for one in not_here {
        let words = obstacle_in_words(&one.why);
        out::line(&format!(
            "cannot be rebuilt here: {}: {words}",
            about(&one.subject)
        ));
    }
    let stale = reread.map_or(&[][..], |reread| &reread.stale[..]);
    for path in stale {
        let path = path.display();
        out::error_line(&format!("{path} has another content than its times say"));
    }
    let is_clean =
        found.is_clean() && answers.is_clean() && different.is_empty() && stale.is_empty();
    let state = match (is_clean, arguments.repair) {
        (true, _) => "all good",
        (false, true) => "repaired: what was damaged will be built again",
        (false, false) => "damaged; --repair removes what is damaged",
    };
    out::line(&format!(
        "{} objects ({}), {} records: {state}",
        found.objects,
        words::size(found.object_bytes),
        found.records
    ));
    if let Some(reread) = reread {
        out::line(&format!(
            "{} files of inputs read again ({}): {}",
            reread.files,
            words::size(reread.bytes),
            match stale.len() {
                0 => "all are what their times say".to_owned(),
                count => format!("{count} are not what their times say"),
            }
        ));
    }
    if answers.judged > 0 || answers.unknown > 0 {
        out::line(&format!(
            "{} answers of compilers asked again; {} records name answers of compilers that are not here",
            answers.judged, answers.unknown
        ));
    }
    if let Some(rebuilt) = rebuilt {
        out::line(&format!(
            "{} records built anew: {} the same, {} different; {} cannot be rebuilt here",
            rebuilt.same + different.len(),
            rebuilt.same,
            different.len(),
            not_here.len()
        ));
    }
}

fn about(subject: &Subject) -> String {
    format!("{} for {}", subject.name, subject.target)
}

fn deviation_in_words(deviation: &Deviation) -> String {
    match deviation {
        Deviation::Fails => "the cache has a success, and it fails".to_owned(),
        Deviation::Succeeds => "the cache has a failure, and it succeeds".to_owned(),
        Deviation::NotMade { path } => format!("the cache has {path}, and it is not made"),
        Deviation::Made { path } => format!("the cache lacks {path}"),
        Deviation::Content { path, sections } => match sections {
            Some(sections) => format!("{path} is built otherwise: {}", sections.join(", ")),
            None => format!("{path} is built otherwise"),
        },
    }
}

fn obstacle_in_words(obstacle: &Obstacle) -> String {
    match obstacle {
        Obstacle::NoKernel => "there is no such kernel".to_owned(),
        Obstacle::NoPackage => "there is no such package".to_owned(),
        Obstacle::Changed(components) if components.is_empty() => {
            "another record is found in its place".to_owned()
        }
        Obstacle::Changed(components) => format!("changed since: {}", components.join(", ")),
        Obstacle::NotBuilt(words) => words.clone(),
    }
}

fn as_json(
    found: &VerifyReport,
    answers: &Inspection,
    rebuilt: Option<&Rebuilt>,
    reread: Option<&Rereading>,
) -> Value {
    let keys = |keys: &[kiln_cache::ActionKey]| -> Vec<String> {
        keys.iter().map(ToString::to_string).collect()
    };
    let objects: Vec<String> = found.bad_objects.iter().map(ToString::to_string).collect();
    json!({
        "objects": found.objects,
        "object_bytes": found.object_bytes,
        "records": found.records,
        "damaged_objects": objects,
        "damaged_records": keys(&found.bad_records),
        "incomplete_records": keys(&found.incomplete_records),
        "answers": {
            "judged": answers.judged,
            "wrong": answers.wrong,
            "misled_records": keys(&answers.misled),
            "unknown": answers.unknown,
        },
        "inputs": reread.map(|reread| json!({
            "files": reread.files,
            "bytes": reread.bytes,
            "stale": reread.stale,
        })),
        "rebuilt": rebuilt.map(|rebuilt| json!({
            "same": rebuilt.same,
            "different": rebuilt.different.iter().map(different_as_json).collect::<Vec<_>>(),
            "not_here": rebuilt.not_here.iter().map(not_here_as_json).collect::<Vec<_>>(),
        })),
    })
}

fn different_as_json(different: &Different) -> Value {
    let deviation = |deviation: &Deviation| {
        let (path, sections) = match deviation {
            Deviation::Content { path, sections } => (Some(path), sections.as_ref()),
            Deviation::NotMade { path } | Deviation::Made { path } => (Some(path), None),
            Deviation::Fails | Deviation::Succeeds => (None, None),
        };
        json!({ "path": path, "sections": sections, "text": deviation_in_words(deviation) })
    };
    json!({
        "key": different.key.to_string(),
        "name": different.subject.name,
        "target": different.subject.target,
        "deviations": different.deviations.iter().map(deviation).collect::<Vec<_>>(),
    })
}

fn not_here_as_json(not_here: &NotHere) -> Value {
    json!({
        "key": not_here.key.to_string(),
        "name": not_here.subject.name,
        "target": not_here.subject.target,
        "why": obstacle_in_words(&not_here.why),
    })
}
