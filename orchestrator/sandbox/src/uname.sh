#!/bin/sh
# Answers for the kernel that is built for. It asks the environment for nothing, and no function of that
# name comes before the shell's own echo.
unset -f echo
@NAMES@
s= n= r= v= m= p= i= o= operands=

refuse() {
    echo "uname: $1
Try 'uname --help' for more information." >&2
    exit 1
}

while :; do
    case $#,${1-} in
    0,*) break ;;
    *,--) shift && break ;;
    *,--*=*)
        option=${1%%=*}
        case $option in
        --all|--kernel-[nrv]*|--nodename|--machine|--processor|--hardware-platform|--operating-system)
            refuse "option '$option' doesn't allow an argument" ;;
        *) refuse "unrecognized option '$1'" ;;
        esac ;;
    *,--?*)
        # An option may be cut short where no other begins so.
        case $1 in
        --k|--ke|--ker|--kern|--kerne|--kernel|--kernel-)
            refuse "option '$1' is ambiguous; possibilities: '--kernel-name' '--kernel-release' '--kernel-version'" ;;
        --h) refuse "option '$1' is ambiguous; possibilities: '--hardware-platform' '--help'" ;;
        esac
        case --all in "$1"*) s=1 n=1 r=1 v=1 m=1 o=1 && shift && continue ;; esac
        case --kernel-name in "$1"*) s=1 && shift && continue ;; esac
        case --nodename in "$1"*) n=1 && shift && continue ;; esac
        case --kernel-release in "$1"*) r=1 && shift && continue ;; esac
        case --kernel-version in "$1"*) v=1 && shift && continue ;; esac
        case --machine in "$1"*) m=1 && shift && continue ;; esac
        case --processor in "$1"*) p=1 && shift && continue ;; esac
        case --hardware-platform in "$1"*) i=1 && shift && continue ;; esac
        case --operating-system in "$1"*) o=1 && shift && continue ;; esac
        case --version in "$1"*) echo "uname (kiln) for kernel $release" && exit ;; esac
        case --help in "$1"*)
            echo 'Usage: uname [OPTION]...
Print what is known of the kernel that is built for: -s its name, -n the name of the host, -r the release,
-v the version, -m the machine, -p the processor, -i the hardware platform, -o the operating system, -a all.'
            exit ;;
        esac
        refuse "unrecognized option '$1'" ;;
    *,-?*)
        flags=${1#-}
        while :; do
            rest=${flags#?}
            flag=${flags%"$rest"}
            case $flag in
            '') break ;;
            a) s=1 n=1 r=1 v=1 m=1 o=1 ;;
            s) s=1 ;; n) n=1 ;; r) r=1 ;; v) v=1 ;; m) m=1 ;; p) p=1 ;; i) i=1 ;; o) o=1 ;;
            *) refuse "invalid option -- '$flag'" ;;
            esac
            flags=$rest
        done ;;
    *) operands=${operands:-"$1"} ;;
    esac
    shift
done
case $#,$operands in
0,) ;;
*) refuse "extra operand '${operands:-${1-}}'" ;;
esac
s=${s:-${n:+0}${r:+0}${v:+0}${m:+0}${p:+0}${i:+0}${o:+0}}
set --
case $s in 1|'') set -- Linux ;; esac
set -- "$@" ${n:+kiln} ${r:+"$release"} ${v:+'#1 SMP'} ${m:+"$machine"} ${p:+unknown} ${i:+unknown} ${o:+GNU/Linux}
echo "$*"
