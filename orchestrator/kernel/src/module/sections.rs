//! In what two modules differ, as far as it can be named.

use std::collections::BTreeMap;

use object::{Object, ObjectSection};

/// What stands for the bytes that belong to no section: headers, gaps, the order of sections, a signature.
pub const OUTSIDE: &str = "outside of the sections";

/// The names of the sections that differ, sorted; none if either is no ELF file. Of equal files it gives nothing.
///
/// Sections of one name are compared in their order. If all of them are the same and the files are not, the one
/// name is [`OUTSIDE`].
pub fn differing_sections(one: &[u8], other: &[u8]) -> Option<Vec<String>> {
    let (before, after) = (contents(one)?, contents(other)?);
    let mut names: Vec<String> = before
        .keys()
        .chain(after.keys())
        .filter(|name| before.get(*name) != after.get(*name))
        .cloned()
        .collect();
    names.sort();
    names.dedup();
    if names.is_empty() && one != other {
        names.push(OUTSIDE.to_owned());
    }
    Some(names)
}

/// What is in the sections of each name; none if a section cannot be read.
fn contents(file: &[u8]) -> Option<BTreeMap<String, Vec<&[u8]>>> {
    let file = object::File::parse(file).ok()?;
    let mut contents: BTreeMap<String, Vec<&[u8]>> = BTreeMap::new();
    for section in file.sections() {
        let name = String::from_utf8_lossy(section.name_bytes().ok()?).into_owned();
        contents.entry(name).or_default().push(section.data().ok()?);
    }
    Some(contents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_named_and_what_is_outside_of_them_too() {
        let own = std::fs::read("/proc/self/exe").unwrap();
        assert_eq!(differing_sections(&own, &own), Some(Vec::new()));
        let file = object::File::parse(&own[..]).unwrap();
        let section = file.section_by_name(".rodata").unwrap();
        let at = usize::try_from(section.file_range().unwrap().0).unwrap();
        let mut other = own.clone();
        other[at] ^= 1;
        let names = differing_sections(&own, &other);
        assert_eq!(names, Some(vec![".rodata".to_owned()]));
        let mut longer = own.clone();
        longer.push(0);
        let names = differing_sections(&own, &longer);
        assert_eq!(names, Some(vec![OUTSIDE.to_owned()]));
        assert_eq!(differing_sections(b"hello", &own), None);
    }
}
