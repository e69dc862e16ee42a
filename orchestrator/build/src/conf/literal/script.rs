//! Reading a script of assignments as bash does: words, quotes, expansions.
//!
//! Every function here either does what bash does with the text at hand or returns `None`,
//! after which the scope is of no use. No command is ever run; the one word that stands for
//! a command and is passed over is the carriage return of an empty line.

use super::scope::{Scope, is_plain};

/// Longer scripts are left to bash.
const SCRIPT_LIMIT: usize = 1 << 20;

/// Subscripts from here on are left to bash.
const SUBSCRIPT_LIMIT: usize = 100_000;

/// Evaluates a script in a scope.
pub(super) fn run(text: &str, scope: &mut Scope<'_>) -> Option<()> {
    if text.len() > SCRIPT_LIMIT || !is_plain(text) {
        return None;
    }
    let mut script = Script {
        rest: text,
        after_semicolon: false,
        scope,
    };
    while !script.rest.is_empty() {
        script.command()?;
    }
    Some(())
}

/// How long the name is that a text begins with.
pub(super) fn name_length(text: &[u8]) -> usize {
    if text.first().is_some_and(u8::is_ascii_digit) {
        return 0;
    }
    text.iter()
        .take_while(|b| b.is_ascii_alphanumeric() || **b == b'_')
        .count()
}

/// Where a word stands: bash expands less in some places than in others.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The value of an assignment: neither split nor taken for a pattern.
    Assignment,
    /// An argument of `export`.
    Argument,
    /// An element of an array: split, and expanded to file names and braces.
    Element,
}

/// One assignment, ready to be made.
struct Assignment<'a> {
    name: &'a str,
    index: Option<usize>,
    append: bool,
    value: Value,
}

enum Value {
    One(String),
    Array(Vec<String>),
}

struct Script<'a, 'b, 'c> {
    rest: &'a str,
    /// Whether the command before ended in one; it and the next are then one to bash.
    after_semicolon: bool,
    scope: &'b mut Scope<'c>,
}

impl<'a> Script<'a, '_, '_> {
    fn peek(&self) -> Option<u8> {
        self.rest.as_bytes().first().copied()
    }

    /// Takes a text, if the rest begins with it.
    fn take(&mut self, text: &str) -> bool {
        let rest = self.rest.strip_prefix(text);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn take_bytes(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        taken
    }

    fn take_char(&mut self) -> Option<char> {
        let next = self.rest.chars().next()?;
        self.rest = &self.rest[next.len_utf8()..];
        Some(next)
    }

    /// Takes what is neither special anywhere nor the end of a word: most of most values.
    fn take_ordinary(&mut self) -> &'a str {
        let is_ordinary = |b: &u8| b.is_ascii_alphanumeric() || b"_-/.,+%@".contains(b);
        let length = self.rest.bytes().take_while(|b| is_ordinary(b)).count();
        self.take_bytes(length)
    }

    fn take_name(&mut self) -> Option<&'a str> {
        let length = name_length(self.rest.as_bytes());
        (length > 0).then(|| self.take_bytes(length))
    }

    fn skip_blanks(&mut self) {
        while self.take(" ") || self.take("\t") || self.take("\\\n") {}
    }

    fn skip_comment(&mut self) {
        let end = self.rest.find('\n').unwrap_or(self.rest.len());
        self.take_bytes(end);
    }

    /// Whether a word of its own can end here.
    fn at_word_end(&self) -> bool {
        matches!(self.peek(), None | Some(b' ' | b'\t' | b'\n' | b';'))
    }

    /// Runs one command with what ends it.
    fn command(&mut self) -> Option<()> {
        self.skip_blanks();
        match self.peek() {
            None => return Some(()),
            Some(b'#') => {
                self.skip_comment();
                return Some(());
            }
            Some(b'\n') => {
                self.take("\n");
                self.after_semicolon = false;
                return Some(());
            }
            // Bash looks for a program with this name, and goes on without it. After a
            // semicolon at the end of a file it would not go on.
            Some(b'\r') if !self.after_semicolon && self.rest.starts_with("\r\n") => {
                self.take("\r");
                return Some(());
            }
            Some(b';') => return None,
            _ => {}
        }
        if self.take("export ") || self.take("export\t") {
            return self.export();
        }
        while !self.command_ends() {
            let assignment = self.assignment(Place::Assignment)?;
            self.assign(assignment)?;
        }
        Some(())
    }

    /// `export` expands all its arguments before it assigns one. That the names are exported
    /// shows nowhere: no file starts a program.
    fn export(&mut self) -> Option<()> {
        let mut made = Vec::new();
        let mut arguments = 0;
        while !self.command_ends() {
            arguments += 1;
            let length = name_length(self.rest.as_bytes());
            let ends = [" ", "\t", "\n", ";"];
            let after = &self.rest[length..];
            if length > 0 && (after.is_empty() || ends.iter().any(|end| after.starts_with(end))) {
                self.take_bytes(length);
            } else {
                made.push(self.assignment(Place::Argument)?);
            }
        }
        made.into_iter()
            .try_for_each(|assignment| self.assign(assignment))?;
        (arguments > 0).then_some(())
    }

    /// Skips to the next word of a command, or over the command's end.
    fn command_ends(&mut self) -> bool {
        self.skip_blanks();
        match self.peek() {
            None | Some(b'\n') => true,
            Some(b'#') => {
                self.skip_comment();
                true
            }
            _ => {
                let semicolon = self.take(";");
                self.after_semicolon |= semicolon;
                semicolon
            }
        }
    }

    fn assign(&mut self, assignment: Assignment<'_>) -> Option<()> {
        let Assignment {
            name,
            index,
            append,
            value,
        } = assignment;
        match value {
            Value::Array(values) => self.scope.assign_array(name, values, append),
            Value::One(value) => self.scope.assign(name, index, value),
        }
    }

    /// `NAME=`, `NAME+=`, `NAME[INDEX]=` or `NAME=(`, and the value.
    fn assignment(&mut self, place: Place) -> Option<Assignment<'a>> {
        let name = self.take_name()?;
        let index = if place == Place::Assignment && self.take("[") {
            Some(self.subscript()?)
        } else {
            None
        };
        let append = place == Place::Assignment && self.take("+");
        if !self.take("=") {
            return None;
        }
        let value = if place == Place::Assignment && index.is_none() && self.take("(") {
            Value::Array(self.array()?)
        } else {
            let word = self.word(place)?;
            if !self.at_word_end() {
                return None;
            }
            Value::One(if append {
                let old = self.scope.value(name, index.unwrap_or(0))?;
                format!("{old}{word}")
            } else {
                word
            })
        };
        Some(Assignment {
            name,
            index,
            append,
            value,
        })
    }

    /// An index up to its closing bracket: a number, or a variable that holds one. Bash takes
    /// any arithmetic expression, and numbers of other bases.
    fn subscript(&mut self) -> Option<usize> {
        let digits = if self.take("$") {
            self.variable()?
        } else {
            let length = self.rest.bytes().take_while(u8::is_ascii_digit).count();
            self.take_bytes(length).to_owned()
        };
        let index: usize = digits.parse().ok()?;
        let canonical = index.to_string() == digits && index < SUBSCRIPT_LIMIT;
        (canonical && self.take("]")).then_some(index)
    }

    /// The elements of an array, after the opening parenthesis.
    fn array(&mut self) -> Option<Vec<String>> {
        let mut elements = Vec::new();
        loop {
            self.skip_blanks();
            match self.peek()? {
                b'\n' => {
                    self.take("\n");
                }
                b'#' => self.skip_comment(),
                b')' => {
                    self.take(")");
                    return self.at_word_end().then_some(elements);
                }
                _ => elements.push(self.word(Place::Element)?),
            }
        }
    }

    /// A word's text, up to where it ends.
    fn word(&mut self, place: Place) -> Option<String> {
        let mut word = String::new();
        let mut before = None;
        loop {
            let ordinary = self.take_ordinary();
            word.push_str(ordinary);
            before = ordinary.bytes().last().or(before);
            let Some(next) = self.peek() else {
                return Some(word);
            };
            match next {
                b' ' | b'\t' | b'\n' => return Some(word),
                b';' if place != Place::Element => return Some(word),
                b')' if place == Place::Element => return Some(word),
                b';' | b'&' | b'|' | b'<' | b'>' | b'(' | b')' | b'`' => return None,
                // A home directory may stand here.
                b'~' if matches!(before, None | Some(b':' | b'=')) => return None,
                b'*' | b'?' | b'[' | b']' | b'{' | b'}' if place != Place::Assignment => {
                    return None;
                }
                b'"' => self.double_quoted(&mut word)?,
                b'\'' => {
                    let end = self.rest[1..].find('\'')?;
                    word.push_str(&self.take_bytes(end + 2)[1..=end]);
                }
                b'\\' => {
                    self.take("\\");
                    if self.take("\n") {
                        continue;
                    }
                    word.push(self.take_char()?);
                }
                b'$' => {
                    let value = self.dollar(place)?;
                    word.push_str(&value);
                }
                _ => word.push(self.take_char()?),
            }
            before = Some(next);
        }
    }

    fn double_quoted(&mut self, word: &mut String) -> Option<()> {
        self.take("\"");
        loop {
            word.push_str(self.take_ordinary());
            match self.peek()? {
                b'"' => {
                    self.take("\"");
                    return Some(());
                }
                b'`' => return None,
                b'\\' => {
                    self.take("\\");
                    match self.peek()? {
                        b'\n' => {
                            self.take("\n");
                        }
                        b'$' | b'`' | b'"' | b'\\' => word.push(self.take_char()?),
                        _ => word.push('\\'),
                    }
                }
                b'$' => {
                    let value = self.quoted_dollar()?;
                    word.push_str(&value);
                }
                _ => word.push(self.take_char()?),
            }
        }
    }

    /// A dollar outside quotes.
    fn dollar(&mut self, place: Place) -> Option<String> {
        self.take("$");
        match self.peek() {
            None | Some(b' ' | b'\t' | b'\r' | b'\n' | b';') => return Some("$".to_owned()),
            Some(b'%' | b'.' | b'/' | b',' | b':' | b'+' | b'^') => return Some("$".to_owned()),
            _ => {}
        }
        let value = self.variable()?;
        let is_word = |b: u8| b.is_ascii_alphanumeric() || b"_-+.,/:@%^=".contains(&b);
        if place == Place::Element && (value.is_empty() || !value.bytes().all(is_word)) {
            return None;
        }
        Some(value)
    }

    /// A dollar between double quotes.
    fn quoted_dollar(&mut self) -> Option<String> {
        self.take("$");
        let next = self.peek()?;
        let ends_the_line = self.rest.starts_with("\\\n");
        let blank = matches!(next, b' ' | b'\t' | b'\r' | b'\n');
        let literal = blank || b"\"\\'%./,:=+^|)]}~;<>&".contains(&next);
        if literal && !ends_the_line {
            return Some("$".to_owned());
        }
        self.variable()
    }

    /// What follows a dollar: `NAME`, `{NAME}` or `{NAME[INDEX]}`.
    fn variable(&mut self) -> Option<String> {
        if !self.take("{") {
            let name = self.take_name()?;
            // Bash joins lines before it looks for the end of the name.
            if self.rest.starts_with("\\\n") {
                return None;
            }
            return self.scope.value(name, 0).map(str::to_owned);
        }
        let name = self.take_name()?;
        let index = if self.take("[") { self.subscript()? } else { 0 };
        if !self.take("}") {
            return None;
        }
        self.scope.value(name, index).map(str::to_owned)
    }
}
