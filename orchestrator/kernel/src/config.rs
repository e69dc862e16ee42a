//! A kernel's configuration, as far as a module build asks for it.
//!
//! Read from `include/config/auto.conf`, else from `.config`, in the build tree; the
//! same choice that dkms makes.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
};

use kiln_durable::regular;

use super::KernelTree;
use crate::sizes;

/// What kbuild makes of the configuration, and the configuration.
const AUTO: &str = "include/config/auto.conf";
const CONFIG: &str = ".config";

/// The CONFIG_ symbols of one kernel.
#[derive(Debug, Clone, Default)]
pub struct KernelConfig {
    values: HashMap<String, String>,
}

impl KernelConfig {
    /// The file that holds the configuration of the kernel built in `build`.
    pub fn path(build: &Path) -> PathBuf {
        let auto = build.join(AUTO);
        if auto.exists() {
            auto
        } else {
            build.join(CONFIG)
        }
    }

    /// The path of that file in a kernel's build tree.
    pub fn name(tree: &KernelTree) -> &'static str {
        match tree.files.exists(&tree.build.join(AUTO)) {
            true => AUTO,
            false => CONFIG,
        }
    }

    /// Reads the configuration of a kernel; a tree without one has no symbols.
    ///
    /// # Errors
    /// Fails if the file is there and cannot be read.
    pub fn read(tree: &KernelTree) -> io::Result<Self> {
        Self::read_file(&tree.host_file(Self::name(tree)))
    }

    /// Reads a configuration file; one that is not there has no symbols.
    ///
    /// # Errors
    /// Fails if the file is there and cannot be read.
    pub fn read_file(path: &Path) -> io::Result<Self> {
        match regular::read_at_once(path, sizes::TEXT) {
            Ok(text) => Ok(Self::parse(&String::from_utf8_lossy(&text))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(e) => Err(e),
        }
    }

    /// Parses the text of a configuration file; lines that set no symbol say nothing.
    pub fn parse(text: &str) -> Self {
        let values = text
            .lines()
            .filter_map(|line| line.split_once('='))
            .filter(|(name, _)| name.starts_with("CONFIG_"))
            .map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned()))
            .collect();
        Self { values }
    }

    /// The value of a symbol without its quotes, if it is set.
    pub fn value(&self, symbol: &str) -> Option<&str> {
        self.values.get(symbol).map(String::as_str)
    }

    /// Whether a symbol is built in or a module.
    pub fn is_enabled(&self, symbol: &str) -> bool {
        matches!(self.value(symbol), Some(v) if v.starts_with(['y', 'm']))
    }

    /// The program name of the compiler that built the kernel: the first word of
    /// `CONFIG_CC_VERSION_TEXT`, which clang begins with the name of its vendor, if anything.
    pub fn compiler(&self) -> Option<String> {
        let text = self.value("CONFIG_CC_VERSION_TEXT")?;
        if let Some((_, version)) = text.split_once("clang version ") {
            let major = version.split(|c: char| !c.is_ascii_digit()).next();
            return Some(match major {
                Some(major) if !major.is_empty() => format!("clang-{major}"),
                _ => "clang".to_owned(),
            });
        }
        text.split_once(' ').map(|(program, _)| program.to_owned())
    }

    /// Whether clang built the kernel.
    pub fn is_clang(&self) -> bool {
        self.value("CONFIG_CC_IS_CLANG") == Some("y")
    }

    /// Whether ld.lld linked the kernel.
    pub fn is_lld(&self) -> bool {
        self.value("CONFIG_LD_IS_LLD") == Some("y")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_quoted_and_bare_values() {
        let config = KernelConfig::parse(
            "# comment\nCONFIG_CC_VERSION_TEXT=\"gcc-12 (Debian 12.2.0) 12.2.0\"\nCONFIG_A=y\nCONFIG_B=m\n# CONFIG_C is not set\nCONFIG_D=12\n",
        );
        assert_eq!(config.compiler().as_deref(), Some("gcc-12"));
        assert!(config.is_enabled("CONFIG_A") && config.is_enabled("CONFIG_B"));
        assert!(!config.is_enabled("CONFIG_C") && !config.is_enabled("CONFIG_D"));
        let bare =
            KernelConfig::parse("CONFIG_CC_VERSION_TEXT=x86_64-linux-gnu-gcc-12 (Ubuntu) 12\n");
        assert_eq!(bare.compiler().as_deref(), Some("x86_64-linux-gnu-gcc-12"));
    }

    #[test]
    fn clang_is_known_in_the_words_of_each_vendor() {
        for (text, compiler) in [
            ("Debian clang version 14.0.6", "clang-14"),
            ("Ubuntu clang version 18.1.3 (1ubuntu1)", "clang-18"),
            ("clang version 17.0.6 (Fedora 17.0.6-2.fc39)", "clang-17"),
            (
                "Android (11368308, based on r510928) clang version 18.0.0",
                "clang-18",
            ),
        ] {
            let config = KernelConfig::parse(&format!("CONFIG_CC_VERSION_TEXT=\"{text}\"\n"));
            assert_eq!(config.compiler().as_deref(), Some(compiler));
        }
    }
}
