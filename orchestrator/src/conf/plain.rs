//! Whether a job runs nothing but kbuild and the basic build tools.
//!
//! Such a job depends on the packages of those tools alone; any other job may run any
//! program that is installed, so its key holds the whole package database. The answer
//! errs towards "not plain": a word that is not known makes the job depend on more.

use std::{collections::BTreeSet, fs, path::Path, sync::LazyLock};

use super::Conf;

/// Words that start a command in a plain Makefile: shell syntax, make's own variables and
/// programs from the packages in [`crate::toolbox`]'s closure, plus installers, which have
/// no part in a build.
static KNOWN_WORDS: LazyLock<BTreeSet<&str>> = LazyLock::new(|| {
    "[ [[ test true false : echo printf cd pwd export set unset exit if then else elif fi for \
     do done while case esac in { } ! exec eval read shift return \
     $(MAKE) ${MAKE} make $(CC) ${CC} gcc cc ld $(LD) ${LD} $(AR) ar nm objcopy objdump strip \
     $(OBJCOPY) $(RM) ${RM} $(KMAKE) $(CPP) as readelf \
     cat chmod chown cp cut date dirname basename env expr head id install ln ls mkdir mktemp \
     mv nproc od readlink realpath rm rmdir seq sleep sort stat tail tee touch tr uname uniq wc \
     which command type md5sum sha1sum sha256sum sha512sum sync tac comm paste yes rev fold \
     awk gawk mawk sed grep egrep fgrep find xargs diff cmp patch tar gzip xz bzip2 bash sh perl \
     depmod modprobe insmod rmmod modinfo lsmod sudo su dkms systemctl udevadm dmesg update-initramfs \
     mknod useradd groupadd"
        .split_whitespace()
        .collect()
});

/// Judges by the conf's commands and by every Makefile below `source`.
pub fn is_plain_kbuild(conf: &Conf, source: &Path) -> bool {
    conf.pre_build.is_none()
        && conf.post_build.is_none()
        && conf.environment.is_empty()
        && commands_are_known(&conf.make)
        && makefiles_are_known(source)
}

fn makefiles_are_known(directory: &Path) -> bool {
    let Ok(entries) = fs::read_dir(directory) else {
        return false;
    };
    entries.flatten().all(|entry| {
        let path = entry.path();
        match entry.file_type() {
            Ok(t) if t.is_dir() => makefiles_are_known(&path),
            Ok(t) if t.is_symlink() => !is_makefile(&path),
            Ok(_) if is_makefile(&path) => match fs::read(&path) {
                Ok(text) => makefile_is_known(&String::from_utf8_lossy(&text)),
                Err(_) => false,
            },
            _ => true,
        }
    })
}

fn is_makefile(path: &Path) -> bool {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned());
    name.is_some_and(|name| {
        name.starts_with("Makefile")
            || name.starts_with("makefile")
            || name.starts_with("GNUmakefile")
            || name.starts_with("Kbuild")
            || name.ends_with(".mk")
    })
}

fn makefile_is_known(text: &str) -> bool {
    let joined = text.replace("\\\n", " ");
    joined.lines().all(|line| {
        let recipe = line.strip_prefix('\t').is_none_or(|recipe| {
            commands_are_known(recipe.trim_start().trim_start_matches(['@', '-', '+']))
        });
        recipe && !line.contains('`') && shell_calls_are_known(line)
    })
}

/// Every `$(shell COMMAND)` of a line starts with a known word.
fn shell_calls_are_known(line: &str) -> bool {
    if line.trim_start().starts_with('#') {
        return true;
    }
    line.split("$(shell").skip(1).all(commands_are_known)
}

/// Every command of a shell line starts with a known word.
fn commands_are_known(line: &str) -> bool {
    if line.trim_start().starts_with('#') {
        return true;
    }
    line.split([';', '|', '&', '\n'])
        .map(|piece| piece.trim_start_matches([' ', '\t', '(', '@', '-', '+']))
        .filter(|piece| !piece.trim_end_matches([')', ' ', '\t']).is_empty())
        .all(|piece| {
            piece
                .split_whitespace()
                .find(|word| !is_assignment(word))
                .is_none_or(is_known)
        })
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

fn is_known(word: &str) -> bool {
    let word = word.trim_matches(['\'', '"', ')']);
    let word = word.rsplit_once('/').map_or(word, |(_, name)| name);
    KNOWN_WORDS.contains(word) || word.is_empty() || word.starts_with('>') || word.starts_with("2>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_makefiles_and_others() {
        for plain in [
            "obj-m := foo.o\nall:\n\t$(MAKE) -C $(KDIR) M=$(PWD) modules\n",
            "KVER ?= $(shell uname -r)\nPWD := $(shell pwd)\n",
            "clean:\n\t-rm -f *.o && find . -name '*.ko' -exec rm {} \\;\n",
            "install:\n\tsudo modprobe foo; depmod -a\n",
        ] {
            assert!(makefile_is_known(plain), "{plain}");
        }
        for other in [
            "X := $(shell pkg-config --cflags libfoo)\n",
            "gen.h:\n\tpython3 gen.py > $@\n",
            "V = `git describe`\n",
            "all:\n\t@cd sub && ./configure\n",
        ] {
            assert!(!makefile_is_known(other), "{other}");
        }
        assert!(commands_are_known(
            "make -C /k M=/b modules && make -C /k M=/c"
        ));
        assert!(commands_are_known("'make' -j2 all"));
        assert!(!commands_are_known("(./configure --x && make)"));
    }
}
