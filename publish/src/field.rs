//! Checks of values that become path components, or fields of a line each.

use crate::error::PublishError;

/// Checks that a value can be one component of a path.
pub(crate) fn component(field: &'static str, value: &str) -> Result<(), PublishError> {
    let reason = if value.is_empty() {
        "is empty"
    } else if value == "." || value == ".." {
        "is not a name"
    } else if value.contains('/') {
        "contains a slash"
    } else if value.chars().any(|c| c.is_control() || c.is_whitespace()) {
        "contains white space or a control character"
    } else {
        return Ok(());
    };
    Err(invalid(field, value, reason))
}

/// Checks that a value can be the rest of a line that is not empty.
pub(crate) fn line(field: &'static str, value: &str) -> Result<(), PublishError> {
    let reason = if value.trim().is_empty() {
        "is empty"
    } else if value.chars().any(char::is_control) {
        "contains a line break or another control character"
    } else {
        return Ok(());
    };
    Err(invalid(field, value, reason))
}

/// Checks that a value names a directory below another: plain components, no way out.
pub(crate) fn below(field: &'static str, value: &str) -> Result<(), PublishError> {
    value
        .split('/')
        .try_for_each(|part| component(field, part))
        .map_err(|_| invalid(field, value, "is not a relative path of plain names"))
}

pub(crate) fn invalid(field: &'static str, value: &str, reason: &'static str) -> PublishError {
    PublishError::Field {
        field,
        value: value.to_owned(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_where_they_are_put() {
        for bad in ["", ".", "..", "a/b", "a b", "a\n"] {
            assert!(component("it", bad).is_err(), "{bad:?}");
        }
        for bad in ["", "/a", "a/", "a//b", "a/../b", "."] {
            assert!(below("it", bad).is_err(), "{bad:?}");
        }
        for bad in ["", " ", "a\nDepends: b", "a\r"] {
            assert!(line("it", bad).is_err(), "{bad:?}");
        }
        assert!(component("it", "6.1.0-56-amd64").is_ok());
        assert!(below("it", "updates/dkms").is_ok());
        assert!(line("it", "two words").is_ok());
    }
}
