//! What package managers run: depmod, so that the kernel finds the modules, and later does
//! not miss them.
//!
//! The kernel's directory is there as soon as this package is, so what tells that the kernel
//! itself is installed are files that all kernels come with. Without it there is nothing to
//! be done: its own package runs depmod, and an index written now would stay for ever.

use super::ModulePackage;

/// A Debian postinst: fails if depmod does, since the modules would not be found.
pub(super) fn postinst(package: &ModulePackage) -> String {
    format!(
        "#!/bin/sh\nset -e\n{}if [ \"$1\" = configure ] && is_installed; then\n    depmod -a \"$kernel\"\nfi\n",
        kernel(package)
    )
}

/// A Debian postrm: never fails.
pub(super) fn postrm(package: &ModulePackage) -> String {
    format!(
        "#!/bin/sh\nset -e\n{}if [ \"$1\" = remove ] && is_installed; then\n    depmod -a \"$kernel\" || :\nfi\n",
        kernel(package)
    )
}

/// An RPM scriptlet for after an installation and after a removal: a failure is said by
/// depmod itself, and stops nothing.
pub(super) fn scriptlet(package: &ModulePackage) -> String {
    format!(
        "{}if is_installed; then\n    depmod -a \"$kernel\" || :\nfi\n",
        kernel(package)
    )
}

fn kernel(package: &ModulePackage) -> String {
    let kernel = quoted(&package.id.kernel);
    let root = quoted(&package.layout.modules_root);
    format!(
        "kernel={kernel}\ndirectory={root}/$kernel\n\
         is_installed() {{\n    [ -e \"$directory/modules.order\" ] || [ -e \"$directory/modules.builtin\" ]\n}}\n"
    )
}

/// A word of the shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn words_are_quoted_as_the_shell_reads_them() {
        for word in ["6.1.0-56-amd64", "it's $(not) `run`", "\\"] {
            let script = format!("printf %s {}", quoted(word));
            let output = Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(output.stdout, word.as_bytes());
        }
    }
}
