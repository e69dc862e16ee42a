//! The key that modules are signed with, as sign-file is told of it.
//!
//! What is on a command line everybody can read. So a PIN in a `pkcs11:` URI (RFC 7512) is taken out of it,
//! and goes to the tool in its environment, which sign-file reads and only its own user can.

use std::process::Command;

use percent_encoding::percent_decode_str;
use zeroize::Zeroizing;

/// What a URI of a key in a token begins with.
const SCHEME: &str = "pkcs11:";

/// The attribute of a URI that holds a PIN.
const PIN: &str = "pin-value";

/// Where sign-file looks for a PIN or a pass phrase.
const VARIABLE: &str = "KBUILD_SIGN_PIN";

/// A private key for signing modules: the path of its file, or the URI of one in a token.
#[derive(Clone, PartialEq, Eq)]
pub struct ModuleKey {
    name: String,
    pin: Option<Zeroizing<String>>,
}

impl ModuleKey {
    /// Takes a key as it was said.
    pub fn new(said: &str) -> Self {
        let plain = Self {
            name: said.to_owned(),
            pin: None,
        };
        if !plain.is_in_token() {
            return plain;
        }
        let mut pin = None;
        // Tools look for it among both kinds of attributes, whatever separates them.
        let mut without_pin = |attributes: &str, separator: &str| {
            let mut others: Vec<&str> = Vec::new();
            for attribute in attributes.split([';', '&']) {
                let (name, value) = attribute.split_once('=').unwrap_or((attribute, ""));
                let decoded = |text| percent_decode_str(text).decode_utf8_lossy();
                match decoded(name).trim().eq_ignore_ascii_case(PIN) {
                    true => pin = Some(Zeroizing::new(decoded(value).into_owned())),
                    false => others.push(attribute),
                }
            }
            others.join(separator)
        };
        let rest = said.trim_start().split_at(SCHEME.len()).1;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let path = without_pin(path, ";");
        let query = without_pin(query, "&");
        Self {
            name: match query.is_empty() {
                true => format!("{SCHEME}{path}"),
                false => format!("{SCHEME}{path}?{query}"),
            },
            pin,
        }
    }

    /// The path, or the URI without its PIN: for command lines and messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is in a token, and no file.
    pub fn is_in_token(&self) -> bool {
        let start = self.name.trim_start().get(..SCHEME.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(SCHEME))
    }

    /// Gives a tool the PIN, if one was said; else it has that of the caller's environment.
    pub fn hand_pin_to(&self, tool: &mut Command) {
        if let Some(pin) = &self.pin {
            tool.env(VARIABLE, pin.as_str());
        }
    }
}

impl std::fmt::Debug for ModuleKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ModuleKey({:?})", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The name that a tool is given, and the PIN in its environment.
    fn handed(said: &str) -> (String, Option<String>) {
        let key = ModuleKey::new(said);
        let mut tool = Command::new("sign-file");
        key.hand_pin_to(&mut tool);
        assert!(!format!("{key:?}").contains("12"));
        let pin = tool.get_envs().find_map(|(_, value)| value);
        let pin = pin.map(|pin| pin.to_str().unwrap().to_owned());
        (key.name().to_owned(), pin)
    }

    #[test]
    fn a_pin_is_not_in_the_name() {
        let pin = |text: &str| Some(text.to_owned());
        let uri = "pkcs11:token=ours;object=mok";
        assert_eq!(handed(uri), (uri.to_owned(), None));
        let said = format!("{uri}?pin-value=12%2034%");
        assert_eq!(handed(&said), (uri.to_owned(), pin("12 34%")));
        let said = format!("{uri}?module-name=softhsm&pin-value=1234&x=y");
        let rest = format!("{uri}?module-name=softhsm&x=y");
        assert_eq!(handed(&said), (rest, pin("1234")));
        for said in [
            format!("{uri};pin-value=1234"),
            format!("{uri}?PIN-VALUE=1234"),
            format!("{uri}?pin%2Dvalue=1234"),
            format!("{uri}?pin-value=1234;"),
            format!("PKCS11:pin-value=1234;{}", &uri[SCHEME.len()..]),
            format!(" {uri}?pin-value=1234"),
        ] {
            let (name, handed) = handed(&said);
            assert!(name.starts_with(uri) && !name.contains("1234"), "{said}");
            assert_eq!(handed, pin("1234"), "{said}");
        }
        let source = format!("{uri}?pin-source=file:/etc/pin");
        assert_eq!(handed(&source), (source.clone(), None));
    }

    #[test]
    fn a_path_stays_as_it_is() {
        let path = "/keys/a?pin-value=b";
        assert_eq!(handed(path), (path.to_owned(), None));
        assert!(!ModuleKey::new(path).is_in_token());
    }
}
