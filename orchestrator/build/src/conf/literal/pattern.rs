//! Whether one of bash's regular expressions (`=~`, POSIX extended) matches.
//!
//! Only expressions that mean the same to POSIX and to the regex-lite crate are handled.
//! Given the same meaning they agree on whether a text has a match, though not on which part
//! of it that is. (The regex crate takes longer to compile one than a whole conf takes.)

/// Repetitions above this are left to bash.
const REPEAT_LIMIT: u32 = 32;

/// Whether `pattern` matches in `subject`; none if bash has to say.
pub(super) fn matches(pattern: &str, subject: &str) -> Option<bool> {
    if pattern.is_empty() {
        return Some(true);
    }
    let visible = |text: &str| text.bytes().all(|b| matches!(b, b' '..=b'~'));
    if !visible(pattern) || !visible(subject) {
        return None;
    }
    let mut reader = Reader {
        rest: pattern.as_bytes(),
        regex: String::new(),
    };
    reader.alternatives(0)?;
    if !reader.rest.is_empty() {
        return None;
    }
    let regex = regex_lite::Regex::new(&reader.regex).ok()?;
    Some(regex.is_match(subject))
}

/// Reads a POSIX expression and writes the same for the crate.
struct Reader<'a> {
    rest: &'a [u8],
    regex: String,
}

impl Reader<'_> {
    fn take(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn literal(&mut self, byte: u8) {
        if byte.is_ascii_punctuation() && byte != b'<' && byte != b'>' {
            self.regex.push('\\');
        }
        self.regex.push(char::from(byte));
    }

    /// `a|b`, none of them empty.
    fn alternatives(&mut self, depth: usize) -> Option<()> {
        if depth > 8 {
            return None;
        }
        loop {
            self.branch(depth)?;
            match self.rest.first() {
                Some(b'|') => {
                    self.take();
                    self.regex.push('|');
                }
                _ => return Some(()),
            }
        }
    }

    fn branch(&mut self, depth: usize) -> Option<()> {
        let mut length = 0;
        loop {
            match self.rest.first() {
                None | Some(b'|' | b')') => return (length > 0).then_some(()),
                Some(b'^' | b'$') => {
                    let anchor = self.take()?;
                    self.regex.push(char::from(anchor));
                    // What a repeated anchor means is not defined.
                    if matches!(self.rest.first(), Some(b'*' | b'+' | b'?' | b'{')) {
                        return None;
                    }
                }
                _ => {
                    self.atom(depth)?;
                    self.repetition()?;
                }
            }
            length += 1;
        }
    }

    fn atom(&mut self, depth: usize) -> Option<()> {
        match self.take()? {
            b'(' => {
                self.regex.push('(');
                self.alternatives(depth + 1)?;
                self.regex.push(')');
                (self.take()? == b')').then_some(())
            }
            b'[' => self.bracket(),
            b'.' => {
                self.regex.push('.');
                Some(())
            }
            b'\\' => {
                let escaped = self.take()?;
                self.literal(escaped);
                b".^$*+?()[]{}|\\/-".contains(&escaped).then_some(())
            }
            b'*' | b'+' | b'?' | b'{' | b'}' | b']' => None,
            byte => {
                self.literal(byte);
                Some(())
            }
        }
    }

    /// At most one of `*`, `+`, `?`, `{n}`, `{n,}` and `{n,m}`: two mean something else to the
    /// crate.
    fn repetition(&mut self) -> Option<()> {
        match self.rest.first() {
            Some(sign @ (b'*' | b'+' | b'?')) => self.regex.push(char::from(*sign)),
            Some(b'{') => {
                let end = self.rest.iter().position(|b| *b == b'}')?;
                let interval = std::str::from_utf8(&self.rest[1..end]).ok()?;
                let number = |text: &str| {
                    let digits = text.bytes().all(|b| b.is_ascii_digit());
                    let number: u32 = text.parse().ok().filter(|_| digits)?;
                    (number <= REPEAT_LIMIT).then_some(number)
                };
                let (low, high) = match interval.split_once(',') {
                    None => (number(interval)?, number(interval)?),
                    Some((low, "")) => (number(low)?, u32::MAX),
                    Some((low, high)) => (number(low)?, number(high)?),
                };
                if low > high {
                    return None;
                }
                self.regex.push('{');
                self.regex.push_str(interval);
                self.regex.push('}');
                self.rest = &self.rest[end..];
            }
            _ => return Some(()),
        }
        self.take();
        (!matches!(self.rest.first(), Some(b'*' | b'+' | b'?' | b'{'))).then_some(())
    }

    /// A set of letters, digits, ranges of these, and plain punctuation.
    fn bracket(&mut self) -> Option<()> {
        self.regex.push('[');
        if self.rest.first() == Some(&b'^') {
            self.take();
            self.regex.push('^');
        }
        let mut length = 0;
        loop {
            let byte = self.take()?;
            match byte {
                b']' if length > 0 => {
                    self.regex.push(']');
                    return Some(());
                }
                b'-' if length == 0 || self.rest.first() == Some(&b']') => self.literal(b'-'),
                b'-' | b'[' | b']' | b'\\' => return None,
                low => {
                    self.literal(low);
                    if self.rest.first() == Some(&b'-') && self.rest.get(1) != Some(&b']') {
                        self.take();
                        let high = self.take()?;
                        let same = |is: fn(&u8) -> bool| is(&low) && is(&high) && low <= high;
                        if !same(u8::is_ascii_digit)
                            && !same(u8::is_ascii_lowercase)
                            && !same(u8::is_ascii_uppercase)
                        {
                            return None;
                        }
                        self.regex.push('-');
                        self.literal(high);
                        // `a-c-e` is not a range from c.
                        if self.rest.first() == Some(&b'-') && self.rest.get(1) != Some(&b']') {
                            return None;
                        }
                    }
                }
            }
            length += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::{
        collection::vec,
        prelude::*,
        sample::select,
        test_runner::{Config, TestRunner},
    };

    use super::*;

    const KERNEL: &str = "6.1.0-56-amd64";

    /// One answer for each pattern, with one subject for all.
    fn bash_matches(patterns: &[String], subject: &str) -> Vec<bool> {
        let output = Command::new("/bin/bash")
            .args(["--norc", "--noprofile", "-c"])
            .arg("for p in \"${@:2}\"; do [[ $1 =~ $p ]] && echo true || echo false; done")
            .args(["bash", subject])
            .args(patterns)
            .env_clear()
            .env("LC_ALL", "C")
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| line == "true").collect()
    }

    #[test]
    fn bash_is_asked_where_a_crate_may_read_another_meaning() {
        let refused =
            "a| () [+--] [--a] [a-c-e] [[:digit:]] [\\d] (?i)a a** a+? a{40} {1} \\w \\1 a) (a é";
        for text in refused.split(' ') {
            assert_eq!(matches(text, KERNEL), None, "{text}");
        }
    }

    #[test]
    fn regular_expressions_match_where_they_do_in_bash() {
        let parts = "6 1 . 0 - a md 64 \\. \\- ^ $ * + ? ( ) | [0-9] [^6] [-a] [a-] [56] [.] \
                     [^0-9a-z] {1} {0} {2,} {0,2} \\ [ ] { } _ < > \\< \\w \\/ & () !";
        let parts: Vec<&str> = parts.split(' ').chain([" "]).collect();
        let patterns = vec(vec(select(parts), 0..7).prop_map(|p| p.concat()), 40);
        let config = Config {
            failure_persistence: None,
            cases: Config::default().cases / 8,
            ..Config::default()
        };
        TestRunner::new(config)
            .run(&patterns, |patterns| {
                let expected = bash_matches(&patterns, KERNEL);
                for (text, expected) in patterns.iter().zip(expected) {
                    let found = matches(text, KERNEL);
                    prop_assert!(
                        found.is_none_or(|f| f == expected),
                        "{}: {}",
                        text,
                        expected
                    );
                }
                Ok(())
            })
            .unwrap();
        for (text, expected) in [
            ("^(5\\.[6-9]\\.|5\\.[1-9][0-9]\\.|[6-9]\\.)", true),
            ("^6\\.1\\.0-[0-9]+-amd64$", true),
            ("^(2\\.6\\.(3[0-9]|2[5-9])|3\\.)", false),
            (".*", true),
            ("", true),
            ("REQUIRES CONFIG_USB_HID", false),
        ] {
            assert_eq!(matches(text, KERNEL), Some(expected), "{text}");
            assert_eq!(
                bash_matches(&[text.to_owned()], KERNEL),
                [expected],
                "{text}"
            );
        }
    }
}
