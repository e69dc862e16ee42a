//! Small programs that stand first in a sandbox's PATH.
//!
//! `uname` answers for the kernel that is built for: Makefiles ask it, and the running
//! kernel has no say in a build. `make` turns any `-j` of its caller into the shared
//! jobserver, so that no build brings its own number of jobs.

use std::{fs, io, os::unix::fs::PermissionsExt, path::Path};

use crate::kernel::{Arch, KernelRelease};

/// Text of the `uname` that answers for `release` on `arch`.
pub fn uname_script(release: &KernelRelease, arch: &Arch) -> String {
    format!(
        r#"#!/bin/sh
release='{release}'
machine='{arch}'
s= n= r= v= m= p= i= o=
[ $# -eq 0 ] && s=1
while [ $# -gt 0 ]; do
    case $1 in
    --all) s=1 n=1 r=1 v=1 m=1 o=1 ;;
    --kernel-name) s=1 ;;
    --nodename) n=1 ;;
    --kernel-release) r=1 ;;
    --kernel-version) v=1 ;;
    --machine) m=1 ;;
    --processor) p=1 ;;
    --hardware-platform) i=1 ;;
    --operating-system) o=1 ;;
    --version) echo 'uname (kiln) for kernel' "$release"; exit 0 ;;
    --*) echo "uname: unrecognized option '$1'" >&2; exit 1 ;;
    -*)
        flags=${{1#-}}
        while [ -n "$flags" ]; do
            rest=${{flags#?}}
            case ${{flags%"$rest"}} in
            a) s=1 n=1 r=1 v=1 m=1 o=1 ;;
            s) s=1 ;; n) n=1 ;; r) r=1 ;; v) v=1 ;; m) m=1 ;; p) p=1 ;; i) i=1 ;; o) o=1 ;;
            *) echo "uname: invalid option '$1'" >&2; exit 1 ;;
            esac
            flags=$rest
        done ;;
    *) echo "uname: extra operand '$1'" >&2; exit 1 ;;
    esac
    shift
done
set --
[ "$s" ] && set -- "$@" Linux
[ "$n" ] && set -- "$@" kiln
[ "$r" ] && set -- "$@" "$release"
[ "$v" ] && set -- "$@" '#1 SMP'
[ "$m" ] && set -- "$@" "$machine"
[ "$p" ] && set -- "$@" unknown
[ "$i" ] && set -- "$@" unknown
[ "$o" ] && set -- "$@" GNU/Linux
echo "$*"
"#
    )
}

/// Text of the `make` in front of the real one.
///
/// `KILN_JOBSERVER` holds the flags of the shared jobserver. A caller that asks for
/// parallelism (any `-j` but `-j1`), or that calls kbuild itself (`-C` of the kernel tree,
/// which is always safe to run in parallel), gets it; every other caller gets the serial
/// make that it would have had.
pub const MAKE_SCRIPT: &str = r#"#!/bin/sh
parallel= serial= value= directory= n=$#
while [ $n -gt 0 ]; do
    arg=$1
    shift
    n=$((n - 1))
    if [ "$value" ]; then
        value=
        case $arg in
        ''|*[!0-9]*) ;;
        1) serial=1 parallel=; continue ;;
        *) continue ;;
        esac
    fi
    [ "$directory" ] && { [ "$arg" = "$KILN_KERNEL_DIR" ] && parallel=1; directory=; }
    case $arg in
    -j1|--jobs=1) serial=1 parallel=; continue ;;
    -j|--jobs) parallel=1 value=1; continue ;;
    -j[0-9]*|--jobs=*) parallel=1; continue ;;
    -C) directory=1 ;;
    -C"$KILN_KERNEL_DIR"|--directory="$KILN_KERNEL_DIR") parallel=1 ;;
    esac
    set -- "$@" "$arg"
done
if [ "$serial" ]; then
    unset MAKEFLAGS MFLAGS
elif [ "$parallel" ] && [ -n "$KILN_JOBSERVER" ]; then
    case ${MAKEFLAGS-} in
    *--jobserver-*) ;;
    *) export MAKEFLAGS="${MAKEFLAGS-}$KILN_JOBSERVER" ;;
    esac
fi
exec "$KILN_MAKE" "$@"
"#;

/// Writes both shims into the directory `bin`, executable.
///
/// # Errors
/// Fails if a file cannot be written.
pub fn write_shims(bin: &Path, release: &KernelRelease, arch: &Arch) -> io::Result<()> {
    fs::create_dir_all(bin)?;
    for (name, text) in [
        ("uname", uname_script(release, arch)),
        ("make", MAKE_SCRIPT.to_owned()),
    ] {
        let path = bin.join(name);
        fs::write(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn shims() -> tempfile::TempDir {
        let temp = tempfile::tempdir().unwrap();
        write_shims(
            temp.path(),
            &KernelRelease::new("6.1.0-99-test").unwrap(),
            &Arch::new("x86_64").unwrap(),
        )
        .unwrap();
        temp
    }

    #[test]
    fn uname_answers_for_the_target_kernel() {
        let temp = shims();
        let ask = |arguments: &[&str]| {
            let output = Command::new(temp.path().join("uname"))
                .args(arguments)
                .output()
                .unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        assert_eq!(ask(&["-r"]), "6.1.0-99-test\n");
        assert_eq!(ask(&["--kernel-release"]), "6.1.0-99-test\n");
        assert_eq!(ask(&["-rm"]), "6.1.0-99-test x86_64\n");
        assert_eq!(ask(&["-m", "-s"]), "Linux x86_64\n");
        assert_eq!(ask(&[]), "Linux\n");
        assert_eq!(
            ask(&["-a"]),
            "Linux kiln 6.1.0-99-test #1 SMP x86_64 GNU/Linux\n"
        );
    }

    #[test]
    fn make_swaps_job_counts_for_the_jobserver() {
        let temp = shims();
        let echo = temp.path().join("echo");
        fs::write(&echo, "#!/bin/sh\necho \"$MAKEFLAGS|$*\"\n").unwrap();
        fs::set_permissions(&echo, fs::Permissions::from_mode(0o755)).unwrap();
        let run = |arguments: &[&str]| {
            let output = Command::new(temp.path().join("make"))
                .args(arguments)
                .env_remove("MAKEFLAGS")
                .env("KILN_MAKE", &echo)
                .env("KILN_JOBSERVER", " -j --jobserver-auth=3,4")
                .env("KILN_KERNEL_DIR", "/k/build")
                .output()
                .unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        let shared = " -j --jobserver-auth=3,4";
        assert_eq!(run(&["all"]), "|all\n");
        assert_eq!(run(&["-j8", "all"]), format!("{shared}|all\n"));
        assert_eq!(run(&["-j", "8", "all"]), format!("{shared}|all\n"));
        assert_eq!(run(&["-j", "all"]), format!("{shared}|all\n"));
        assert_eq!(
            run(&["-j", "A=b c", "all"]),
            format!("{shared}|A=b c all\n")
        );
        assert_eq!(run(&["-j1", "all"]), "|all\n");
        assert_eq!(
            run(&["-C", "/k/build", "M=x"]),
            format!("{shared}|-C /k/build M=x\n")
        );
        assert_eq!(run(&["-C", "elsewhere"]), "|-C elsewhere\n");
    }
}
