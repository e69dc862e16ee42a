#!/bin/bash
# Builds packages with the distribution's own dkms, for tests and benches to compare with.
#
# usage: tests/real-dkms.sh OUT SOURCE KERNEL...
#
# Runs in a mount namespace of its own: /var/lib/dkms, /usr/src and /etc/dkms are covered
# with tmpfs, so dkms works at its real paths and the machine stays as it was. Needs root,
# or a system that lets users make namespaces. Modules are not signed.
#
# Leaves in OUT/<kernel>/: the .ko files, `status` (the exit code of dkms), `ms` (how long
# `dkms build` took, without the set-up), `output`, and the package's `make.log`.
set -euo pipefail

if [[ ${1-} != --inside ]]; then
    mkdir -p "$1"
    out=$(realpath "$1") source=$(realpath "$2")
    flags=(--mount)
    [[ $(id -u) -eq 0 ]] || flags+=(--map-root-user)
    exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C HOME=/ \
        unshare "${flags[@]}" "$BASH" "$(realpath "$0")" --inside "$out" "$source" "${@:3}"
fi
out=$2 source=$3
kernels=("${@:4}")

# The headers stay where they are; what else is in /usr/src is hidden.
headers=$(mktemp -d "$out/headers.XXXXXX")
mount --bind /usr/src "$headers"
mount -t tmpfs -o mode=755 none /usr/src
for entry in "$headers"/linux-*; do
    if [[ -L $entry ]]; then
        cp -a "$entry" /usr/src/
    else
        mkdir "/usr/src/${entry##*/}"
        mount --bind "$entry" "/usr/src/${entry##*/}"
    fi
done
umount "$headers"
rmdir "$headers"
mount -t tmpfs -o mode=755 none /var/lib/dkms
mount -t tmpfs -o mode=755 none /etc/dkms
# A file that cannot be run stands for "there is nothing to sign with".
echo 'sign_file="/etc/dkms/framework.conf"' >/etc/dkms/framework.conf

field() { sed -n "s/^[[:space:]]*$1=[\"']\{0,1\}\([^\"']*\).*/\1/p" "$source/dkms.conf" | head -n 1; }
name=$(field PACKAGE_NAME) version=$(field PACKAGE_VERSION)
cp -a "$source" "/usr/src/$name-$version"
tree=/var/lib/dkms/$name/$version
dkms add "$name/$version" >/dev/null

for kernel in "${kernels[@]}"; do
    to=$out/$kernel
    mkdir -p "$to"
    status=0 start=${EPOCHREALTIME/./}
    dkms build "$name/$version" -k "$kernel" >"$to/output" 2>&1 </dev/null || status=$?
    echo $(((${EPOCHREALTIME/./} - start) / 1000)) >"$to/ms"
    echo "$status" >"$to/status"
    cp "$tree/$kernel"/*/module/*.ko "$to/" 2>/dev/null || true
    cp "$tree/$kernel"/*/log/make.log "$to/" 2>/dev/null ||
        cp "$tree/build/make.log" "$to/" 2>/dev/null || true
done
