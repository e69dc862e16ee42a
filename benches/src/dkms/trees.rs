//! DKMS trees that are written: installed packages without a build.

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

use super::machine::Machine;
use crate::{Result, measure::checked};

const ARCH: &str = std::env::consts::ARCH;

/// Releases of kernels that are not there.
pub(crate) fn releases(count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("6.{}.{}-{}-bench", number / 8, number % 8, number + 1))
        .collect()
}

/// Writes packages of one module each, installed for these kernels.
pub(crate) fn installed(machine: &Machine, packages: usize, releases: &[String]) -> Result<()> {
    let module = module(machine)?;
    for number in 0..packages {
        let name = format!("package{number:03}");
        package(&name, std::slice::from_ref(&name))?;
        for release in releases {
            install(&name, std::slice::from_ref(&name), release, &module)?;
        }
    }
    Ok(())
}

/// Writes a package of many modules, installed for a kernel.
pub(crate) fn large(machine: &Machine, modules: usize, release: &str) -> Result<()> {
    let names: Vec<String> = (0..modules)
        .map(|number| format!("large{number:03}"))
        .collect();
    package("large", &names)?;
    install("large", &names, release, &module(machine)?)
}

/// A package's source, added.
fn package(name: &str, modules: &[String]) -> Result<()> {
    let mut conf =
        format!("PACKAGE_NAME=\"{name}\"\nPACKAGE_VERSION=\"1.0\"\nAUTOINSTALL=\"yes\"\n");
    for (index, module) in modules.iter().enumerate() {
        conf.push_str(&format!(
            "BUILT_MODULE_NAME[{index}]=\"{module}\"\nDEST_MODULE_LOCATION[{index}]=\"/updates/dkms\"\n"
        ));
    }
    let source = format!("/usr/src/{name}-1.0");
    let tree = format!("/var/lib/dkms/{name}/1.0");
    fs::create_dir_all(&source)?;
    fs::write(format!("{source}/dkms.conf"), conf)?;
    fs::write(format!("{source}/Makefile"), "obj-m := a.o\n")?;
    fs::create_dir_all(&tree)?;
    symlink(source, format!("{tree}/source"))?;
    Ok(())
}

fn install(name: &str, modules: &[String], release: &str, module: &[u8]) -> Result<()> {
    let built = format!("/var/lib/dkms/{name}/1.0/{release}/{ARCH}");
    let place = format!("/lib/modules/{release}/updates/dkms");
    for directory in [
        format!("{built}/module"),
        format!("{built}/log"),
        place.clone(),
    ] {
        fs::create_dir_all(directory)?;
    }
    fs::write(format!("{built}/log/make.log"), "")?;
    for file in modules {
        fs::write(format!("{built}/module/{file}.ko"), module)?;
        fs::write(format!("{place}/{file}.ko"), module)?;
    }
    let link = format!("/var/lib/dkms/{name}/kernel-{release}-{ARCH}");
    symlink(format!("1.0/{release}/{ARCH}"), link)?;
    Ok(())
}

/// A module of a few kilobytes, built once.
fn module(machine: &Machine) -> Result<Vec<u8>> {
    let directory = machine.scratch();
    let module = directory.join("bench.ko");
    if !module.exists() {
        fs::create_dir_all(&directory)?;
        fs::write(directory.join("Makefile"), "obj-m := bench.o\n")?;
        fs::write(
            directory.join("bench.c"),
            "#include <linux/module.h>\nMODULE_LICENSE(\"GPL\");\nMODULE_VERSION(\"1.0\");\n",
        )?;
        let mut make = Command::new("make");
        make.arg("-C")
            .arg(machine.headers())
            .arg(format!("M={}", directory.display()));
        checked(&mut make)?;
        checked(Command::new("strip").arg("-g").arg(&module))?;
    }
    read(&module)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| format!("{}: {error}", path.display()).into())
}
