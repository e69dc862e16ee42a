//! The RPM package, in the version of the format that all distributions read.

use std::{collections::HashMap, path::Path};

use kiln_files::Identity;
use rpm::{
    BuildConfig, CompressionWithLevel, Dependency, FileOptions, PackageBuilder, Scriptlet,
    Timestamp,
};

use super::{
    ModulePackage,
    content::{Content, Data, Purpose, copyright, kernel_directory},
    name, script,
};
use crate::{
    compression::{Compression, GZIP_LEVEL, XZ_LEVEL, ZSTD_LEVEL},
    error::PublishError,
    family::{Capability, Family, Format},
    output::replace,
};

/// How much the files of a package may have, in bytes, all together: compressed, they are in memory until they are written.
const LARGEST: u64 = 1 << 30;

/// Writes the package.
pub(super) fn write(package: &ModulePackage, path: &Path) -> Result<(), PublishError> {
    let name = package.package_name()?;
    let documents = match package.family {
        Family::Suse => format!("/usr/share/doc/packages/{name}"),
        _ => format!("/usr/share/doc/{name}"),
    };
    let licenses = format!("/usr/share/licenses/{name}");
    let mut content = Content::modules(package)?;
    content.add_documents(package, &documents)?;
    content.add_text(
        format!("{licenses}/COPYING"),
        Purpose::License,
        copyright(package).into_bytes(),
    )?;
    check_size(&content)?;

    let version = package.package_version()?;
    let architecture = package.family.architecture(&package.id.machine)?;
    let mut builder = PackageBuilder::new(
        &name,
        &version,
        &package.license,
        architecture,
        &package.summary,
    );
    describe(package, &version, &mut builder)?;
    let file = package.file_name()?;
    let failed = |source| PublishError::Rpm {
        package: file.clone(),
        source,
    };
    add_files(package, &content, &[&documents, &licenses], &mut builder).map_err(failed)?;
    let made = builder.build().map_err(failed)?;
    replace(path, |file| made.write(file).map_err(failed))
}

/// Refuses what would take more memory than it may.
fn check_size(content: &Content) -> Result<(), PublishError> {
    let mut all = 0_u64;
    for (path, _, data) in content.files() {
        all = all.saturating_add(data.size());
        if all > LARGEST {
            return Err(PublishError::TooLarge {
                path: path.to_owned(),
                format: Format::Rpm,
                limit: LARGEST,
            });
        }
    }
    Ok(())
}

fn describe(
    package: &ModulePackage,
    version: &str,
    builder: &mut PackageBuilder,
) -> Result<(), PublishError> {
    let slug = name::slug(package.family, &package.id.name)?;
    let full = format!("{version}-{}", package.revision);
    let compression = match package.compression {
        Compression::None => CompressionWithLevel::None,
        Compression::Gzip => CompressionWithLevel::Gzip(GZIP_LEVEL),
        Compression::Xz => CompressionWithLevel::Xz(XZ_LEVEL),
        Compression::Zstd => CompressionWithLevel::Zstd(ZSTD_LEVEL),
    };
    builder
        .using_config(
            BuildConfig::v4()
                .compression(compression)
                .source_date(package.date.0),
        )
        .release(package.revision.clone())
        // RPM wants one; that of the builder is nobody's business.
        .build_host("localhost")
        .packager(package.maintainer.clone())
        .group("System Environment/Kernel")
        .description(package.description())
        .provides(Dependency::eq(format!("{slug}-kmod"), full))
        .provides(Dependency::eq(
            "kernel-modules-for-kernel",
            package.id.kernel.clone(),
        ))
        .requires(Dependency::script_post("kmod"))
        .requires(Dependency::script_postun("kmod"))
        .post_install_script(scriptlet(package))
        .post_uninstall_script(scriptlet(package));
    if let Some(homepage) = &package.homepage {
        builder.url(homepage.clone());
    }
    match &package.kernel_is[..] {
        [] => {}
        [one] => {
            builder.requires(dependency(one));
        }
        any => {
            let texts: Vec<String> = any.iter().map(rich).collect();
            builder.requires(Dependency::any(format!("({})", texts.join(" or "))));
        }
    }
    for capability in &package.requires {
        builder.requires(dependency(capability));
    }
    for capability in &package.conflicts {
        builder.conflicts(dependency(capability));
    }
    Ok(())
}

/// Adds the files, and the directories that are the package's own: those below the kernel's
/// directory, which others may own as well, and those of its documents.
fn add_files(
    package: &ModulePackage,
    content: &Content,
    documents: &[&str],
    builder: &mut PackageBuilder,
) -> Result<(), rpm::Error> {
    let kernel = format!("{}/", kernel_directory(package));
    for directory in content.directories() {
        if directory.starts_with(&kernel) || documents.contains(&directory) {
            builder.with_dir_entry(FileOptions::dir(directory).permissions(0o755))?;
        }
    }
    // Two names of one file would be so in the package as well, whose bytes may not depend on how files are kept here.
    let mut one_path: HashMap<Identity, &Path> = HashMap::new();
    for (path, purpose, data) in content.files() {
        let options = FileOptions::new(path).permissions(0o644);
        let options = match purpose {
            Purpose::Module => options,
            Purpose::Document => options.doc(),
            Purpose::License => options.license(),
        };
        match data {
            Data::Text(bytes) => builder.with_file_contents(bytes.as_slice(), options)?,
            Data::File(from, _) => {
                let from: &Path = one_path.entry(Identity::of(from)?).or_insert(from);
                builder.with_file(from, options.modified_at(Timestamp(package.date.0)))?
            }
        };
    }
    Ok(())
}

/// A scriptlet, with the interpreter named as rpmbuild names it.
fn scriptlet(package: &ModulePackage) -> Scriptlet {
    Scriptlet::new(script::scriptlet(package)).prog(vec!["/bin/sh"])
}

fn dependency(capability: &Capability) -> Dependency {
    match &capability.exactly {
        Some(version) => Dependency::eq(&capability.name, version),
        None => Dependency::any(&capability.name),
    }
}

/// As a part of a dependency with alternatives.
fn rich(capability: &Capability) -> String {
    match &capability.exactly {
        Some(version) => format!("{} = {version}", capability.name),
        None => capability.name.clone(),
    }
}
