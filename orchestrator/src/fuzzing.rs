//! What `fuzz/` feeds with anything: what packages, archives, modules, files of settings, builds and jobs bring.
//!
//! Whatever is refused is refused with an error; nothing here may panic, hang, or need memory out of proportion.

use std::{fs, path::Path};

use kiln_build::{
    conf::{DIRECTIVES, RawConf, evaluate_literal},
    job, probes,
    sight::{Seen, loader_entries},
};
use kiln_config::{Configuration, Settings};
use kiln_kernel::{
    module::{ModuleInfo, VersionInfo, is_signed, unsigned},
    package,
};

/// What the driver of a dkms.conf printed.
pub fn conf_dump(bytes: &[u8]) {
    if let Ok(raw) = RawConf::parse(bytes) {
        for name in DIRECTIVES {
            let _ = (raw.scalar(name), raw.stated(name), raw.indices(name));
            let _ = (raw.matched(name, 0), raw.pairs(name).count());
        }
    }
}

/// A dkms.conf.
pub fn literal_conf(bytes: &[u8]) {
    let (conf, other) = match bytes.iter().position(|byte| *byte == 0) {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, &[][..]),
    };
    let variables = [("kernelver", "6.1.0-56-amd64"), ("arch", "x86_64")];
    let directive = String::from_utf8_lossy(other).into_owned();
    let _ = evaluate_literal(&[conf, other], DIRECTIVES, &variables, &[directive]);
}

/// A module.
pub fn module(bytes: &[u8]) {
    if let Ok(info) = ModuleInfo::parse(bytes) {
        let _ = info.kernel_release();
    }
    let _ = VersionInfo::parse(bytes);
    let bare = unsigned(bytes);
    assert!(bytes.starts_with(bare) && !is_signed(bare));
}

/// The archive of a package; `scratch` is an empty directory.
pub fn archive(bytes: &[u8], scratch: &Path) {
    with_file(bytes, scratch, |file, into| {
        let _ = package::unpack(file, into);
    });
}

/// A header package; `scratch` is an empty directory.
pub fn header_package(bytes: &[u8], scratch: &Path) {
    with_file(bytes, scratch, kiln_kernel::unpack_for_fuzzing);
}

/// Calls with a file, and an empty directory that nothing may be put beside.
fn with_file(bytes: &[u8], scratch: &Path, call: impl FnOnce(&Path, &Path)) {
    let (file, inner) = (scratch.join("file"), scratch.join("inner"));
    let into = inner.join("into");
    fs::write(&file, bytes).expect("the scratch directory can be written");
    fs::create_dir_all(&into).expect("the scratch directory can be written");
    call(&file, &into);
    let names = |path| fs::read_dir(path).map_or(0, Iterator::count);
    assert_eq!(
        (names(scratch), names(&inner)),
        (2, 1),
        "something has escaped"
    );
    let _ = fs::remove_file(&file);
    let _ = fs::remove_dir_all(&inner);
}

/// A farm's manifest.
pub fn farm_manifest(bytes: &[u8]) {
    kiln_farm::read_for_fuzzing(&String::from_utf8_lossy(bytes));
}

/// A file of settings; `scratch` is an empty directory.
pub fn settings(bytes: &[u8], scratch: &Path) {
    let path = scratch.join("config.toml");
    fs::write(&path, bytes).expect("the scratch directory can be written");
    let configuration = Configuration::of_file(&path);
    let _: &Settings = configuration.settings();
    for problem in &configuration.problems {
        let _ = problem.to_string();
    }
}

/// What a job asks for a compiler, and what a compiler said.
pub fn probe(bytes: &[u8]) {
    probes::fuzzing::hear(bytes);
}

/// The paths that a job looked at.
pub fn trace(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = Seen::parse(&text);
    let _ = loader_entries(bytes, &["libc.so.6".to_owned()].into());
}

/// A kernel's symbols and configuration, and the log of a build.
pub fn texts(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = kiln_kernel::SymbolCrcs::parse(&text);
    let config = kiln_kernel::KernelConfig::parse(&text);
    let _ = (config.compiler(), config.is_clang(), config.is_lld());
    job::read_log_for_fuzzing(bytes);
}
