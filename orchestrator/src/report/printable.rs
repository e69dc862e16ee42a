//! Texts of others, as they may be shown on a terminal.
//!
//! A terminal obeys control sequences (ECMA-48): a package that has one in its log, in a name or in a message could retitle
//! the window, write to the clipboard, or draw over what kiln says. So could characters that turn the order of a line
//! around (Unicode, UAX #9). All of them are shown, and not sent.

use std::borrow::Cow;

/// A text for one line.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    shown(text, |c| c == '\t')
}

/// A text of several lines.
pub(crate) fn printable_lines(text: &str) -> Cow<'_, str> {
    shown(text, |c| c == '\t' || c == '\n')
}

/// JSON that means the same: what is left of such characters is within its strings.
pub(super) fn printable_json(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match is_obeyed(c) {
            true => shown.push_str(&format!("\\u{:04x}", u32::from(c))),
            false => shown.push(c),
        }
    }
    shown
}

fn shown(text: &str, is_left: impl Fn(char) -> bool) -> Cow<'_, str> {
    let is_sent = |c: char| !is_obeyed(c) || is_left(c);
    if text.chars().all(is_sent) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match u32::from(c) {
            _ if is_sent(c) => shown.push(c),
            code @ ..0x100 => shown.push_str(&format!("\\x{code:02x}")),
            code => shown.push_str(&format!("\\u{{{code:x}}}")),
        }
    }
    Cow::Owned(shown)
}

/// Whether a terminal may do something else than show it.
fn is_obeyed(c: char) -> bool {
    c.is_control() || kiln_report::turns(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_shown() {
        for (text, shown) in [
            ("\x1b]0;OWNED\x07", r"\x1b]0;OWNED\x07"),
            ("\u{9b}2J\x7f", r"\x9b2J\x7f"),
            ("a\rb\nc\td", "a\\x0db\\x0ac\td"),
            ("\u{202e}cod.c", r"\u{202e}cod.c"),
            ("grün, 構築", "grün, 構築"),
        ] {
            assert_eq!(printable(text), shown);
        }
        assert_eq!(printable_lines("a\nb\x08"), "a\nb\\x08");
    }

    #[test]
    fn json_keeps_its_meaning() {
        let text = "\x1b[2J\u{9b}2J\u{202e}\n";
        let printed = printable_json(&serde_json::json!(text).to_string());
        assert!(!printed.chars().any(is_obeyed), "{printed}");
        let read: String = serde_json::from_str(&printed).unwrap();
        assert_eq!(read, text);
    }
}
