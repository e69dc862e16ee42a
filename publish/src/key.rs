//! The key that modules are signed with, as sign-file is told of it.
//!
//! What is on a command line everybody can read. So a PIN in a `pkcs11:` URI (RFC 7512) is taken out of it. The tool
//! finds it in two places that only its own user can read: in the environment, where a sign-file with OpenSSL's engines
//! looks, and in its standard input, which the URI names as the source of the PIN for one with OpenSSL's providers.

use std::{
    env,
    fs::File,
    io::{self, Write},
    path::PathBuf,
    process::{Command, Stdio},
};

use percent_encoding::percent_decode_str;
use rustix::fs::{MemfdFlags, memfd_create};
use zeroize::Zeroizing;

/// What a URI of a key in a token begins with.
const SCHEME: &str = "pkcs11:";

/// The attribute of a URI that holds a PIN.
const PIN: &str = "pin-value";

/// The attribute that says where a PIN is, and where: each time that it is opened it is read from its start.
const SOURCE: &str = "pin-source=file:/proc/self/fd/0";

/// Where sign-file looks for a PIN or a pass phrase.
const VARIABLE: &str = "KBUILD_SIGN_PIN";

/// A private key for signing modules: the path of its file, or the URI of one in a token.
#[derive(Clone, PartialEq, Eq)]
pub struct ModuleKey {
    name: String,
    pin: Option<Pin>,
}

/// A PIN, as it is and as it was written in the URI.
#[derive(Clone, PartialEq, Eq)]
struct Pin {
    text: Zeroizing<String>,
    written: Zeroizing<String>,
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
                    true => {
                        pin = Some(Pin {
                            text: Zeroizing::new(decoded(value).into_owned()),
                            written: Zeroizing::new(value.to_owned()),
                        });
                    }
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

    /// Whether a PIN was said with it.
    pub fn has_pin(&self) -> bool {
        self.pin.is_some()
    }

    /// The file that a URI names as the source of the PIN, if it names one: by its path or as `file:`.
    pub fn pin_file(&self) -> Option<PathBuf> {
        let uri = Some(&self.name).filter(|_| self.is_in_token())?;
        let mut attributes = uri.split([';', '&', '?']);
        let source = attributes.find_map(|attribute| {
            let (name, value) = attribute.split_once('=')?;
            let decoded = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
            let is_source = decoded(name).trim().eq_ignore_ascii_case("pin-source");
            is_source.then(|| decoded(value))
        })?;
        let path = source.strip_prefix("file:").unwrap_or(&source);
        let path = path.strip_prefix("//").unwrap_or(path);
        // What begins with `|` is a program.
        path.starts_with('/').then(|| PathBuf::from(path))
    }

    /// Whether whoever can read a text can read the PIN.
    pub fn is_told_by(&self, text: &[u8]) -> bool {
        let Some(pin) = &self.pin else { return false };
        let holds = |part: &str| {
            let part = part.as_bytes();
            !part.is_empty() && text.windows(part.len()).any(|window| window == part)
        };
        holds(&pin.text) || holds(&pin.written)
    }

    /// Adds the key to a tool's arguments and gives it the PIN that was said, or that the environment has. The tool's
    /// standard input is taken for it.
    ///
    /// # Errors
    /// Fails if there can be no file without a name.
    pub fn hand_to(&self, tool: &mut Command) -> io::Result<()> {
        let own = self.pin.as_ref().map(|pin| pin.text.clone());
        let Some(pin) = own.or_else(|| self.pin_of_caller()) else {
            tool.arg(&self.name).stdin(Stdio::null());
            return Ok(());
        };
        let mut source = File::from(memfd_create("pin", MemfdFlags::CLOEXEC)?);
        source.write_all(pin.as_bytes())?;
        let separator = if self.name.contains('?') { '&' } else { '?' };
        tool.arg(format!("{}{separator}{SOURCE}", self.name))
            .env(VARIABLE, pin.as_str())
            .stdin(source);
        Ok(())
    }

    /// The PIN in the environment, for a key in a token that says of none.
    fn pin_of_caller(&self) -> Option<Zeroizing<String>> {
        let says_where = self.name.contains("pin-source");
        let pin = env::var(VARIABLE).ok().filter(|pin| !pin.is_empty());
        pin.filter(|_| self.is_in_token() && !says_where)
            .map(Zeroizing::new)
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

    #[test]
    fn the_file_with_a_pin_is_known() {
        for (said, file) in [
            ("pkcs11:token=a?pin-source=file:/etc/pin", Some("/etc/pin")),
            (
                "pkcs11:token=a?pin-source=file:///etc/pin",
                Some("/etc/pin"),
            ),
            ("pkcs11:token=a;PIN-source=/etc/p%69n", Some("/etc/pin")),
            (
                "pkcs11:token=a?x=y&pin%2Dsource=%2Fetc%2Fpin",
                Some("/etc/pin"),
            ),
            ("pkcs11:token=a?pin-source=|/bin/ask", None),
            ("pkcs11:token=a?pin-value=1234", None),
            ("/etc/dkms/key", None),
        ] {
            let found = ModuleKey::new(said).pin_file();
            assert_eq!(found, file.map(PathBuf::from), "{said}");
        }
    }

    /// The name that a tool is given, and the PIN that it finds in both places.
    fn handed(said: &str) -> (String, Option<String>) {
        let key = ModuleKey::new(said);
        let script = "printf '%s\n' \"$1\" \"$KBUILD_SIGN_PIN\"; f=${1#*pin-source=file:}; \
            case $f in /proc/*) cat $f; echo; cat $f; esac";
        let mut tool = Command::new("sh");
        tool.args(["-c", script, "sign-file"]).env_remove(VARIABLE);
        key.hand_to(&mut tool).unwrap();
        assert!(!format!("{key:?}").contains("12"));
        let said = String::from_utf8(tool.output().unwrap().stdout).unwrap();
        let lines: Vec<&str> = said.lines().collect();
        let name = lines[0]
            .trim_end_matches(SOURCE)
            .trim_end_matches(['?', '&']);
        assert_eq!(name, key.name());
        let pin = match &lines[1..] {
            [""] => None,
            [pin, first, second] if pin == first && pin == second => Some((*pin).to_owned()),
            other => panic!("{other:?}"),
        };
        (name.to_owned(), pin)
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
    fn whoever_can_read_a_pin_is_known() {
        let key = ModuleKey::new("pkcs11:token=ours?pin-value=12%2034");
        for (text, is_told) in [
            ("key='pkcs11:token=ours?pin-value=12%2034'", true),
            ("pin='12 34'", true),
            ("key=\"pkcs11:token=ours?pin-value=$(cat /etc/pin)\"", false),
        ] {
            assert_eq!(key.is_told_by(text.as_bytes()), is_told, "{text}");
        }
        assert!(!ModuleKey::new("/keys/a").is_told_by(b"/keys/a"));
        assert!(!ModuleKey::new("pkcs11:token=ours?pin-value=").is_told_by(b"x"));
    }

    #[test]
    fn a_path_stays_as_it_is() {
        let path = "/keys/a?pin-value=b";
        assert_eq!(handed(path), (path.to_owned(), None));
        assert!(!ModuleKey::new(path).is_in_token());
    }
}
