//! The bash script that a job runs inside its sandbox: settings, then a fixed body.

use std::fmt::Write as _;

use kiln_kernel::{KernelRelease, KernelTree};
use kiln_sandbox::{Layout, quote};

use super::installed::installed;
use crate::conf::Conf;

/// The part of the script that is the same for all jobs.
pub(crate) const BODY: &str = include_str!("body.sh");

/// The script's exit status when its results cannot be taken over.
pub(super) const RESULT_STATUS: i32 = 71;

/// Writes the script for one job.
pub(super) fn script(conf: &Conf, kernel: &KernelTree, layout: &Layout) -> String {
    let installed = installed(&layout.dkms_tree);
    let package = layout.package(&conf.package);
    let kernel_dir = layout.kernel_source_dir(&kernel.release);
    let compiler = &conf.compiler;
    let mut text = String::new();
    let mut set = |name: &str, value: &str| {
        let _ = writeln!(text, "{name}={}", quote(value));
    };
    set("kernelver", kernel.release.as_str());
    set("arch", kernel.arch.as_str());
    set("kernel_source_dir", &kernel_dir.to_string_lossy());
    set("dkms_tree", &layout.dkms_tree.to_string_lossy());
    set("source_tree", &layout.source_tree.to_string_lossy());
    set("install_tree", &layout.install_tree.to_string_lossy());
    set("module", conf.package.name.as_str());
    set("module_version", conf.package.version.as_str());
    set("package_name", conf.package.name.as_str());
    set("package_version", conf.package.version.as_str());
    set("PACKAGE_NAME", conf.package.name.as_str());
    set("PACKAGE_VERSION", conf.package.version.as_str());
    set("kiln_package", &package.to_string_lossy());
    set("kiln_out", &layout.out.to_string_lossy());
    set("kiln_installed", &installed.to_string_lossy());
    set(
        "kiln_required_cc",
        compiler.required.as_deref().unwrap_or(""),
    );
    set(
        "kiln_built_with",
        compiler.built_with.as_deref().unwrap_or(""),
    );
    set("kiln_clang", if compiler.clang { "yes" } else { "" });
    set("kiln_lld", if compiler.lld { "yes" } else { "" });
    set("kiln_make", &parallel_make(&conf.make, "", &kernel.release));
    set("kiln_pre_build", conf.pre_build.as_deref().unwrap_or(""));
    set("kiln_post_build", conf.post_build.as_deref().unwrap_or(""));
    list(
        &mut text,
        "kiln_patches",
        conf.patches.iter().map(|p| p.path.clone()),
    );
    let modules = || conf.modules.iter().filter(|m| m.excluded.is_none());
    list(
        &mut text,
        "kiln_built",
        modules().map(|m| format!("{}{}.ko", m.built_location, m.built_name)),
    );
    list(
        &mut text,
        "kiln_dest",
        modules().map(|m| m.dest_name.clone()),
    );
    list(
        &mut text,
        "kiln_strip",
        modules().map(|m| if m.strip { "yes" } else { "no" }.to_owned()),
    );
    for (name, value) in &conf.environment {
        let _ = writeln!(text, "export {name}={}", quote(value));
    }
    text.push_str(BODY);
    text
}

/// dkms adds `-j<N> KERNELRELEASE=...` to a command that starts with `make`; without a
/// number, the shim turns the `-j` into the job's jobserver.
pub fn parallel_make(command: &str, jobs: &str, release: &KernelRelease) -> String {
    match command.strip_prefix("make") {
        Some(rest) => format!(
            "make -j{jobs} KERNELRELEASE={}{rest}",
            word(release.as_str())
        ),
        None => command.to_owned(),
    }
}

/// A value as one word for bash, quoted if it has to be.
fn word(value: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-._+~:@%=,".contains(c);
    match value.chars().all(is_plain) {
        true => value.to_owned(),
        false => quote(value),
    }
}

fn list(text: &mut String, name: &str, values: impl Iterator<Item = String>) {
    let words: Vec<String> = values.map(|value| quote(&value)).collect();
    let _ = writeln!(text, "{name}=({})", words.join(" "));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn make_gets_what_dkms_would_give_it() {
        let release = KernelRelease::new("6.1.0-1-amd64").unwrap();
        assert_eq!(
            parallel_make("make -C /k M=/b", "", &release),
            "make -j KERNELRELEASE=6.1.0-1-amd64 -C /k M=/b"
        );
        assert_eq!(
            parallel_make("make all", "4", &release),
            "make -j4 KERNELRELEASE=6.1.0-1-amd64 all"
        );
        for other in ["'make' -j2 all", "(make a; make b)"] {
            assert_eq!(parallel_make(other, "4", &release), other);
        }
    }

    #[test]
    fn a_release_is_one_word() {
        for (release, word) in [
            ("6.1.0~rc1+b2", "6.1.0~rc1+b2"),
            ("6'$(id)", r"'6'\''$(id)'"),
        ] {
            let release = KernelRelease::new(release).unwrap();
            let made = format!("make -j KERNELRELEASE={word} all");
            assert_eq!(parallel_make("make all", "", &release), made);
        }
    }

    #[test]
    fn quoting_survives_the_shell() {
        let nasty = "a'b \"$HOME\" `id` \\ \n*";
        let output = std::process::Command::new("bash")
            .arg("-c")
            .arg(format!("printf %s {}", quote(nasty)))
            .output()
            .unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), nasty);
    }
}
