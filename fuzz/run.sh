#!/bin/bash
# Feeds each fuzz target with anything for a minute, and says what came of it.
#
# usage: fuzz/run.sh [TARGET ...]
#
# FUZZ_SECONDS is how long each runs. What was tried is kept in target/fuzz/corpus, so that the next run goes on
# from there; it begins with seeds/TARGET. What makes a target fail is put into target/fuzz/artifacts. No target
# may need more than 1 GiB, or more than ten seconds for one input. With FUZZ_BUILT set nothing is built.
set -uo pipefail
cd "$(dirname "$0")/.."
seconds=${FUZZ_SECONDS:-60}
export CARGO_TARGET_DIR=$PWD/target/fuzz/build
export PATH=$PWD/target/tools/bin:$PATH
made=$PWD/target/fuzz
# The programs in themselves are safe code: what is looked for is panics, hangs and hunger.
cargo=(cargo +"${FUZZ_TOOLCHAIN:-nightly}" fuzz)

targets=("$@")
if [[ ${#targets[@]} -eq 0 ]]; then
    for file in fuzz/targets/*.rs; do
        file=${file##*/}
        targets+=("${file%.rs}")
    done
fi

[[ -n ${FUZZ_BUILT:-} ]] || "${cargo[@]}" build --fuzz-dir fuzz --sanitizer none || exit 2
failed=()
for target in "${targets[@]}"; do
    corpus=$made/corpus/$target artifacts=$made/artifacts/$target log=$made/$target.log
    mkdir -p "$corpus" "$artifacts"
    options=(-max_total_time="$seconds" -rss_limit_mb=1024 -timeout=10 -print_final_stats=1
        -artifact_prefix="$artifacts/" -verbosity=1)
    programs=("$CARGO_TARGET_DIR"/*/release/"$target")
    if "${programs[0]}" "${options[@]}" "$corpus" "fuzz/seeds/$target" >"$log" 2>&1; then
        result=good
    else
        result=FAILED
        failed+=("$target")
    fi
    count=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    peak=$(sed -n 's/^stat::peak_rss_mb: *//p' "$log")
    printf '%-6s  %-18s %12s executions, at most %s MiB\n' "$result" "$target" "${count:-?}" "${peak:-?}"
done
if [[ ${#failed[@]} -gt 0 ]]; then
    echo "failed: ${failed[*]}; logs and inputs are in $made"
    exit 1
fi
