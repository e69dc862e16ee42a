//! Characters that turn the order of a line around (Unicode, UAX #9), or end it: what is shown with them is not what is there.
//!
//! Control characters of seven bits are no matter here: JSON and XML have none that is not escaped.

/// Whether a character has no place in what is shown.
pub fn turns(c: char) -> bool {
    let is_of_direction = matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    let is_control = matches!(c, '\u{7f}'..='\u{9f}');
    is_control || is_of_direction || matches!(c, '\u{2028}' | '\u{2029}')
}

/// JSON that means the same, without such characters: they are within its strings.
pub(crate) fn json(text: &str) -> String {
    replaced(text, |code| format!("\\u{code:04x}"))
}

/// JSON whose strings name such characters.
pub(crate) fn named_in_json(text: &str) -> String {
    replaced(text, |code| format!("\\\\u{{{code:x}}}"))
}

/// A text that names such characters.
pub(crate) fn named(text: &str) -> String {
    replaced(text, |code| format!("\\u{{{code:x}}}"))
}

fn replaced(text: &str, shown: impl Fn(u32) -> String) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match turns(c) {
            true => out.push_str(&shown(u32::from(c))),
            false => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_turns_a_line_around_is_named() {
        let text = "a\u{202e}b\u{9b}\u{2028}\u{7f}gr\u{fc}n\n";
        assert_eq!(named(text), "a\\u{202e}b\\u{9b}\\u{2028}\\u{7f}gr\u{fc}n\n");
        let written = serde_json::to_string(text).unwrap();
        let read = |json: &str| serde_json::from_str::<String>(json).unwrap();
        assert_eq!(read(&json(&written)), text);
        assert!(!json(&written).chars().any(turns));
        assert_eq!(read(&named_in_json(&written)), named(text));
    }
}
