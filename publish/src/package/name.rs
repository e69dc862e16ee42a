//! Names and versions as package managers allow them (deb-version(7), Debian Policy 5.6.1;
//! rpm-version(7)).

use crate::{
    error::PublishError,
    family::{Family, Format},
    field::invalid,
};

/// The name of a package of modules for a kernel.
pub(super) fn package(family: Family, name: &str, kernel: &str) -> Result<String, PublishError> {
    let name = slug(family, name)?;
    Ok(match family.format() {
        Format::Deb => format!("{name}-modules-{}", deb(kernel)),
        Format::Rpm => format!("kmod-{name}-{}", rpm(kernel)),
    })
}

/// A DKMS package's name as a package's name may have it.
pub(super) fn slug(family: Family, name: &str) -> Result<String, PublishError> {
    let allowed = match family.format() {
        Format::Deb => deb(name),
        Format::Rpm => rpm(name),
    };
    let allowed = allowed.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    if allowed.is_empty() {
        let reason = "has no letter or digit for a package's name";
        return Err(invalid("PACKAGE_NAME", name, reason));
    }
    Ok(allowed.to_owned())
}

/// Lower case letters, digits, and `+-.`; anything else becomes a dash.
fn deb(name: &str) -> String {
    name.to_lowercase()
        .chars()
        .map(|c| match c {
            'a'..='z' | '0'..='9' | '+' | '-' | '.' => c,
            _ => '-',
        })
        .collect()
}

/// Letters, digits, and `._+-`; anything else becomes an underscore.
fn rpm(name: &str) -> String {
    name.chars()
        .map(|c| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '_' | '+' | '-' => c,
            _ => '_',
        })
        .collect()
}

/// A DKMS package's version as a package's upstream version.
pub(super) fn version(format: Format, version: &str) -> Result<String, PublishError> {
    let allowed: String = version
        .chars()
        .map(|c| match (format, c) {
            (_, 'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '+' | '~') => c,
            (Format::Deb, '-') => c,
            (Format::Rpm, '_' | '^') => c,
            (Format::Deb, _) => '.',
            (Format::Rpm, _) => '_',
        })
        .collect();
    if !allowed.contains(|c: char| c.is_ascii_alphanumeric()) {
        let reason = "has no letter or digit for a package's version";
        return Err(invalid("PACKAGE_VERSION", version, reason));
    }
    Ok(match format {
        Format::Rpm => allowed,
        Format::Deb => starting_with_a_digit(&allowed),
    })
}

/// Debian's versions start with a digit: the `v` of a tag goes, and words get a zero in front,
/// which sorts before whatever version comes to be numbered.
fn starting_with_a_digit(version: &str) -> String {
    let digit = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    if digit(version) {
        return version.to_owned();
    }
    match version.strip_prefix(['v', 'V']) {
        Some(rest) if digit(rest) => rest.to_owned(),
        _ => format!("0.{version}"),
    }
}

/// Checks a Debian revision or RPM release; neither may have a dash in it.
pub(super) fn check_revision(revision: &str) -> Result<(), PublishError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || ".+~".contains(c);
    if revision.starts_with(|c: char| c.is_ascii_digit()) && revision.chars().all(allowed) {
        return Ok(());
    }
    let reason = "does not start with a digit, or has more in it than letters, digits and .+~";
    Err(invalid("revision", revision, reason))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_the_usual_ones() {
        for (family, name, kernel, package) in [
            (
                Family::Debian,
                "v4l2loopback",
                "6.1.0-56-amd64",
                "v4l2loopback-modules-6.1.0-56-amd64",
            ),
            (
                Family::Debian,
                "acpi_call",
                "6.12.117+deb12-rt-amd64",
                "acpi-call-modules-6.12.117+deb12-rt-amd64",
            ),
            (
                Family::Ubuntu,
                "NVidia",
                "6.5.0-14-generic",
                "nvidia-modules-6.5.0-14-generic",
            ),
            (
                Family::Fedora,
                "acpi_call",
                "6.5.6-300.fc39.x86_64",
                "kmod-acpi_call-6.5.6-300.fc39.x86_64",
            ),
            (
                Family::Suse,
                "zfs",
                "6.4.0-150600.21-default",
                "kmod-zfs-6.4.0-150600.21-default",
            ),
        ] {
            assert_eq!(super::package(family, name, kernel).unwrap(), package);
        }
        assert!(slug(Family::Debian, "___").is_err());
    }

    #[test]
    fn versions_keep_what_is_allowed() {
        for (given, deb, rpm) in [
            ("0.12.7", "0.12.7", "0.12.7"),
            ("1.0-beta1", "1.0-beta1", "1.0_beta1"),
            ("1_2:3", "1.2.3", "1_2_3"),
            ("v2.1", "2.1", "v2.1"),
            ("git20240101", "0.git20240101", "git20240101"),
            ("2.0~rc1+dfsg", "2.0~rc1+dfsg", "2.0~rc1+dfsg"),
        ] {
            assert_eq!(version(Format::Deb, given).unwrap(), deb);
            assert_eq!(version(Format::Rpm, given).unwrap(), rpm);
        }
        assert!(version(Format::Deb, "::").is_err());
        assert!(check_revision("1~bpo12+1").is_ok());
        for bad in ["", "a", "1-2", "1 2"] {
            assert!(check_revision(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_the_version_it_can_be_one(given in "[ -~]{1,20}") {
            if let Ok(deb) = version(Format::Deb, &given) {
                prop_assert!(deb.starts_with(|c: char| c.is_ascii_digit()));
                prop_assert!(deb.chars().all(|c| c.is_ascii_alphanumeric() || ".+~-".contains(c)));
            }
            if let Ok(rpm) = version(Format::Rpm, &given) {
                prop_assert!(rpm.chars().all(|c| c.is_ascii_alphanumeric() || "._+~^".contains(c)));
            }
        }
    }
}
