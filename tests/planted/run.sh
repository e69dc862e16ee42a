#!/bin/bash
# Plants one bug after the other in a copy of the tree, and sees a test fail on each.
#
# usage: tests/planted/run.sh [PATCH|FOLDER|WORD ...]
#
# A patch says in its first line which command must fail: `# fails: cargo test ...`. First the tests
# of all commands have to pass in the copy as it is. Then, with the patch, they have to compile, and
# at least one has to fail by name: an end with an error of another kind is no bug seen. An
# argument is a patch, a folder of patches, or a part of their paths; without any all are run.
#
# The copy is target/planted/tree. It is brought up to date by content, so that every file in it
# that changes is newer than what was made of it, also after a run that was killed.
set -uo pipefail
cd "$(dirname "$0")/../.."
home=$PWD
tree=$home/target/planted/tree
logs=$home/target/planted/logs
export CARGO_TARGET_DIR=${PLANTED_TARGET_DIR:-$home/target/planted/build}
# What a hanging test is given, in seconds.
limit=${PLANTED_SECONDS:-1200}
read -ra cargo <<<"${CARGO:-cargo}"

die() {
    echo "planted: $*" >&2
    exit 2
}

# All files of the tree, but what is made from them.
files() {
    (cd "$1" && find . \( -name .git -o -path ./target -o -path ./fuzz/target -o -path ./corpus \) -prune \
        -o \( -type f -o -type l \) -printf '%P\n' | sort)
}

# Makes the copy what the tree is.
renew() {
    local file
    mkdir -p "$tree"
    comm -13 <(files "$home") <(files "$tree") | while IFS= read -r file; do rm -f "$tree/$file"; done
    files "$home" | while IFS= read -r file; do
        cmp -s "$home/$file" "$tree/$file" && continue
        mkdir -p "$tree/$(dirname "$file")"
        cp -P --preserve=mode --remove-destination "$home/$file" "$tree/$file"
    done
    ln -sfn "$home/corpus" "$tree/corpus"
}

# Puts the files that a patch names back; their times are new.
undo() {
    local file
    sed -n 's|^+++ b/||p; s|^--- a/||p' "$1" | sort -u | while IFS= read -r file; do
        rm -f "$tree/$file" "$tree/$file.rej" "$tree/$file.orig"
        [[ ! -e $home/$file ]] || cp --preserve=mode "$home/$file" "$tree/$file"
    done
}

command_of() { sed -n '1s/^# fails: cargo //p' "$1"; }

# Compiles the tests of a command; its output into the log.
compile() {
    local words
    eval "words=($1)"
    (cd "$tree" && "${cargo[@]}" "${words[0]}" --no-run "${words[@]:1}") >"$2" 2>&1
}

run() {
    local words
    eval "words=($1)"
    (cd "$tree" && timeout "$limit" "${cargo[@]}" "${words[@]}") >>"$2" 2>&1
}

# The tests that failed by a log.
failures() { sed -nE 's/^test (.*) \.\.\. FAILED$/\1/p' "$1"; }

mapfile -t all < <(find tests/planted -name '*.patch' | sort)
patches=()
for patch in "${all[@]}"; do
    [[ $# -eq 0 ]] && patches+=("$patch")
    for wanted; do
        [[ $patch == *"${wanted%/}"* ]] && patches+=("$patch") && break
    done
done
[[ ${#patches[@]} -gt 0 ]] || die "no patch is called so"
for patch in "${patches[@]}"; do
    [[ $(command_of "$patch") == test\ * ]] || die "$patch does not begin with '# fails: cargo test ...'"
done

mkdir -p "$logs"
renew || die "cannot copy the tree"

declare -A sound
for patch in "${patches[@]}"; do
    command=$(command_of "$patch")
    [[ -z ${sound[$command]:-} ]] || continue
    clean=$logs/clean.log
    compile "$command" "$clean" || die "the tests do not compile without a bug: see $clean"
    run "$command" "$clean" || die "'cargo $command' fails without a bug: see $clean"
    grep -qE '^test result: ok\. [1-9]' "$clean" || die "'cargo $command' runs no test"
    sound[$command]=yes
done

# A bug is taken out only when the next is put in: one compilation does for both.
unseen=()
planted=
for patch in "${patches[@]}"; do
    name=${patch#tests/planted/}
    name=${name%.patch}
    log=$logs/${name//\//-}.log
    command=$(command_of "$patch")
    start=$SECONDS
    [[ -z $planted ]] || undo "$planted"
    planted=$patch
    if ! patch -d "$tree" -p1 --fuzz=0 --force --no-backup-if-mismatch <"$patch" >"$log" 2>&1; then
        result="the patch does not apply"
    elif ! compile "$command" "$log"; then
        result="does not compile"
    elif run "$command" "$log"; then
        result="no test fails"
    elif [[ -z $(failures "$log") ]]; then
        result="ends with an error, but no test fails"
    else
        result=
    fi
    if [[ -z $result ]]; then
        printf 'seen    %-55s %3d s  %s\n' "$name" $((SECONDS - start)) "$(failures "$log" | head -n 2 | paste -sd ' ')"
    else
        printf 'UNSEEN  %-55s %3d s  %s: %s\n' "$name" $((SECONDS - start)) "$result" "${log#"$home/"}"
        unseen+=("$name")
    fi
done
undo "$planted"

if [[ ${#unseen[@]} -gt 0 ]]; then
    printf '%d of %d bugs are seen by no test:\n' ${#unseen[@]} ${#patches[@]}
    printf '  %s\n' "${unseen[@]}"
    exit 1
fi
echo "each of ${#patches[@]} bugs is seen"
