//! The interpreter of a program: the kernel opens it by itself, so no call names it (execve(2), elf(5)).

use std::{fs::File, io::Read};

/// What is read of a program. Linux reads 256 bytes for `#!`; linkers put the name of the dynamic linker near the start.
const HEAD: u64 = 4096;
/// The longest `#!` line (`BINPRM_BUF_SIZE`).
const LINE: usize = 256;
/// `PT_INTERP`.
const INTERPRETER: u64 = 3;

/// What a program says of its interpreter.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Interpreter {
    /// It needs none, or is no program.
    None,
    /// This one.
    At(Vec<u8>),
    /// One that is named further inside.
    Unknown,
}

/// Reads an open program's head.
pub(crate) fn interpreter(program: File) -> Interpreter {
    let mut head = Vec::new();
    if program.take(HEAD).read_to_end(&mut head).is_err() {
        return Interpreter::Unknown;
    }
    interpreter_of(&head)
}

fn interpreter_of(head: &[u8]) -> Interpreter {
    if let Some(line) = head.strip_prefix(b"#!") {
        let line = &line[..line.len().min(LINE - 2)];
        let line = line.split(|byte| *byte == b'\n').next().unwrap_or(line);
        let name = line
            .split(|byte| matches!(byte, b' ' | b'\t'))
            .find(|word| !word.is_empty());
        return name.map_or(Interpreter::None, |name| Interpreter::At(name.to_owned()));
    }
    if !head.starts_with(b"\x7fELF") {
        return Interpreter::None;
    }
    elf(head).unwrap_or(Interpreter::Unknown)
}

/// Of a little-endian ELF file; nothing if what is needed is not in its head.
fn elf(head: &[u8]) -> Option<Interpreter> {
    let wide = match (head.get(4)?, head.get(5)?) {
        (2, 1) => true,
        (1, 1) => false,
        _ => return None,
    };
    let number = |at: u64, length: u64| {
        let at = usize::try_from(at).ok()?;
        let bytes = head.get(at..at.checked_add(usize::try_from(length).ok()?)?)?;
        Some(
            bytes
                .iter()
                .rev()
                .fold(0u64, |sum, byte| sum << 8 | u64::from(*byte)),
        )
    };
    // Where Elf64 and Elf32 keep: e_phoff, e_phentsize and e_phnum, p_offset and p_filesz.
    let (table, size, count) = if wide {
        (number(32, 8)?, number(54, 2)?, number(56, 2)?)
    } else {
        (number(28, 4)?, number(42, 2)?, number(44, 2)?)
    };
    for index in 0..count {
        let entry = table.checked_add(index.checked_mul(size)?)?;
        if number(entry, 4)? != INTERPRETER {
            continue;
        }
        let (offset, length) = if wide {
            (number(entry + 8, 8)?, number(entry + 32, 8)?)
        } else {
            (number(entry + 4, 4)?, number(entry + 16, 4)?)
        };
        let start = usize::try_from(offset).ok()?;
        let end = start.checked_add(usize::try_from(length).ok()?)?;
        let name = head.get(start..end)?.strip_suffix(b"\0")?;
        return Some(Interpreter::At(name.to_owned()));
    }
    Some(Interpreter::None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_and_programs_name_their_interpreter() {
        let at = |name: &str| Interpreter::At(name.as_bytes().to_owned());
        assert_eq!(interpreter_of(b"#!/bin/sh\necho"), at("/bin/sh"));
        assert_eq!(
            interpreter_of(b"#! /usr/bin/env python3\n"),
            at("/usr/bin/env")
        );
        assert_eq!(interpreter_of(b"echo\n"), Interpreter::None);
        let shell = interpreter(File::open("/bin/sh").unwrap());
        let Interpreter::At(linker) = shell else {
            panic!("{shell:?}")
        };
        assert!(
            String::from_utf8_lossy(&linker).contains("ld-"),
            "{linker:?}"
        );
    }

    #[test]
    fn what_is_cut_short_is_not_known() {
        let mut head = std::fs::read("/bin/sh").unwrap();
        head.truncate(100);
        assert_eq!(interpreter_of(&head), Interpreter::Unknown);
        assert_eq!(interpreter_of(b"\x7fELF"), Interpreter::Unknown);
    }
}
