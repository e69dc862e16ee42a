#!/bin/bash -p
# Stands in for make where kiln itself cannot run, and does what make_call.rs says.
#
# With -p bash takes no function, option or startup file from its caller. Whatever needs a variable
# happens in a subshell, which answers in the shell's own words, so that no name of the caller's changes.

# Takes the words of a call apart: kiln_jobs is how many jobs it asks for, kiln_others all other words.
kiln_read() {
    kiln_jobs= kiln_others=() kiln_is_kbuild= kiln_has_jobserver=
    while (($#)); do
        kiln_word=$1 kiln_rest=${1#-} kiln_number= kiln_before= kiln_directory= kiln_kind=other kiln_next=()
        shift
        case $kiln_word in
        --) kiln_others+=(-- "$@") && return ;;
        --jobs) kiln_kind=jobs ;;
        --jobs=?*) kiln_kind=jobs kiln_number=${kiln_word#*=} ;;
        --directory=*) kiln_directory=${kiln_word#*=} ;;
        --directory) kiln_kind=next kiln_directory=${1-} ;;
        --jobserver-auth=*|--jobserver-fds=*) kiln_has_jobserver=yes ;;
        --jobserver-auth|--jobserver-fds) kiln_kind=next kiln_has_jobserver=yes ;;
        --file|--makefile|--include-dir|--old-file|--assume-old|--what-if|--new-file|--assume-new|--eval)
            kiln_kind=next ;;
        --*) ;;
        -?*)
            while [[ $kiln_rest ]]; do
                case $kiln_rest in
                j*) kiln_kind=jobs kiln_number=${kiln_rest#j} kiln_before=${kiln_word%"$kiln_rest"} && break ;;
                C) kiln_kind=next kiln_directory=${1-} && break ;;
                C*) kiln_directory=${kiln_rest#C} && break ;;
                [fIoWE]) kiln_kind=next && break ;;
                [fIoWElO]*) break ;;
                esac
                kiln_rest=${kiln_rest#?}
            done ;;
        esac
        [[ ! $kiln_directory -ef $kiln_kernel ]] || kiln_is_kbuild=yes
        if [[ $kiln_kind == next ]] ||
            [[ $kiln_kind == jobs && ! $kiln_number && $# -gt 0 && ${1-} != *[!0-9]* ]]
        then
            kiln_next=("${@:1:1}")
            shift $(($# > 0))
        fi
        case $kiln_kind${kiln_number:-${kiln_next[0]-, no number}} in
        'jobs, no number') kiln_jobs=many ;;
        jobs|jobs*[!0-9]*|other*|next*) kiln_kind=other ;;
        *)
            kiln_number=${kiln_number:-${kiln_next[0]}}
            case ${kiln_number#"${kiln_number%%[!0]*}"} in
            '') kiln_kind=other ;;
            1) kiln_jobs=one ;;
            *) kiln_jobs=many ;;
            esac ;;
        esac
        if [[ $kiln_kind == other ]]; then
            kiln_others+=("$kiln_word" "${kiln_next[@]}")
        elif [[ ${kiln_before#-} ]]; then
            kiln_others+=("$kiln_before")
        fi
    done
}

# Splits the value of MAKEFLAGS into kiln_words, where a backslash keeps a blank.
kiln_split() {
    kiln_words=() kiln_text=$1 kiln_pattern='^[[:space:]]*(([^\\[:space:]]|\\.?)+)'
    while [[ $kiln_text =~ $kiln_pattern ]]; do
        kiln_words+=("${BASH_REMATCH[1]}")
        kiln_text=${kiln_text#"${BASH_REMATCH[0]}"}
    done
    case ${kiln_words[0]-} in
    ''|-*|*=*) ;;
    *) kiln_words[0]=-${kiln_words[0]} ;;
    esac
}

# Prints what makes of a call one that uses the run's jobserver, where it would have jobs of its own.
kiln_call() {
    LC_ALL=C kiln_jobserver=@JOBSERVER@ kiln_kernel=@KERNEL@
    kiln_asked= kiln_shared= kiln_exports=
    set -f
    for kiln_name in GNUMAKEFLAGS MAKEFLAGS; do
        kiln_split "${!kiln_name-}"
        kiln_read "${kiln_words[@]}"
        kiln_asked=${kiln_jobs:-$kiln_asked}
        kiln_shared=${kiln_has_jobserver:-$kiln_shared}
        if [[ $kiln_name == MAKEFLAGS ]]; then
            for kiln_number in ${kiln_jobserver//[!0-9]/ }; do
                [[ -e /proc/self/fd/$kiln_number ]] || kiln_jobserver=
            done
            kiln_others=(${kiln_jobserver:+"$kiln_jobserver"} "${kiln_others[@]}")
        fi
        if [[ ${!kiln_name+set} || ${kiln_others[*]} ]]; then
            kiln_text="${kiln_others[*]}"
            kiln_exports+="export $kiln_name=${kiln_text@Q};"
        fi
    done
    kiln_read "$@"
    case ${kiln_jobs:-$kiln_asked} in
    one) return ;;
    '') [[ $kiln_is_kbuild ]] || return ;;
    esac
    printf 'set -- %s;' "${kiln_others[*]@Q}"
    [[ $kiln_shared ]] || printf '%s' "$kiln_exports"
}

eval "$(kiln_call "$@")"
exec -a "${0##*/}" @MAKE@ "$@"
