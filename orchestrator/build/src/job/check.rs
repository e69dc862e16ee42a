//! Checks of a built module before it is stored: is it for this kernel, and do its symbol
//! versions fit?

use std::fs::File;

use kiln_kernel::{
    KernelRelease, SymbolCrcs,
    module::{ModuleError, ModuleInfo},
};

/// Why a built module is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckFailure {
    /// It is no kernel module at all.
    #[error("{module}.ko is not a kernel module: {problem}")]
    NotAModule {
        /// Its name.
        module: String,
        /// What is wrong.
        problem: ModuleError,
    },
    /// It was built for another kernel.
    #[error(
        "{module}.ko was built for kernel {found}, not for {wanted}: its Makefile does not honour the kernel that it is told"
    )]
    Vermagic {
        /// Its name.
        module: String,
        /// The kernel it is for.
        found: String,
        /// The kernel that was asked for.
        wanted: String,
    },
    /// A symbol's version is not the one that the kernel or a dependency exports.
    #[error(
        "{module}.ko expects version {expected:#010x} of symbol {symbol}, the kernel exports {exported:#010x}"
    )]
    SymbolVersion {
        /// The module's name.
        module: String,
        /// The symbol.
        symbol: String,
        /// The CRC in the module.
        expected: u32,
        /// The CRC in Module.symvers.
        exported: u32,
    },
}

/// Checks one module's file against the kernel and all Module.symvers that it was
/// linked against, in order of precedence.
///
/// # Errors
/// Fails with the first mismatch.
pub fn check_module(
    module: &str,
    file: File,
    release: &KernelRelease,
    symbols: &[&SymbolCrcs],
) -> Result<(), CheckFailure> {
    let info = ModuleInfo::of_file(file).map_err(|problem| CheckFailure::NotAModule {
        module: module.to_owned(),
        problem,
    })?;
    if info.kernel_release() != Some(release.as_str()) {
        return Err(CheckFailure::Vermagic {
            module: module.to_owned(),
            found: info.kernel_release().unwrap_or("(none)").to_owned(),
            wanted: release.to_string(),
        });
    }
    for (symbol, expected) in &info.imports {
        let exports: Vec<u32> = symbols.iter().filter_map(|s| s.crc(symbol)).collect();
        if let Some(exported) = exports.first()
            && !exports.contains(expected)
        {
            return Err(CheckFailure::SymbolVersion {
                module: module.to_owned(),
                symbol: symbol.clone(),
                expected: *expected,
                exported: *exported,
            });
        }
    }
    Ok(())
}
