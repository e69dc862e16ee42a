# Completion of dkms for bash.
# shellcheck shell=bash

# Sets COMPREPLY to those of the words given, a line each, that complete the current one.
_dkms_reply() {
    mapfile -t COMPREPLY < <(compgen -W "$1" -- "$cur")
}

# The value of the last option $1 on the line so far.
_dkms_value_of() {
    local i
    for ((i = COMP_CWORD - 1; i > 1; i--)); do
        [[ ${COMP_WORDS[i - 1]} == "$1" ]] || continue
        echo "${COMP_WORDS[i]%%/*}"
        return
    done
}

# NAME/VERSION of what can be added, or is registered.
_dkms_packages() {
    local path version
    if [[ $1 == add ]]; then
        for path in /usr/src/*/dkms.conf; do
            # Names and versions both may have hyphens.
            version=$(sed -n 's/^PACKAGE_VERSION=["'\'']\?\([^"'\'' ]*\).*/\1/p' "$path" 2>/dev/null)
            path=${path%/dkms.conf} path=${path##*/}
            [[ $version && $path == *-"$version" ]] && echo "${path%-"$version"}/$version"
        done
    fi
    for path in /var/lib/dkms/*/*/source; do
        path=${path%/source}
        [[ -L $path/source ]] && echo "${path#/var/lib/dkms/}"
    done
}

_dkms_kernels() {
    local build
    for build in /lib/modules/*/build; do
        build=${build%/build}
        [[ $build != */\* ]] && echo "${build##*/}"
    done
}

_dkms() {
    local cur=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} word action='' options name
    local actions='add remove build unbuild install uninstall match autoinstall mktarball ldtarball
        status generate_mok kernel_preinst kernel_postinst kernel_prerm'
    COMPREPLY=()
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        [[ " ${actions//$'\n'/ } " == *" $word "* ]] && action=$word
    done

    case $previous in
    -m | --module) _dkms_reply "$(_dkms_packages "$action")"; return ;;
    -v)
        name=$(_dkms_value_of -m)
        _dkms_reply "$(_dkms_packages "$action" | sed -n "s|^${name:-[^/]*}/||p")"
        return
        ;;
    -k | --kernelver | --templatekernel) _dkms_reply "$(_dkms_kernels)"; return ;;
    -a | --arch) _dkms_reply "$(uname -m)"; return ;;
    -j | --directive) return ;;
    -c | --config | --archive)
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        return
        ;;
    --kernelsourcedir | --dkmstree | --sourcetree | --installtree)
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -d -- "$cur")
        return
        ;;
    esac

    if [[ $cur == -* ]]; then
        options='-m -v -k -a --arch -q --quiet -V --version -h --help --verbose --dkmstree --sourcetree
            --installtree --directive'
        case $action in
        add) options+=' -c --no-scripts --rpm_safe_upgrade' ;;
        remove) options+=' --all --no-depmod --no-scripts --rpm_safe_upgrade' ;;
        build) options+=' --all --force --config --kernelsourcedir -j' ;;
        unbuild | uninstall) options+=' --all --no-depmod --no-scripts' ;;
        install)
            options+=' --all --force --force-version-override --no-depmod --modprobe-on-install --symlink-modules'
            options+=' --no-scripts --config --kernelsourcedir -j'
            ;;
        autoinstall | kernel_postinst) options+=' --no-scripts -j' ;;
        match) options+=' --templatekernel --force --no-scripts -j' ;;
        mktarball) options+=' --archive --source-only --binaries-only' ;;
        ldtarball) options+=' --archive --force --no-scripts' ;;
        esac
        _dkms_reply "$options"
    elif [[ ! $action ]]; then
        _dkms_reply "$actions"
    else
        case $action in
        add | build | install | ldtarball)
            _dkms_reply "$(_dkms_packages add)"
            compopt -o filenames 2>/dev/null
            mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -f -- "$cur")
            ;;
        remove | unbuild | uninstall | mktarball | status) _dkms_reply "$(_dkms_packages "$action")" ;;
        esac
    fi
}
complete -F _dkms dkms
