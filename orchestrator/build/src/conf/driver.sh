# Evaluates DKMS configuration files the way dkms 3.4 does, and writes what they set.
#
# A dkms.conf is a bash program. dkms sources each file in a subshell, prints every known
# directive as an assignment (its value split into words and joined by single blanks, a
# carriage return at its end taken off) and evaluates those assignments: a value is thus
# expanded twice, and packages rely on it. The same two steps happen here.
#
# Input:  KILN_* variables.  Output: $KILN_OUT, records of three NUL-terminated strings:
# directive, index, value; `=~DIRECTIVE` records say which regular expressions match.
shopt -s extglob
umask 022
ulimit -c 0 -f 16384

kiln_out=$KILN_OUT
# What failed before this was the sandbox, not the conf.
: > "$KILN_OUT.begun"
kiln_mode=$KILN_MODE
kiln_names=$KILN_NAMES
kiln_source=$KILN_SOURCE
kiln_conf=$KILN_CONF
kiln_dump=$KILN_OUT.dump
kernelver=$KILN_KERNEL
arch=$KILN_ARCH
kernel_source_dir=$KILN_KERNEL_DIR
dkms_tree=$KILN_DKMS_TREE
source_tree=$KILN_SOURCE_TREE
install_tree=$KILN_INSTALL_TREE
module=$KILN_MODULE
module_version=$KILN_VERSION
parallel_jobs=1
tmp_location=/tmp
build_environment=$KILN_BUILD_ENVIRONMENT
if [[ -e $kernel_source_dir/include/config/auto.conf ]]; then
    kernel_config=$kernel_source_dir/include/config/auto.conf
else
    kernel_config=$kernel_source_dir/.config
fi
kiln_config=$kernel_config
# What the user directs after all files: KILN_DIRECTIVE_0, KILN_DIRECTIVE_1 and so on.
kiln_directives=()
kiln_name=KILN_DIRECTIVE_0
while [[ ${!kiln_name+set} ]]; do
    kiln_directives+=("${!kiln_name}")
    kiln_name=KILN_DIRECTIVE_${#kiln_directives[@]}
done
for kiln_name in "${!KILN_@}"; do
    unset "$kiln_name"
done

# Prints one record.
kiln_record() {
    printf '%s\0%s\0%s\0' "$1" "$2" "$3" >> "$kiln_out"
}

# Prints the assignments for all directives of the list $1 that are set.
kiln_assignments() {
    local kiln_name kiln_key kiln_value kiln_text kiln_words kiln_cr=$'\r'
    local -a kiln_keys
    set -f
    for kiln_name in $1; do
        eval "kiln_keys=(\"\${!$kiln_name[@]}\")"
        for kiln_key in "${kiln_keys[@]}"; do
            eval "kiln_value=\${$kiln_name[\$kiln_key]}"
            kiln_text="${kiln_name}[$kiln_key]=\"${kiln_value%"$kiln_cr"}\""
            kiln_words=( $kiln_text )
            printf '%s\n' "${kiln_words[*]}"
        done
    done
    # To list variables takes bash a time that grows with the square of their number, and a conf that
    # sources a kernel's configuration has thousands. Nothing needs these any more.
    if [[ ${CONFIG_MODULES+set} ]]; then
        mapfile -t kiln_keys < "$kiln_config"
        kiln_keys=("${kiln_keys[@]#CONFIG_}")
        kiln_keys=("${kiln_keys[@]%%[!A-Za-z0-9_]*}")
        unset -v "${kiln_keys[@]/#/CONFIG_}"
    fi 2> /dev/null
    # A conf sets any variable at all by one named DKMS_DIRECTIVE..., with a value NAME=VALUE.
    # dkms takes it from the listing of all variables, in which bash quotes what is special.
    [[ ${!DKMS_DIRECTIVE@} ]] || return 0
    for kiln_text in $(set | grep ^DKMS_DIRECTIVE | cut -d = -f 2-3); do
        printf '%s="%s"\n' "${kiln_text%%=*}" "${kiln_text#*=}"
    done
}

# Sources the file $1 and takes over the directives of the list $2.
kiln_read() {
    (
        exec 7> "$kiln_dump" > /dev/null
        . "$1"
        IFS=$' \t\n'
        kiln_assignments "$2" >&7
    )
    local kiln_status=$?
    . "$kiln_dump"
    return $kiln_status
}

# Takes over what the user directs. Nothing here is expanded a second time. dkms exports it:
# what no conf has made an array, which cannot be exported, every build command sees.
kiln_direct() {
    local kiln_directive kiln_name kiln_value
    for kiln_directive in "${kiln_directives[@]}"; do
        kiln_name=${kiln_directive%%=*}
        kiln_value=${kiln_directive#*=}
        export "$kiln_name"="$kiln_value" || continue
        [[ $(declare -p "$kiln_name") == 'declare -a'* ]] ||
            kiln_record @environment "$kiln_name" "$kiln_value"
        export -n "$kiln_name"
    done
}

# Writes the records of all directives of the list $1.
kiln_write() {
    local kiln_name kiln_key kiln_value kiln_subject kiln_pattern
    local -a kiln_keys
    for kiln_name in $1; do
        eval "kiln_keys=(\"\${!$kiln_name[@]}\")"
        for kiln_key in "${kiln_keys[@]}"; do
            eval "kiln_value=\${$kiln_name[\$kiln_key]}"
            kiln_record "$kiln_name" "$kiln_key" "$kiln_value"
            case $kiln_name in
            MAKE_MATCH|PATCH_MATCH|BUILD_EXCLUSIVE_KERNEL) kiln_subject=$kernelver ;;
            BUILD_EXCLUSIVE_ARCH) kiln_subject=$arch ;;
            *) continue ;;
            esac
            kiln_pattern=$kiln_value
            [[ $kiln_subject =~ $kiln_pattern ]] &&
                kiln_record "=~$kiln_name" "$kiln_key" ""
        done
    done
}

: > "$kiln_out"
cd /tmp || exit 1

if [[ $kiln_mode == framework ]]; then
    for kiln_file in /etc/dkms/framework.conf /etc/dkms/framework.conf.d/*.conf; do
        [[ -f $kiln_file ]] || continue
        kiln_read "$kiln_file" "$kiln_names"
        # It was killed: what it would have said is not known.
        (( $? > 128 )) && exit 1
    done
    kiln_write "$kiln_names"
    kiln_record @done "" ""
    exit 0
fi

# What the kernel's own Makefile fragment makes of CC.
if [[ $kiln_mode == kernelvariables ]]; then
    kiln_cc=$(printf 'include %s\nkiln-cc:\n\t@printf "%%s" "$(strip $(CC))"\n' \
        "$kernel_source_dir/.kernelvariables" | make -s -f - kiln-cc 2> /dev/null)
    kiln_record CC 0 "$kiln_cc"
    kiln_record @done "" ""
    exit 0
fi

# A conf may read what is beside it by a relative path.
cd "$kiln_source" || exit 1

# Of a package that came as a path only the name is found out: it is evaluated once more under that.
if [[ ! $module ]]; then
    kiln_names="PACKAGE_NAME PACKAGE_VERSION"
    kiln_read "${kiln_conf:-$kiln_source/dkms.conf}" "$kiln_names"
    kiln_direct
    kiln_write "$kiln_names"
    kiln_record @module 0 "$PACKAGE_NAME"
    kiln_record @module 1 "$PACKAGE_VERSION"
    kiln_record @done "" ""
    exit 0
fi
kiln_record @module 0 "$module"
kiln_record @module 1 "$module_version"

# dkms finds the conf below its tree, unless the user names another; a conf that looks around
# itself finds the same.
kiln_found=$kiln_source/dkms.conf
case /$module/$module_version/ in
*//*|*/../*|*/./*) ;;
*)
    if [[ -e $dkms_tree/$module/$module_version/source/dkms.conf ]]; then
        kiln_found=$dkms_tree/$module/$module_version/source/dkms.conf
    fi
    ;;
esac

# Bash goes on after a syntax error with whatever it had read before.
bash -O extglob -n "${kiln_conf:-$kiln_found}" 2> /dev/null
kiln_record @syntax 0 "$?"
kiln_read "${kiln_conf:-$kiln_found}" "$kiln_names"
kiln_record @status 0 "$?"
for kiln_file in \
    "/etc/dkms/$module.conf" \
    "/etc/dkms/$module-$module_version.conf" \
    "/etc/dkms/$module-$module_version-$kernelver.conf" \
    "/etc/dkms/$module-$module_version-$kernelver-$arch.conf" \
    "/etc/dkms/$module--$kernelver.conf" \
    "/etc/dkms/$module--$kernelver-$arch.conf"
do
    [[ -f $kiln_file ]] && kiln_read "$kiln_file" "$kiln_names"
done
kiln_direct
kiln_write "$kiln_names"

# The exported variables of a build environment file.
if [[ $build_environment && -f $build_environment ]]; then
    (
        . "$build_environment" &> /dev/null
        while IFS= read -r kiln_name; do
            case $kiln_name in
            PWD|OLDPWD|SHLVL|_) ;;
            *) kiln_record @environment "$kiln_name" "${!kiln_name}" ;;
            esac
        done < <(compgen -e)
    )
fi
kiln_record @done "" ""
