//! What a program needs of shared libraries, in the words of RPM: `libc.so.6(GLIBC_2.34)(64bit)`.

use std::collections::BTreeSet;

use object::{
    Endianness,
    elf::FileHeader64,
    read::elf::{Dyn, FileHeader, SectionHeader},
};

/// The capabilities that a 64-bit program requires, in order. Nothing for what is no program.
pub(crate) fn requirements(program: &[u8]) -> Result<BTreeSet<String>, object::Error> {
    let mut needed = BTreeSet::new();
    let Ok(header) = FileHeader64::<Endianness>::parse(program) else {
        return Ok(needed);
    };
    let endian = header.endian()?;
    let sections = header.sections(endian, program)?;
    for section in sections.iter() {
        if let Some((entries, strings)) = section.dynamic(endian, program)? {
            let strings = sections.strings(endian, program, strings)?;
            for entry in entries {
                if entry.tag(endian) == object::elf::DT_NEEDED {
                    let library = text(entry.string(endian, strings)?);
                    needed.insert(format!("{library}()(64bit)"));
                }
            }
        }
        if let Some((mut needs, strings)) = section.gnu_verneed(endian, program)? {
            let strings = sections.strings(endian, program, strings)?;
            while let Some((need, mut versions)) = needs.next()? {
                let library = text(need.file(endian, strings)?);
                while let Some(version) = versions.next()? {
                    let version = text(version.name(endian, strings)?);
                    needed.insert(format!("{library}({version})(64bit)"));
                }
            }
        }
    }
    Ok(needed)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::requirements;

    #[test]
    fn this_program_requires_the_c_library_in_some_version() {
        let program = std::fs::read("/proc/self/exe").unwrap();
        let needed = requirements(&program).unwrap();
        assert!(needed.contains("libc.so.6()(64bit)"), "{needed:?}");
        assert!(
            needed.iter().any(|n| n.starts_with("libc.so.6(GLIBC_2.")),
            "{needed:?}"
        );
        assert!(requirements(b"#!/bin/sh\n").unwrap().is_empty());
    }
}
