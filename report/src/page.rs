//! Pages that need neither a network nor a server: style, script and data are in one file.
//!
//! Data is never markup: the scripts make text nodes of it, `<` is escaped in it, and a page allows only
//! scripts that carry a number made from its own data.

mod changes;
mod comparison;
mod run;

pub use comparison::write_comparison_page;

use crate::shown;
pub(crate) use run::page;

/// How much of an error the lists have, in characters; a cell's details have it whole.
const ERROR_LENGTH: usize = 300;

/// Puts parts into a template, where it has `@@name@@`; `seed` is anything that nobody could foresee.
fn filled(template: &str, seed: &[u8], parts: &[(&str, String)]) -> Vec<u8> {
    let nonce = blake3::hash(seed).to_hex()[..32].to_owned();
    let mut html = String::new();
    // Parts are put in once, left to right, so that nothing in them is taken for a place of another.
    for (index, piece) in template.split("@@").enumerate() {
        let part = parts.iter().find(|(name, _)| *name == piece);
        match (index % 2, part) {
            (1, _) if piece == "nonce" => html.push_str(&nonce),
            (1, Some((_, part))) => html.push_str(part),
            _ => html.push_str(piece),
        }
    }
    html.into_bytes()
}

/// JSON that no HTML parser sees the end of a script in, and whose strings are seen as they are.
fn escaped(json: &str) -> String {
    shown::named_in_json(json).replace('<', "\\u003c")
}

fn shortened(text: String) -> String {
    if text.chars().count() <= ERROR_LENGTH {
        return text;
    }
    let mut short: String = text.chars().take(ERROR_LENGTH - 1).collect();
    short.push('…');
    short
}
