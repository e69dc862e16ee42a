//! The Debian package: deb(5), with the files that Debian Policy asks for.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
};

use super::{
    ModulePackage,
    content::{Content, Purpose, copyright},
    script,
};
use crate::{
    archive::{Archive, Content as Member},
    compression::Encoder,
    digest::md5,
    error::PublishError,
    family::Capability,
    output::replace,
};

/// The format's version, the whole of the first member.
const VERSION: &[u8] = b"2.0\n";

/// Columns of a line of the description.
const COLUMNS: usize = 78;

/// Writes the package.
pub(super) fn write(package: &ModulePackage, path: &Path) -> Result<(), PublishError> {
    let name = package.package_name()?;
    let documents = format!("/usr/share/doc/{name}");
    let mut content = Content::modules(package)?;
    content.add_documents(package, &documents)?;
    for (file, bytes) in [
        ("copyright", copyright(package).into_bytes()),
        (
            "changelog.Debian.gz",
            gzipped(changelog(package)?.as_bytes()).map_err(PublishError::write(path))?,
        ),
    ] {
        content.add(format!("{documents}/{file}"), Purpose::Document, bytes)?;
    }
    let control = control(package, &content)?;
    replace(path, |file| {
        members(package, &control, &content, file).map_err(PublishError::write(path))
    })
}

fn members(
    package: &ModulePackage,
    control: &str,
    content: &Content,
    file: &mut File,
) -> io::Result<()> {
    let control = control_archive(package, control, content)?;
    let data = data_archive(package, content)?;
    let ending = package.compression.ending();
    let mut archive = ar::Builder::new(BufWriter::new(file));
    for (name, bytes) in [
        ("debian-binary".to_owned(), VERSION),
        (format!("control.tar{ending}"), &control),
        (format!("data.tar{ending}"), &data),
    ] {
        let mut header = ar::Header::new(name.into_bytes(), bytes.len() as u64);
        header.set_mode(0o100_644);
        header.set_mtime(package.date.seconds());
        archive.append(&header, bytes)?;
    }
    archive.into_inner()?.flush()
}

fn control_archive(
    package: &ModulePackage,
    control: &str,
    content: &Content,
) -> io::Result<Vec<u8>> {
    let mut sums = String::new();
    for (path, _, bytes) in content.files() {
        sums.push_str(&format!("{}  {}\n", md5(bytes), &path[1..]));
    }
    let seconds = package.date.seconds();
    let mut archive = Archive::new(Encoder::new(package.compression, Vec::new())?);
    archive.append(b"./", 0o755, seconds, &Member::Directory)?;
    for (name, mode, text) in [
        ("./control", 0o644, control),
        ("./md5sums", 0o644, &sums),
        ("./postinst", 0o755, &script::postinst(package)),
        ("./postrm", 0o755, &script::postrm(package)),
    ] {
        let member = Member::File(text.as_bytes());
        archive.append(name.as_bytes(), mode, seconds, &member)?;
    }
    archive.finish()?.finish()
}

fn data_archive(package: &ModulePackage, content: &Content) -> io::Result<Vec<u8>> {
    let seconds = package.date.seconds();
    let mut archive = Archive::new(Encoder::new(package.compression, Vec::new())?);
    archive.append(b"./", 0o755, seconds, &Member::Directory)?;
    for directory in content.directories() {
        let name = format!(".{directory}/");
        archive.append(name.as_bytes(), 0o755, seconds, &Member::Directory)?;
    }
    for (path, _, bytes) in content.files() {
        let name = format!(".{path}");
        archive.append(name.as_bytes(), 0o644, seconds, &Member::File(bytes))?;
    }
    archive.finish()?.finish()
}

/// The control file (deb-control(5)).
fn control(package: &ModulePackage, content: &Content) -> Result<String, PublishError> {
    let version = full_version(package)?;
    // An estimate in KiB, as dpkg-gencontrol makes it.
    let files: usize = content
        .files()
        .map(|(_, _, bytes)| bytes.len().div_ceil(1024))
        .sum();
    let size = files + content.directories().len() + 1;
    let provided = format!(
        "{}-modules",
        super::name::slug(package.family, &package.id.name)?
    );
    let mut depends = Vec::new();
    if !package.kernel_is.is_empty() {
        depends.push(relations(&package.kernel_is, " | "));
    }
    depends.push("kmod".to_owned());
    depends.extend(package.requires.iter().map(relation));
    let mut fields = vec![
        ("Package", package.package_name()?),
        ("Version", version.clone()),
        (
            "Architecture",
            package.family.architecture(&package.id.machine)?.to_owned(),
        ),
        ("Maintainer", package.maintainer.clone()),
        ("Installed-Size", size.to_string()),
        ("Depends", depends.join(", ")),
        ("Conflicts", relations(&package.conflicts, ", ")),
        ("Provides", format!("{provided} (= {version})")),
        ("Section", "kernel".to_owned()),
        ("Priority", "optional".to_owned()),
        ("Homepage", package.homepage.clone().unwrap_or_default()),
        ("Description", package.summary.clone()),
    ];
    fields.retain(|(_, value)| !value.is_empty());
    let mut text = String::new();
    for (field, value) in fields {
        text.push_str(&format!("{field}: {value}\n"));
    }
    for line in wrapped(&package.description()) {
        text.push_str(&format!(" {line}\n"));
    }
    Ok(text)
}

fn full_version(package: &ModulePackage) -> Result<String, PublishError> {
    Ok(format!(
        "{}-{}",
        package.package_version()?,
        package.revision
    ))
}

fn relations(capabilities: &[Capability], between: &str) -> String {
    let texts: Vec<String> = capabilities.iter().map(relation).collect();
    texts.join(between)
}

fn relation(capability: &Capability) -> String {
    match &capability.exactly {
        Some(version) => format!("{} (= {version})", capability.name),
        None => capability.name.clone(),
    }
}

/// The changelog, with one entry (deb-changelog(5)).
fn changelog(package: &ModulePackage) -> Result<String, PublishError> {
    Ok(format!(
        "{} ({}) unstable; urgency=medium\n\n  * Modules of {} {}.\n\n -- {}  {}\n",
        package.package_name()?,
        full_version(package)?,
        package.id.name,
        package.id.version,
        package.maintainer,
        package.date.rfc5322()
    ))
}

fn gzipped(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let best = flate2::Compression::best();
    let mut encoder = flate2::GzBuilder::new().mtime(0).write(Vec::new(), best);
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// Lines of words.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + word.len() < COLUMNS => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_between_words() {
        let lines = wrapped(&"word ".repeat(40));
        assert!(lines.iter().all(|line| line.len() <= COLUMNS));
        assert_eq!(lines.join(" "), "word ".repeat(40).trim_end());
        assert_eq!(wrapped(&"x".repeat(100)), ["x".repeat(100)]);
    }
}
