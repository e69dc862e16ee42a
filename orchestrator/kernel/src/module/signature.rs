//! The signature that sign-file appends to a module.
//!
//! After the module come the signature, a `struct module_signature` of 12 bytes that ends in
//! the signature's length (big-endian), and a magic string (include/linux/module_signature.h).

const MAGIC: &[u8] = b"~Module signature appended~\n";

/// Size of `struct module_signature`.
const TRAILER: usize = 12;

/// A module's content without its signatures: what was built, byte for byte.
pub fn unsigned(mut content: &[u8]) -> &[u8] {
    while let Some(length) = signature_length(content) {
        content = &content[..content.len() - length];
    }
    content
}

/// Whether a module has a signature.
pub fn is_signed(content: &[u8]) -> bool {
    signature_length(content).is_some()
}

/// The bytes that the last signature takes, all told.
fn signature_length(content: &[u8]) -> Option<usize> {
    let rest = content.strip_suffix(MAGIC)?;
    let trailer = rest.last_chunk::<TRAILER>()?;
    let length = u32::from_be_bytes([trailer[8], trailer[9], trailer[10], trailer[11]]);
    let all = usize::try_from(length).ok()? + TRAILER + MAGIC.len();
    (all <= content.len()).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sign(content: &[u8], signature: &[u8]) -> Vec<u8> {
        let length = u32::try_from(signature.len()).unwrap();
        [
            content,
            signature,
            &[0, 0, 2, 0, 0, 0, 0, 0],
            &length.to_be_bytes(),
            MAGIC,
        ]
        .concat()
    }

    #[test]
    fn signatures_come_off_one_by_one() {
        let once = sign(b"module", b"sig");
        let twice = sign(&once, b"another");
        assert!(is_signed(&once) && !is_signed(b"module"));
        for signed in [&once[..], &twice[..], b"module"] {
            assert_eq!(unsigned(signed), b"module");
        }
    }

    #[test]
    fn a_length_that_cannot_be_is_not_believed() {
        let mut wrong = sign(b"module", b"sig");
        let at = wrong.len() - MAGIC.len() - 4;
        wrong[at..at + 4].copy_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!(unsigned(&wrong), &wrong[..]);
        assert_eq!(unsigned(MAGIC), MAGIC);
    }
}
