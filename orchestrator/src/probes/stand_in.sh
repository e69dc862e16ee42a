#!/bin/sh
# Stands in for the compiler of its name: gives those answers to kbuild's option probes that came
# with the job, and becomes the compiler for everything else.
name=${0##*/} compiler= IFS=:
set -f
for directory in ${PATH-}; do
    if [ -x "$directory/$name" ] && ! [ "$directory/$name" -ef "$0" ]; then
        compiler=$directory/$name
        break
    fi
done
unset IFS
if [ -z "$compiler" ]; then
    echo "$name: not found" >&2
    exit 127
fi
case " $* " in
*' /dev/null '*) ;;
*) exec "$compiler" "$@" ;;
esac
if [ "${LC_ALL-}" = C ] && [ -z "@VARIABLES@" ]; then
    question= count=0 writes= output= named=
    for argument do
        if [ "$named" ]; then
            output=$argument named=
        elif [ "$argument" = -o ]; then
            writes=$writes-o named=1
        else
            count=$((count + 1))
            question="$question$argument
"
        fi
    done
    sheet=${KILN_PROBES-}$compiler/$count$writes
    if [ -z "$named" ] && [ -f "$sheet" ]; then
        . "$sheet"
    fi
fi
exec "$compiler" "$@"
