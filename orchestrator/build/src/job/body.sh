# Builds one package for one kernel, step by step as dkms does, inside a sandbox.
# The settings above come from the package's dkms.conf and from the kernel.
shopt -s extglob
umask 022
ulimit -c 0
parallel_jobs=1
export module module_version kernelver arch
kiln_build=$kiln_package/build
kiln_result=$kiln_package/$kernelver/$arch
kernel_config=$kernel_source_dir/include/config/auto.conf
[[ -e $kernel_config ]] || kernel_config=$kernel_source_dir/.config

kiln_phase() {
    [[ ! $KILN_PHASE_FD ]] || printf '%s\n' "$1" >&"$KILN_PHASE_FD"
}

# Runs the shell command $2 under the title $1.
kiln_step() {
    local kiln_status
    printf '\n%s\n# command: %s\n' "$1" "$2"
    SECONDS=0
    ( eval "$2" )
    kiln_status=$?
    printf '\n# exit code: %s\n# elapsed time: %02d:%02d:%02d\n%s\n' "$kiln_status" \
        $((SECONDS / 3600)) $((SECONDS / 60 % 60)) $((SECONDS % 60)) \
        ----------------------------------------------------------------
    return "$kiln_status"
}

kiln_fail() {
    printf '%s\n' "$2"
    exit "$1"
}

# Ends the job after a command's status $1: with $2, unless a signal ended the command,
# which says nothing about the package.
kiln_end() {
    [[ $1 -gt 128 && $1 -lt 160 ]] && exit "$1"
    exit "$2"
}

# Runs the script of the directive $1, with its arguments $2: the owner of the machine may
# have put another one into /etc/dkms.
kiln_hook() {
    local kiln_directory=$kiln_build
    [[ $2 ]] || return 0
    [[ -x /etc/dkms/$module/${2%% *} ]] && kiln_directory=/etc/dkms/$module
    if [[ ! -x $kiln_directory/${2%% *} ]]; then
        printf 'Warning: The %s script is not executable.\n' "$1"
        return 0
    fi
    kiln_phase "$1"
    kiln_step "Running the $1 script" "cd $kiln_directory/ && $kiln_directory/$2"
}

# The first word on this channel says that the script runs: what failed before was the sandbox.
kiln_phase begun

# The compiler and linker, as dkms chooses them.
unset CC
[[ $kiln_required_cc ]] && export CC=$kiln_required_cc
if command -v "$kiln_built_with" > /dev/null; then
    export CC=$kiln_built_with KERNEL_CC=$kiln_built_with
fi
if [[ $kiln_clang ]] && command -v clang > /dev/null; then
    export CC=clang KERNEL_CC=clang
fi
if [[ $kiln_lld ]] && command -v ld.lld > /dev/null; then
    export LD=ld.lld KERNEL_LD=ld.lld
fi

# The modules that this one depends on, as they are once they are installed.
if [[ -d $kiln_installed ]] && command -v depmod > /dev/null; then
    depmod -b "$kiln_installed" "$kernelver" > /dev/null 2>&1
fi

cd "$kiln_build" || exit 15
if [[ -d /etc/dkms/$module/patches ]]; then
    mkdir -p patches && cp -R /etc/dkms/"$module"/patches/. patches/ || exit 15
fi

for kiln_patch in "${kiln_patches[@]}"; do
    kiln_phase patch
    [[ -e patches/$kiln_patch ]] ||
        kiln_fail 65 "Patch $kiln_patch as specified in dkms.conf cannot be found in patches/."
    kiln_step "Applying patch $kiln_patch" "patch -p1 < ./patches/$kiln_patch" ||
        kiln_fail 66 "Application of patch $kiln_patch failed."
done

kiln_hook pre_build "$kiln_pre_build" || kiln_end $? 68

kiln_phase make
kiln_step "Building module(s)" "$kiln_make" || kiln_end $? 70

kiln_phase strip
for kiln_module in "${kiln_built[@]}"; do
    [[ -e $kiln_module ]] ||
        kiln_fail 67 "Build of $kiln_module failed: make made no such file. The package names it in BUILT_MODULE_NAME and BUILT_MODULE_LOCATION."
done
mkdir -p "$kiln_result/log" "$kiln_result/module" || exit 71
[[ ! -f Module.symvers ]] || cp -f Module.symvers "$kiln_result/module/" || exit 71
for kiln_index in "${!kiln_built[@]}"; do
    if [[ ${kiln_strip[kiln_index]} == yes ]]; then
        if [[ ${CC-} == clang ]]; then
            llvm-strip -g "${kiln_built[kiln_index]}"
        else
            strip -g "${kiln_built[kiln_index]}"
        fi || exit 71
    fi
    cp -f "${kiln_built[kiln_index]}" "$kiln_result/module/${kiln_dest[kiln_index]}.ko" || exit 71
done

kiln_hook post_build "$kiln_post_build" || kiln_end $? 69

for kiln_name in "${kiln_dest[@]}"; do
    cp "$kiln_result/module/$kiln_name.ko" "$kiln_out/" || exit 71
done
[[ ! -f $kiln_result/module/Module.symvers ]] ||
    cp "$kiln_result/module/Module.symvers" "$kiln_out/" || exit 71

# What POST_BUILD has put beside the modules, for other packages to build with.
if [[ $kiln_post_build ]]; then
    mkdir "$kiln_out/beside" && cp -R "$kiln_result/." "$kiln_out/beside" || exit 71
    rm -rf "$kiln_out/beside/log" "$kiln_out/beside/module/Module.symvers"
    for kiln_name in "${kiln_dest[@]}"; do
        rm -f "$kiln_out/beside/module/$kiln_name.ko"
    done
fi
