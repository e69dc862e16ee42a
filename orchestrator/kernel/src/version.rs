//! Order of version strings: as `sort -V` for choosing the newest, and as dkms compares
//! kernel versions for BUILD_EXCLUSIVE_KERNEL_MIN and _MAX.

use std::cmp::Ordering;

/// Compares two versions with runs of digits taken as numbers, and `~` before everything.
pub fn compare(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        let (text_a, rest_a) = split(a, |c| !c.is_ascii_digit());
        let (text_b, rest_b) = split(b, |c| !c.is_ascii_digit());
        let texts = compare_text(text_a, text_b, rest_a.is_empty(), rest_b.is_empty());
        if texts != Ordering::Equal {
            return texts;
        }
        let (number_a, next_a) = split(rest_a, |c| c.is_ascii_digit());
        let (number_b, next_b) = split(rest_b, |c| c.is_ascii_digit());
        let numbers = compare_number(number_a, number_b);
        if numbers != Ordering::Equal {
            return numbers;
        }
        if next_a.is_empty() && next_b.is_empty() {
            return Ordering::Equal;
        }
        (a, b) = (next_a, next_b);
    }
}

fn split(text: &[u8], take: impl Fn(&u8) -> bool) -> (&[u8], &[u8]) {
    let end = text.iter().position(|c| !take(c)).unwrap_or(text.len());
    text.split_at(end)
}

fn compare_text(a: &[u8], b: &[u8], a_ends: bool, b_ends: bool) -> Ordering {
    let rank = |c: Option<&u8>, ends: bool| match c {
        Some(b'~') => -1,
        None if ends => 0,
        None => 1,
        Some(c) if c.is_ascii_alphabetic() => i32::from(*c) + 256,
        Some(c) => i32::from(*c) + 1024,
    };
    for i in 0..a.len().max(b.len()) {
        let order = rank(a.get(i), a_ends).cmp(&rank(b.get(i), b_ends));
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

fn compare_number(a: &[u8], b: &[u8]) -> Ordering {
    let strip = |n: &[u8]| -> Vec<u8> { n.iter().copied().skip_while(|c| *c == b'0').collect() };
    let (a, b) = (strip(a), strip(b));
    a.len().cmp(&b.len()).then_with(|| a.cmp(&b))
}

/// Compares kernel versions as dkms does: numbers of one and two digits are padded to three,
/// then the strings are compared byte by byte.
pub fn compare_padded(a: &str, b: &str) -> Ordering {
    padded(a).cmp(&padded(b))
}

fn padded(version: &str) -> String {
    let mut out = String::with_capacity(version.len() + 8);
    let mut rest = version.as_bytes();
    while !rest.is_empty() {
        let (text, after) = split(rest, |c| !c.is_ascii_digit());
        let (number, next) = split(after, |c| c.is_ascii_digit());
        out.push_str(&String::from_utf8_lossy(text));
        if !number.is_empty() {
            out.push_str(&"0".repeat(3_usize.saturating_sub(number.len())));
            out.push_str(&String::from_utf8_lossy(number));
        }
        rest = next;
    }
    out.retain(|c| c != ' ');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newest_version_wins() {
        for (older, newer) in [
            ("6.1.0-9-amd64", "6.1.0-10-amd64"),
            ("1.2", "1.2.1"),
            ("1.0~rc1", "1.0"),
            ("0.8", "0.12"),
            ("5.10.0-8-amd64", "6.1.0-1-amd64"),
        ] {
            assert_eq!(compare(older, newer), Ordering::Less, "{older} {newer}");
            assert_eq!(compare(newer, older), Ordering::Greater);
        }
        assert_eq!(compare("1.02", "1.2"), Ordering::Equal);
    }

    #[test]
    fn padding_follows_the_manual() {
        assert_eq!(
            padded("2.6.9-1cvs200409091247"),
            "002.006.009-001cvs200409091247"
        );
        assert_eq!(compare_padded("3.5-rc2", "3.5"), Ordering::Greater);
        assert_eq!(compare_padded("3.4.999", "3.5"), Ordering::Less);
        assert_eq!(compare_padded("4.12-rc1", "4.12"), Ordering::Greater);
        assert_eq!(compare_padded("4.11.999", "4.12"), Ordering::Less);
    }
}
