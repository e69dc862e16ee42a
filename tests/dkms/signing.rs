//! Signing: when it happens, with which command, key and certificate, and how it fails.

use super::{
    kernel::{self, named},
    machine::{Machine, Setup},
    modules::Module,
    source::Source,
};

/// A command that "signs" by writing behind the module what it was called with.
const SIGN: &str =
    "#!/bin/sh\nprintf 'signed with %s\\n~Module signature appended~\\n' \"$1\" >>\"$4\"\n";

/// What the kernel looks for at the end of a module.
const MARK: &str = "~Module signature appended~\n";

/// A machine that signs with a command of the test's, and keys that are there.
fn machine() -> Setup {
    Machine::setup()
        .script("/etc/dkms/sign", SIGN)
        .secret("/etc/dkms/key", "")
        .file("/etc/dkms/cert", "")
        .file(
            "/etc/dkms/framework.conf",
            "parallel_jobs=1\ntry_sign_modules=true\nsign_file=/etc/dkms/sign\n\
             mok_signing_key=/etc/dkms/key\nmok_certificate=/etc/dkms/cert\n",
        )
}

/// The algorithm that the kernel wants modules to be hashed with.
fn algorithm() -> String {
    let config = kernel::tree(kernel::release()).join("include/config/auto.conf");
    let config = std::fs::read_to_string(config).unwrap();
    let line = config
        .lines()
        .find_map(|line| line.strip_prefix("CONFIG_MODULE_SIG_HASH="));
    line.unwrap().trim_matches('"').to_owned()
}

const MODULE: &str = "/var/lib/dkms/hello/1.0/KERNEL/ARCH/module/hello.ko";

#[test]
fn with_a_command_and_a_key() {
    let machine = machine().start();
    machine.add(&Source::hello());
    machine.dkms("build hello/1.0 -k KERNEL").exits(0).prints(
        "
        Sign command: /etc/dkms/sign
        Signing key: /etc/dkms/key
        Public certificate (MOK): /etc/dkms/cert

        Building module(s)... done.
        Signing module /var/lib/dkms/hello/1.0/build/hello.ko
        ",
    );
    let expected = [
        Module::One.bytes(),
        format!("signed with {}\n{MARK}", algorithm()).into_bytes(),
    ];
    assert_eq!(machine.bytes(named(MODULE)), expected.concat());
}

#[test]
fn each_module_of_a_package() {
    let machine = machine().start();
    machine.add(
        &Source::empty("pair", "1.0")
            .module("first", Module::One)
            .module("second", Module::Two),
    );
    machine
        .dkms("build pair/1.0 -k KERNEL")
        .exits(0)
        .says("Signing module /var/lib/dkms/pair/1.0/build/first.ko\nSigning module /var/lib/dkms/pair/1.0/build/second.ko\n");
}

#[test]
fn in_an_automatic_installation() {
    let machine = machine().start();
    machine.add(&Source::hello());
    machine.add(&Source::of("other", "1.0", Module::One));
    machine.dkms("autoinstall -k KERNEL").exits(0).prints(
        "
        Sign command: /etc/dkms/sign
        Signing key: /etc/dkms/key
        Public certificate (MOK): /etc/dkms/cert

        Autoinstall of module hello/1.0 for kernel KERNEL (ARCH)
        Building module(s)... done.
        Signing module /var/lib/dkms/hello/1.0/build/hello.ko
        Installing /lib/modules/KERNEL/updates/dkms/hello.ko
        Running depmod... done.

        Autoinstall of module other/1.0 for kernel KERNEL (ARCH)
        Building module(s)... done.
        Signing module /var/lib/dkms/other/1.0/build/other.ko
        Installing /lib/modules/KERNEL/updates/dkms/other.ko
        Running depmod... done.

        Autoinstall on KERNEL succeeded for module(s) hello other.
        ",
    );
}

#[test]
fn with_another_algorithm() {
    let machine = machine().start();
    machine.add(&Source::hello());
    machine.write("/home/config", "CONFIG_MODULE_SIG_HASH=\"md99\"\n");
    let config = machine.path("/home/config");
    machine
        .dkms(format!(
            "build hello/1.0 -k KERNEL --config {}",
            config.display()
        ))
        .exits(0);
    let module = machine.bytes(named(MODULE));
    assert!(module.ends_with(format!("signed with md99\n{MARK}").as_bytes()));
}

#[test]
fn with_a_command_that_fails() {
    let machine = machine()
        .script(
            "/etc/dkms/sign",
            "#!/bin/sh\necho cannot; echo will not >&2; exit 1\n",
        )
        .start();
    machine.add(&Source::hello());
    machine
        .dkms("build hello/1.0 -k KERNEL")
        .exits(0)
        .prints_both(
            "
            Sign command: /etc/dkms/sign
            Signing key: /etc/dkms/key
            Public certificate (MOK): /etc/dkms/cert

            Building module(s)... done.
            Signing module /var/lib/dkms/hello/1.0/build/hello.ko
            ",
            "
            Warning: Failed to sign module '/var/lib/dkms/hello/1.0/build/hello.ko'!
            cannot
            will not
            ",
        );
    assert_eq!(machine.bytes(named(MODULE)), Module::One.bytes());
}

/// What a build prints before it builds, with these further lines of configuration.
fn prologue(more: &str) -> String {
    let machine = machine()
        .file("/etc/dkms/framework.conf.d/more.conf", more)
        .start();
    machine.add(&Source::hello());
    let run = machine.dkms("build hello/1.0 -k KERNEL").exits(0);
    let (prologue, _) = run.out.split_once("\nBuilding").unwrap();
    prologue.to_owned()
}

#[test]
fn not_by_policy() {
    assert_eq!(
        prologue("try_sign_modules=false"),
        "Module signing is disabled by policy, modules won't be signed\n"
    );
}

#[test]
fn with_a_command_that_is_not_there() {
    for command in ["/no/such/file", "/etc/dkms/key"] {
        assert_eq!(
            prologue(&format!("sign_file={command}")),
            format!(
                "Sign command: {command}\nBinary {command} not found, modules won't be signed\n"
            )
        );
    }
}

#[test]
fn with_a_key_that_cannot_be_made() {
    assert_eq!(
        prologue("mok_signing_key=/no/such/key"),
        "Sign command: /etc/dkms/sign\nSigning key: /no/such/key\n\
         Public certificate (MOK): /etc/dkms/cert\n\
         Certificate or key are missing, generating self signed certificate for MOK...\n\
         Key file /no/such/key not found and can't be generated, modules won't be signed\n"
    );
}

#[test]
fn with_a_certificate_that_cannot_be_made() {
    assert_eq!(
        prologue("mok_certificate=/no/such/cert"),
        "Sign command: /etc/dkms/sign\nSigning key: /etc/dkms/key\n\
         Public certificate (MOK): /no/such/cert\n\
         Certificate or key are missing, generating self signed certificate for MOK...\n\
         Certificate file /no/such/cert not found and can't be generated, modules won't be signed\n"
    );
}

#[test]
fn with_neither_and_no_place_for_a_certificate() {
    let machine = machine()
        .file(
            "/etc/dkms/framework.conf.d/more.conf",
            "mok_signing_key=/var/lib/dkms/new.key\nmok_certificate=/no/such/cert\n",
        )
        .start();
    machine.add(&Source::hello());
    machine
        .dkms("build hello/1.0 -k KERNEL")
        .exits(0)
        .says("Certificate file /no/such/cert not found and can't be generated");
    machine
        .shell("stat -c %a /var/lib/dkms/new.key")
        .prints("600\n");
}

#[test]
fn with_a_key_of_a_token() {
    assert_eq!(
        prologue("mok_signing_key='pkcs11:token=ours'"),
        "Sign command: /etc/dkms/sign\nSigning key: pkcs11:token=ours\n\
         Public certificate (MOK): /etc/dkms/cert\n"
    );
}

#[test]
fn with_a_pin_that_is_on_no_command_line() {
    let machine = machine()
        .file(
            "/etc/dkms/framework.conf.d/more.conf",
            "mok_signing_key='pkcs11:token=ours?pin-value=12%2034'",
        )
        .mode("/etc/dkms/framework.conf.d/more.conf", 0o600)
        .script(
            "/etc/dkms/sign",
            "#!/bin/sh\necho \"$2 and $KBUILD_SIGN_PIN and $(cat ${2##*file:})\" >>\"$4\"; echo '~Module signature appended~' >>\"$4\"\n",
        )
        .start();
    machine.add(&Source::hello());
    machine
        .dkms("build hello/1.0 -k KERNEL")
        .exits(0)
        .says("Signing key: pkcs11:token=ours\n")
        .never_says("12");
    let module = machine.bytes(named(MODULE));
    let handed = b"pkcs11:token=ours?pin-source=file:/proc/self/fd/0 and 12 34 and 12 34\n~Module signature appended~\n";
    assert!(module.ends_with(handed));
}

#[test]
fn with_a_pin_that_others_may_read() {
    let said = "mok_signing_key='pkcs11:token=ours?pin-value=12%2034'";
    let told = machine()
        .file("/etc/dkms/framework.conf.d/more.conf", said)
        .start();
    told.add(&Source::hello());
    told.dkms("build hello/1.0 -k KERNEL")
        .exits(0)
        .says(
            "\nThe PIN in /etc/dkms/framework.conf.d/more.conf is not used, modules won't be signed: \
             /etc/dkms/framework.conf.d/more.conf is a secret and may be read by others (mode 0644): chmod go-rwx ",
        )
        .never_says("Signing module")
        .never_says("12%20");
    // What somebody else tells is not what is judged.
    let machine = machine()
        .secret("/etc/dkms/pin", "12%2034")
        .file(
            "/etc/dkms/framework.conf.d/more.conf",
            "mok_signing_key=\"pkcs11:token=ours?pin-value=$(cat /etc/dkms/pin)\"",
        )
        .start();
    machine.add(&Source::hello());
    machine
        .dkms("build hello/1.0 -k KERNEL")
        .exits(0)
        .says("Signing module");
}

#[test]
fn with_a_key_that_others_may_read() {
    for (mode, shown) in [(0o644, "0644"), (0o640, "0640"), (0o620, "0620")] {
        let machine = machine().mode("/etc/dkms/key", mode).start();
        machine.source(&Source::hello());
        machine.dkms("add hello/1.0").exits(0);
        machine
            .dkms("build hello/1.0 -k KERNEL")
            .exits(0)
            .says("\nKey file /etc/dkms/key is not used, modules won't be signed: /etc/dkms/key ")
            .says(&format!("(mode {shown}): chmod go-"))
            .never_says("Signing module");
        assert_eq!(machine.bytes(named(MODULE)), Module::One.bytes());
        machine.shell("chmod 600 /etc/dkms/key");
        machine
            .dkms("build hello/1.0 -k KERNEL --force")
            .exits(0)
            .says("Signing module");
    }
}

#[test]
fn with_a_key_of_somebody_else() {
    let machine = machine().start();
    machine.add(&Source::hello());
    machine.shell("chown 65534 /etc/dkms/key");
    machine
        .dkms("build hello/1.0 -k KERNEL")
        .exits(0)
        .says("modules won't be signed: /etc/dkms/key belongs to user 65534");
}

/// Whatever a build can do, it prints: neither the key nor the PIN is in it, with a sandbox and without.
#[test]
fn no_build_sees_the_key() {
    const SECRET: &str = "the-secret-of-the-machine";
    let spy = "#!/bin/sh\nid -u\nwhoami=$(id -u); echo \"spy $whoami\"\n\
        for file in /etc/dkms/key /var/lib/dkms/mok.key; do head -c 99 $file; cp $file .; done\n\
        grep -rs the-secret /etc/dkms /var/lib/dkms /root /home /tmp /var/tmp /run .\n\
        cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline | tr '\\0' '\\n'\n\
        env\nls -l /etc/dkms/key\n:\n";
    for bubblewrap in [true, false] {
        let mut setup = machine()
            .secret("/etc/dkms/key", SECRET)
            .secret("/var/lib/dkms/mok.key", SECRET)
            .secret("/etc/dkms/pin", "a-secret-pin");
        if !bubblewrap {
            setup = setup.file("/usr/bin/bwrap", "");
        }
        let machine = setup.start();
        machine.add(
            &Source::hello()
                .conf("PRE_BUILD=spy.sh")
                .script("spy.sh", spy),
        );
        machine
            .shell(
                "export KBUILD_SIGN_PIN=\"$(cat /etc/dkms/pin)\"; dkms build hello/1.0 -k KERNEL",
            )
            .exits(0)
            .says("Signing module");
        let log = machine.read(named("/var/lib/dkms/hello/1.0/KERNEL/ARCH/log/make.log"));
        assert!(log.contains("spy 65534"), "{log}");
        assert!(
            !log.contains(SECRET) && !log.contains("a-secret-pin"),
            "{log}"
        );
    }
}

#[test]
fn with_paths_that_name_the_kernel() {
    let machine = Machine::setup()
        .file(
            "/etc/dkms/framework.conf",
            "try_sign_modules=true\nsign_file='/etc/dkms/$kernelver/sign'\n\
             mok_signing_key='/etc/dkms/$kernelver/key'\nmok_certificate='/etc/dkms/$kernelver/cert'\n",
        )
        .script(&named("/etc/dkms/KERNEL/sign"), SIGN)
        .secret(&named("/etc/dkms/KERNEL/key"), "")
        .file(&named("/etc/dkms/KERNEL/cert"), "")
        .start();
    machine.add(&Source::hello());
    machine.dkms("build hello/1.0 -k KERNEL").exits(0).prints(
        "
        Sign command: /etc/dkms/KERNEL/sign
        Signing key: /etc/dkms/KERNEL/key
        Public certificate (MOK): /etc/dkms/KERNEL/cert

        Building module(s)... done.
        Signing module /var/lib/dkms/hello/1.0/build/hello.ko
        ",
    );
}

#[test]
fn of_a_kernel_that_cannot_check() {
    let machine = machine().start();
    machine.add(&Source::hello());
    machine.write("/home/config", "CONFIG_MODULES=y\n");
    let config = machine.path("/home/config");
    machine
        .dkms(format!(
            "build hello/1.0 -k KERNEL --config {}",
            config.display()
        ))
        .exits(0)
        .prints(
            "
            The kernel is built without module signing facility, modules won't be signed

            Building module(s)... done.
            ",
        );
    machine
        .dkms("build hello/1.0 -k SECOND --config /no/config")
        .exits(0)
        .prints(
            "
            Kernel config /no/config not found, modules won't be signed

            Building module(s)... done.
            ",
        );
}

#[test]
fn in_a_chroot_only_if_told_to() {
    for (policy, first) in [
        ("", "Running in chroot, modules won't be signed"),
        (
            "try_sign_modules=not_in_chroot",
            "Running in chroot, modules won't be signed",
        ),
        ("try_sign_modules=true", "Sign command: /etc/dkms/sign"),
    ] {
        let machine = machine()
            .file(
                "/etc/dkms/framework.conf",
                format!("sign_file=/etc/dkms/sign\nmok_signing_key=/etc/dkms/key\nmok_certificate=/etc/dkms/cert\n{policy}\n"),
            )
            .start();
        machine.add(&Source::hello());
        // A process whose mounts are not those of the first one.
        machine
            .shell("unshare --mount sh -c 'mount -t tmpfs none /mnt; dkms build hello/1.0 -k KERNEL' | head -n 1")
            .prints(&format!("{first}\n"));
        let outside = machine.dkms("build hello/1.0 -k SECOND").exits(0);
        assert!(
            outside.out.starts_with("Sign command: /etc/dkms/sign\n"),
            "{outside}"
        );
    }
}

#[test]
fn a_key_is_made_where_there_is_none() {
    let machine = Machine::setup()
        .file(
            "/etc/dkms/framework.conf",
            "try_sign_modules=true\nsign_file=/etc/dkms/sign\n",
        )
        .script("/etc/dkms/sign", SIGN)
        .start();
    machine.add(&Source::hello());
    machine.dkms("build hello/1.0 -k KERNEL").exits(0).prints(
        "
        Sign command: /etc/dkms/sign
        Signing key: /var/lib/dkms/mok.key
        Public certificate (MOK): /var/lib/dkms/mok.pub
        Certificate or key are missing, generating self signed certificate for MOK...

        Building module(s)... done.
        Signing module /var/lib/dkms/hello/1.0/build/hello.ko
        ",
    );
    machine
        .shell("openssl x509 -inform DER -in /var/lib/dkms/mok.pub -noout -subject -ext extendedKeyUsage")
        .says("CN = DKMS module signing key\n")
        .says("Code Signing");
    machine
        .shell("openssl rsa -in /var/lib/dkms/mok.key -check -noout")
        .says("RSA key ok");
    machine
        .shell("stat -c %a /var/lib/dkms/mok.key")
        .prints("600\n");
    let key = machine.bytes("/var/lib/dkms/mok.key");
    machine
        .dkms("build hello/1.0 -k SECOND")
        .exits(0)
        .never_says("generating");
    assert_eq!(machine.bytes("/var/lib/dkms/mok.key"), key);
}

#[test]
fn the_real_command_signs_for_real() {
    let machine = Machine::setup()
        .file("/etc/dkms/framework.conf", "try_sign_modules=true\n")
        .start();
    machine.add(&Source::hello());
    machine
        .dkms("build hello/1.0 -k KERNEL")
        .exits(0)
        .says("Signing module /var/lib/dkms/hello/1.0/build/hello.ko");
    machine
        .shell(&format!(
            "modinfo -F signer {MODULE}; modinfo -F sig_hashalgo {MODULE}"
        ))
        .prints(&format!("DKMS module signing key\n{}\n", algorithm()));
    machine.dkms("install hello/1.0 -k KERNEL").exits(0);
    assert_eq!(
        machine.installed("updates/dkms/hello.ko"),
        machine.bytes(named(MODULE))
    );
}

#[test]
fn making_a_key_on_request() {
    let machine = Machine::new();
    machine.dkms("generate_mok").exits(0).prints(
        "
        Signing key: /var/lib/dkms/mok.key
        Public certificate (MOK): /var/lib/dkms/mok.pub
        Certificate or key are missing, generating self signed certificate for MOK...
        ",
    );
    machine.holds("/var/lib/dkms", "mok.key\nmok.pub\n");
    machine.dkms("generate_mok").exits(0).prints(
        "
        Signing key: /var/lib/dkms/mok.key
        Public certificate (MOK): /var/lib/dkms/mok.pub
        ",
    );
    machine.dkms("status").exits(0).prints("");
}

#[test]
fn making_a_key_without_openssl() {
    let machine = Machine::setup()
        .file("/etc/dkms/framework.conf", "mok_signing_key=/no/key\n")
        .start();
    machine.dkms("generate_mok").exits(1).prints(
        "
        Signing key: /no/key
        Public certificate (MOK): /var/lib/dkms/mok.pub
        Certificate or key are missing, generating self signed certificate for MOK...
        Key file /no/key not found and can't be generated, modules won't be signed
        ",
    );
}

#[test]
fn by_a_command_that_is_killed() {
    let machine = machine()
        .script("/etc/dkms/sign", "#!/bin/sh\nkill -TERM $$\n")
        .start();
    machine.add(&Source::hello());
    machine
        .dkms("install hello/1.0 -k KERNEL")
        .exits(143)
        .says("sign-file was ended by signal 15");
    assert!(!machine.has(named("/lib/modules/KERNEL/updates")));
    machine.write("/etc/dkms/sign", SIGN);
    machine
        .dkms("install hello/1.0 -k KERNEL")
        .exits(0)
        .says("Signing module");
    let expected = [
        Module::One.bytes(),
        format!("signed with {}\n{MARK}", algorithm()).into_bytes(),
    ];
    assert_eq!(
        machine.installed("updates/dkms/hello.ko"),
        expected.concat()
    );
}

#[test]
fn with_a_key_on_a_disk_that_is_not_there() {
    let machine = machine().start();
    machine.shell("rm /etc/dkms/key; ln -s /media/stick/key /etc/dkms/key");
    machine.add(&Source::hello());
    machine
        .dkms("build hello/1.0 -k KERNEL")
        .exits(0)
        .says("/etc/dkms/key is a link that leads nowhere, modules won't be signed");
    assert_eq!(machine.link("/etc/dkms/key"), "/media/stick/key");
}

#[test]
fn by_a_command_that_leaves_something_else() {
    for left in [
        "head -c 4096 \"$4\" >x; cat x >\"$4\"; rm x",
        ": >\"$4\"",
        ":",
        "echo junk >>\"$4\"",
        "printf 'junk\\n~Module signature appended~\\n' >\"$4\"",
    ] {
        let machine = machine()
            .script(
                "/etc/dkms/sign",
                &format!("#!/bin/sh\ncd /var/lib/dkms; {left}\n"),
            )
            .start();
        machine.add(&Source::hello());
        machine
            .dkms("install hello/1.0 -k KERNEL")
            .exits(0)
            .says("Failed to sign module");
        // As it was built.
        assert_eq!(
            machine.installed("updates/dkms/hello.ko"),
            Module::One.bytes(),
            "{left}"
        );
    }
}

#[test]
fn no_half_of_a_key_stays() {
    let real = "/usr/bin/openssl";
    for cut in ["mok.key", "mok.pub"] {
        // As on a disk that is full when a file is closed.
        let openssl = format!(
            "#!/bin/sh\n{real} \"$@\" || exit 1\nwhile [ $# -gt 0 ]; do case $1 in\n\
             -keyout) [ {cut} = mok.pub ] || truncate -s 100 \"$2\";;\n-out) [ {cut} = mok.key ] || truncate -s 100 \"$2\";;\n\
             esac; shift; done\n"
        );
        let machine = Machine::setup()
            .file(
                "/etc/dkms/framework.conf",
                "try_sign_modules=true\nsign_file=/etc/dkms/sign\n",
            )
            .script("/etc/dkms/sign", SIGN)
            .program("openssl", &openssl)
            .start();
        machine.add(&Source::hello());
        machine
            .dkms("build hello/1.0 -k KERNEL")
            .exits(0)
            .says("can't be generated, modules won't be signed");
        machine
            .shell("ls /var/lib/dkms")
            .never_says("mok.key")
            .never_says("mok.pub");
    }
}

#[test]
fn a_pin_is_in_no_environment_and_its_file_is_the_owner_s_alone() {
    // Not only assignments: bash reads it, once more for each kernel.
    let conf = "true; env >/var/lib/dkms/env\ntry_sign_modules=true\nsign_file=/etc/dkms/sign\n\
        mok_certificate=/etc/dkms/cert\npost_transaction='env >/var/lib/dkms/env-after'\n";
    let with = |pin: &str| format!("{conf}mok_signing_key='pkcs11:token=ours?{pin}'\n");
    let machine = machine()
        .secret("/etc/dkms/framework.conf", &with("pin-value=987654"))
        .start();
    machine.add(&Source::hello());
    machine
        .dkms("install hello/1.0 -k KERNEL -k SECOND")
        .exits(0)
        .says("Signing module");
    for file in ["env", "env-after"] {
        let text = machine.read(format!("/var/lib/dkms/{file}"));
        assert!(
            text.contains("PATH=") && !text.contains("987654"),
            "{file}: {text}"
        );
    }
    for source in ["file:/etc/dkms/pin", "/etc/dkms/pin"] {
        for (mode, is_used) in [(0o644, false), (0o640, false), (0o600, true)] {
            let machine = self::machine()
                .secret(
                    "/etc/dkms/framework.conf",
                    &with(&format!("pin-source={source}")),
                )
                .file("/etc/dkms/pin", "987654")
                .mode("/etc/dkms/pin", mode)
                .start();
            machine.add(&Source::hello());
            let run = machine.dkms("build hello/1.0 -k KERNEL").exits(0);
            match is_used {
                true => run.says("Signing module"),
                false => run.says(
                    "The PIN in /etc/dkms/pin is not used, modules won't be signed: /etc/dkms/pin ",
                ),
            };
        }
    }
}
