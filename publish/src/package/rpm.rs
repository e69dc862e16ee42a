//! The RPM package, in the version of the format that all distributions read.

use rpm::{BuildConfig, CompressionWithLevel, Dependency, FileOptions, PackageBuilder, Scriptlet};

use super::{
    ModulePackage,
    content::{Content, Purpose, copyright, kernel_directory},
    name, script,
};
use crate::{
    compression::{Compression, GZIP_LEVEL, XZ_LEVEL, ZSTD_LEVEL},
    error::PublishError,
    family::{Capability, Family},
};

/// The package's bytes.
pub(super) fn bytes(package: &ModulePackage) -> Result<Vec<u8>, PublishError> {
    let name = package.package_name()?;
    let documents = match package.family {
        Family::Suse => format!("/usr/share/doc/packages/{name}"),
        _ => format!("/usr/share/doc/{name}"),
    };
    let licenses = format!("/usr/share/licenses/{name}");
    let mut content = Content::modules(package)?;
    content.add_documents(package, &documents)?;
    content.add(
        format!("{licenses}/COPYING"),
        Purpose::License,
        copyright(package).into_bytes(),
    )?;

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
    let mut bytes = Vec::new();
    made.write(&mut bytes).map_err(failed)?;
    Ok(bytes)
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
    for (path, purpose, bytes) in content.files() {
        let options = FileOptions::new(path).permissions(0o644);
        let options = match purpose {
            Purpose::Module => options,
            Purpose::Document => options.doc(),
            Purpose::License => options.license(),
        };
        builder.with_file_contents(bytes, options)?;
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
