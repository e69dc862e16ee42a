#!/bin/bash
# Builds real DKMS packages for two real kernels, then runs the same command again.
# usage: tests/demo.sh PATH-TO-KILN
set -uo pipefail
cd "$(dirname "$0")/.."
kiln=$(realpath "$1")
KILN_CACHE=$(mktemp -d)
export KILN_CACHE
chmod 755 "$KILN_CACHE"
trap 'rm -rf "$KILN_CACHE"' EXIT
rm -rf corpus/demo

mapfile -t kernels <corpus/demo-kernels
mapfile -t packages <corpus/demo-packages
command=("$kiln" build "${packages[@]}")
for kernel in "${kernels[@]}"; do command+=(-k "$kernel"); done
command+=(-o corpus/demo)

run() {
    printf '\n$ kiln build%s%s -o corpus/demo\n' "$(printf ' %s' "${packages[@]##*/}")" \
        "$(printf ' -k %s' "${kernels[@]}")"
    local start=${EPOCHREALTIME/./}
    "${command[@]}"
    local status=$?
    elapsed=$(((${EPOCHREALTIME/./} - start) / 1000))
    [[ $status -le 1 ]] || exit "$status"
}

run; first=$elapsed
run; second=$elapsed
printf '\nfirst run, everything built:      %6d ms\nsecond run, all from the cache:   %6d ms\n' "$first" "$second"
find corpus/demo -name '*.ko' | sort | head -n 3 | xargs -r ls -l
