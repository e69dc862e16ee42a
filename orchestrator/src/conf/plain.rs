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

/// Judges by the conf's commands and by every Makefile below `source`: none for a plain
/// job, else the first reason why it is not one.
pub fn beyond_kbuild(conf: &Conf, source: &Path) -> Option<String> {
    let hook = [
        ("PRE_BUILD", &conf.pre_build),
        ("POST_BUILD", &conf.post_build),
    ]
    .into_iter()
    .find(|(_, hook)| hook.is_some());
    if let Some((name, _)) = hook {
        return Some(format!("it has a {name} script"));
    }
    if !conf.environment.is_empty() {
        return Some("framework.conf sets a build_environment".to_owned());
    }
    if let Some(word) = unknown_command(&conf.make) {
        return Some(format!("MAKE runs {word}"));
    }
    makefiles(source, source)
}

fn makefiles(root: &Path, directory: &Path) -> Option<String> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Some(format!("{} cannot be read", directory.display()));
    };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths.into_iter().find_map(|path| {
        let name = path
            .strip_prefix(root)
            .unwrap_or(&path)
            .display()
            .to_string();
        if path.is_symlink() {
            return is_makefile(&path).then(|| format!("{name} is a link"));
        }
        if path.is_dir() {
            return makefiles(root, &path);
        }
        if !is_makefile(&path) {
            return None;
        }
        match fs::read(&path) {
            Ok(text) => unknown_in_makefile(&String::from_utf8_lossy(&text))
                .map(|word| format!("{name} runs {word}")),
            Err(_) => Some(format!("{name} cannot be read")),
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

/// The first word of a Makefile that starts an unknown command.
fn unknown_in_makefile(text: &str) -> Option<String> {
    let joined = text.replace("\\\n", " ");
    joined.lines().find_map(|line| {
        if line.trim_start().starts_with('#') {
            return None;
        }
        if line.contains('`') {
            return Some("a command in backquotes".to_owned());
        }
        let recipe = line
            .strip_prefix('\t')
            .map(|recipe| recipe.trim_start().trim_start_matches(['@', '-', '+']));
        recipe
            .and_then(unknown_command)
            .or_else(|| line.split("$(shell").skip(1).find_map(unknown_command))
    })
}

/// The first word of a shell line that starts an unknown command.
fn unknown_command(line: &str) -> Option<String> {
    if line.trim_start().starts_with('#') {
        return None;
    }
    line.split([';', '|', '&', '\n'])
        .map(|piece| piece.trim_start_matches([' ', '\t', '(', '@', '-', '+', '!']))
        .filter_map(|piece| piece.split_whitespace().find(|word| !is_assignment(word)))
        .find(|word| !is_known(word))
        .map(str::to_owned)
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

fn is_known(word: &str) -> bool {
    let word = word.trim_matches(['\'', '"']);
    let word = if word.starts_with('$') {
        word
    } else {
        word.trim_end_matches(')')
    };
    let name = word.rsplit_once('/').map_or(word, |(_, name)| name);
    KNOWN_WORDS.contains(name)
        || word.is_empty()
        || word.starts_with(['>', '<'])
        || word.starts_with("1>")
        || word.starts_with("2>")
        || word.starts_with("$(info")
        || word.starts_with("$(warning")
        || word.starts_with("$(error")
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
            assert_eq!(unknown_in_makefile(plain), None, "{plain}");
        }
        for other in [
            "X := $(shell pkg-config --cflags libfoo)\n",
            "gen.h:\n\tpython3 gen.py > $@\n",
            "V = `git describe`\n",
            "all:\n\t@cd sub && ./configure\n",
        ] {
            assert!(unknown_in_makefile(other).is_some(), "{other}");
        }
        assert_eq!(
            unknown_command("make -C /k M=/b modules && make -C /k"),
            None
        );
        assert_eq!(unknown_command("'make' -j2 all"), None);
        assert_eq!(
            unknown_command("(./configure --x && make)").as_deref(),
            Some("./configure")
        );
    }
}
