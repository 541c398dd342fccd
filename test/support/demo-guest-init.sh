#!/bin/sh
# Init of the demo guest (demo-guest.ts packs it). Switches on the kernel command line, for tests:
#   qward.noacpi       the power button is ignored
#   qward.counter      writes a counter to the first sector of the first disk, with fsync, for ever
#   qward.poweroff     powers off as soon as it is up
#   qward.hog=memory   touches all of the guest's memory
#   qward.hog=pids     forks until the guest refuses
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs -o size=100% tmp /tmp
exec </dev/console >/dev/console 2>&1
dmesg -n 1

has() { grep -q -w -- "$1" /proc/cmdline; }
load() { while read -r module; do insmod "/lib/modules/$module"; done <"/lib/modules/$1.list" 2>/dev/null; }
say() { echo "qward-demo: $*"; }

load base
# virtio-scsi or the IDE controller of `pc`: only then is it worth the second that SCSI takes under TCG.
grep -q -s -i -E '^0x(1004|1048|7010)$' /sys/bus/pci/devices/*/device && load scsi

say "Linux $(uname -r), $(nproc) CPU, $(awk '/^MemTotal/ { print int($2 / 1024) }' /proc/meminfo) MiB"
for disk in /sys/class/block/vd? /sys/class/block/sd? /sys/class/block/nvme*n1; do
  [ -e "$disk/size" ] && say "disk ${disk##*/}, $(($(cat "$disk/size") / 2048)) MiB"
done
for nic in /sys/class/net/e*; do
  [ -e "$nic/address" ] && say "network card ${nic##*/}, $(cat "$nic/address")"
done

# The kernel gives the power button as an input device: any event from it means that it was pressed. It is opened here,
# so that a press right after "ready" waits in the queue.
if ! has qward.noacpi; then
  for input in /sys/class/input/event*; do
    grep -q 'Power Button' "$input/device/name" 2>/dev/null || continue
    exec 3<"/dev/input/${input##*/}"
    { dd bs=24 count=1 <&3 >/dev/null 2>&1; say "power button, shutting down"; poweroff -f; } &
    exec 3<&-
  done
fi

count_on_disk() {
  n=0
  while n=$((n + 1)) && printf '%-511d\n' "$n" | dd of="$1" bs=512 conv=fsync,notrunc 2>/dev/null; do
    [ $((n % 50)) = 1 ] && say "counter $n"
  done
  say "counter stopped at $n"
}

say "up after $(cut -d ' ' -f 1 /proc/uptime) s"
say ready
has qward.poweroff && poweroff -f
has qward.counter && for disk in /dev/vda /dev/sda /dev/nvme0n1; do
  [ -b "$disk" ] && count_on_disk "$disk" &
  [ -b "$disk" ] && break
done
has qward.hog=memory && { say "filling memory"; dd if=/dev/zero of=/tmp/fill bs=1M 2>/dev/null; say "memory full"; } &
has qward.hog=pids && { say "forking"; while sleep 1000 & do :; done; say "forks refused"; } &

while :; do setsid cttyhack sh; done
