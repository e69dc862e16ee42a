#!/bin/sh
# Stands in for the compiler of its name: gives those answers to kbuild's option probes that came
# with the job, and becomes the compiler for everything else.
#
# Whatever needs a variable happens in a subshell, so that no name of the caller's changes on the way to
# the compiler. A shell that is bash may have taken functions from its caller.
set -- "$(
    unset -f printf test
    name=${0##*/} IFS=:
    set -f
    for directory in ${PATH-/usr/sbin:/usr/bin:/sbin:/bin}; do
        if test -x "$directory/$name" && ! test "$directory/$name" -ef "$0"; then
            printf %s "$directory/$name"
            exit
        fi
    done
    printf '%s: not found\n' "$name" >&2
)" "$@"
case $1 in
'') exit 127 ;;
esac
case " $* " in
*' /dev/null '*) ;;
*) exec "$@" ;;
esac
(
    unset -f printf test
    compiler=$1 question= count=0 writes= output= named=
    shift
    test "${LC_ALL-}" = C && test -z "@VARIABLES@" || exit 125
    for argument do
        if test "$named"; then
            output=$argument named=
        elif test "$argument" = -o; then
            writes=$writes-o named=1
        else
            count=$((count + 1))
            question="$question$argument
"
        fi
    done
    sheet=${KILN_PROBES-}$compiler/$count$writes
    if test -z "$named" && test -f "$sheet"; then
        . "$sheet"
    fi
    # No compiler ends so by itself.
    exit 125
)
set -- $? "$@"
case $1 in
125) shift && exec "$@" ;;
*) exit "$1" ;;
esac
