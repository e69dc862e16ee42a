# The first process of a test's machine: a mount and a process namespace, whose trees are
# those of the world. Lives until its standard input ends, and the machine with it.
#
# usage: machine.sh WORLD CACHE LAYERED...
# LAYERED are directories that the test adds files to; below WORLD/files are the files.
world=$1 cache=$2
shift 2

# Lets a directory be written to without a change to the real one.
layer() {
    mkdir -p "$world/layers/upper$1" "$world/layers/work$1"
    mount -t overlay overlay \
        -o "lowerdir=$1,upperdir=$world/layers/upper$1,workdir=$world/layers/work$1" "$1"
}

# Puts a directory of the world at its place in the machine.
place() {
    [ -d "$1" ] || [ ! -d "${1%/*}" ] || layer "${1%/*}"
    mkdir -p "$1"
    mount --bind "$world$1" "$1"
}

for place in /var/tmp "$world" "$cache"; do mount --bind "$place" "$place"; done
mount -t tmpfs -o mode=755 none "$world/layers"
# As everywhere, it can be written to; nothing of the real one is of use here.
mount -t tmpfs -o mode=755 none /run
layer /etc
for directory; do layer "$directory"; done

# Kernel headers stay in /usr/src; what else is there does not show.
for headers in /usr/src/linux-* /usr/src/kernels; do
    if [ -L "$headers" ]; then
        cp -P "$headers" "$world$headers"
    elif [ -d "$headers" ]; then
        mkdir -p "$world$headers"
        mount --bind "$headers" "$world$headers"
    fi
done
mount --rbind "$world/usr/src" /usr/src
for tree in /lib/modules /var/lib/dkms /etc/dkms; do place "$tree"; done

# Whatever a test does, what is not its own stays as it is.
mount -o remount,bind,ro /
# A link that is there already is replaced, never followed.
cp -R --remove-destination "$world/files/." /

echo ready
read -r _ || :
