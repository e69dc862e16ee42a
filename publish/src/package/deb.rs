//! The Debian package: deb(5), with the files that Debian Policy asks for.

use std::{
    fs::File,
    io::{self, BufWriter, Read, Seek, Write},
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
    digest::Md5Reader,
    error::PublishError,
    family::Capability,
    output::{nameless, replace},
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
        content.add_text(format!("{documents}/{file}"), Purpose::Document, bytes)?;
    }
    let control = control(package, &content)?;
    replace(path, |file| {
        // An archive's members have their lengths before them, so this one is made aside.
        let (data, sums) = data_archive(package, &content, path)?;
        let written = control_archive(package, &control, &sums)
            .and_then(|control| members(package, &control, data, file));
        written.map_err(PublishError::write(path))
    })
}

fn members(
    package: &ModulePackage,
    control: &[u8],
    mut data: File,
    file: &mut File,
) -> io::Result<()> {
    let length = data.stream_position()?;
    data.rewind()?;
    let ending = package.compression.ending();
    let mut archive = ar::Builder::new(BufWriter::new(file));
    let (mut version, mut control) = (VERSION, control);
    let members: [(_, _, &mut dyn Read); 3] = [
        (
            "debian-binary".to_owned(),
            VERSION.len() as u64,
            &mut version,
        ),
        (
            format!("control.tar{ending}"),
            control.len() as u64,
            &mut control,
        ),
        (format!("data.tar{ending}"), length, &mut data),
    ];
    for (name, length, bytes) in members {
        let mut header = ar::Header::new(name.into_bytes(), length);
        header.set_mode(0o100_644);
        header.set_mtime(package.date.seconds());
        archive.append(&header, bytes)?;
    }
    archive.into_inner()?.flush()
}

fn control_archive(package: &ModulePackage, control: &str, sums: &str) -> io::Result<Vec<u8>> {
    let seconds = package.date.seconds();
    let mut archive = Archive::new(Encoder::new(package.compression, Vec::new())?);
    archive.append(b"./", 0o755, seconds, Member::Directory)?;
    for (name, mode, text) in [
        ("./control", 0o644, control),
        ("./md5sums", 0o644, sums),
        ("./postinst", 0o755, &script::postinst(package)),
        ("./postrm", 0o755, &script::postrm(package)),
    ] {
        let member = Member::File(text.len() as u64, &mut text.as_bytes());
        archive.append(name.as_bytes(), mode, seconds, member)?;
    }
    archive.finish()?.finish()
}

/// The files, in a file without a name, and their md5sums(5).
fn data_archive(
    package: &ModulePackage,
    content: &Content,
    path: &Path,
) -> Result<(File, String), PublishError> {
    let failed = |source| PublishError::write(path)(source);
    let seconds = package.date.seconds();
    let aside = BufWriter::new(nameless(path)?);
    let encoder = Encoder::new(package.compression, aside).map_err(failed)?;
    let mut archive = Archive::new(encoder);
    let mut sums = String::new();
    let directories = content.directories().into_iter();
    let directories = directories.map(|directory| format!(".{directory}/"));
    for name in ["./".to_owned()].into_iter().chain(directories) {
        let added = archive.append(name.as_bytes(), 0o755, seconds, Member::Directory);
        added.map_err(failed)?;
    }
    for (path, _, data) in content.files() {
        let mut bytes = Md5Reader::new(data.open()?);
        let name = format!(".{path}");
        let member = Member::File(data.size(), &mut bytes);
        let added = archive.append(name.as_bytes(), 0o644, seconds, member);
        added.map_err(failed)?;
        sums.push_str(&format!("{}  {}\n", bytes.digest(), &path[1..]));
    }
    let encoder = archive.finish().map_err(failed)?;
    let aside = encoder.finish().map_err(failed)?;
    let file = aside.into_inner().map_err(|error| failed(error.into()))?;
    Ok((file, sums))
}

/// The control file (deb-control(5)).
fn control(package: &ModulePackage, content: &Content) -> Result<String, PublishError> {
    let version = full_version(package)?;
    // An estimate in KiB, as dpkg-gencontrol makes it.
    let files: u64 = content
        .files()
        .map(|(_, _, data)| data.size().div_ceil(1024))
        .sum();
    let size = files + content.directories().len() as u64 + 1;
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
