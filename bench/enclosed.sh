#!/bin/sh
# The first process of the bench's own mount and process namespace (started by bench/run). Nothing outlives it, it reaps
# every orphan at once as systemd would (facts: where pid 1 is lazy, deaths look a second late), and mounts made here are
# seen by nobody else.
set -eu

# Without /dev/kvm: all of this is measured under TCG, and where /dev/kvm is there and does not work, libvirt probes QEMU
# anew with every call.
dev=$(mktemp -d /tmp/qward-bench-dev-XXXXXX)
mount -t tmpfs -o mode=0755 dev "$dev"
mknod -m 666 "$dev/null" c 1 3
mknod -m 666 "$dev/zero" c 1 5
mknod -m 666 "$dev/full" c 1 7
mknod -m 666 "$dev/random" c 1 8
mknod -m 666 "$dev/urandom" c 1 9
mknod -m 666 "$dev/tty" c 5 0
mkdir "$dev/net" "$dev/pts" "$dev/shm"
mknod -m 666 "$dev/net/tun" c 10 200
mount --bind /dev/pts "$dev/pts"
mount -t tmpfs -o mode=1777 shm "$dev/shm"
mknod -m 666 "$dev/ptmx" c 5 2
ln -s /proc/self/fd "$dev/fd"
ln -s /proc/self/fd/0 "$dev/stdin"
ln -s /proc/self/fd/1 "$dev/stdout"
ln -s /proc/self/fd/2 "$dev/stderr"
# The old one must go, not only be covered: libvirt moves every mount below /dev that it finds listed.
umount --lazy --recursive /dev
mount --move "$dev" /dev
rmdir "$dev"

status=0
node --disable-warning=ExperimentalWarning bench/main.ts "$@" &
main=$!
# The first process of a namespace gets no default action for signals: Ctrl-C is for main.ts, which cleans up.
trap 'kill -TERM $main 2>/dev/null' INT TERM
while kill -0 "$main" 2>/dev/null; do
  status=0
  wait "$main" || status=$?
done
exit "$status"
