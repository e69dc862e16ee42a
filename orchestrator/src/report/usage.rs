//! Command lines that make no sense, and those that ask for help: clap's words.

use std::process::ExitCode;

use clap::error::ContextValue;

use super::{
    out,
    printable::{printable, printable_lines},
};
use crate::Exit;

/// Says what is wrong with a command line, or what it asks for; gives how the process ends.
pub(crate) fn command_line(mut error: clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // A reader that has gone away is no reason to fail.
        let _ = error.print();
        return Exit::Success.into();
    }
    // clap takes what it holds for colours out of its words, and arguments with it.
    let said: Vec<_> = error
        .context()
        .filter_map(|(kind, value)| Some((kind, shown(value)?)))
        .collect();
    for (kind, value) in said {
        error.insert(kind, value);
    }
    let text = error.render().to_string();
    out::composed_error(printable_lines(&text).trim_end_matches('\n'));
    Exit::Usage.into()
}

/// What somebody has said on the command line, as it may be shown; none if it is clap's own.
fn shown(value: &ContextValue) -> Option<ContextValue> {
    let one = |text: &String| printable(text).into_owned();
    match value {
        ContextValue::String(text) => Some(ContextValue::String(one(text))),
        ContextValue::Strings(texts) => {
            Some(ContextValue::Strings(texts.iter().map(one).collect()))
        }
        _ => None,
    }
}
