#!/bin/sh
# Init of the demo guest (demo-guest.ts packs it). Switches on the kernel command line, for tests:
#   qward.noacpi       the power button is ignored
#   qward.services=SECONDS  the power button is heard, and shutting down takes so long, as services of an ordinary guest do
#   qward.counter      writes a counter to the first sector of the first disk, with fsync, for ever
#   qward.synced       the same, and says each number once it is synced
#   qward.raw-command  runs /sbin/raw-command, where a test has put it, and says whether it succeeded
#   qward.panic=SECONDS  panics after so long
#   qward.reboot=SECONDS reboots after so long
#   qward.poweroff     powers off as soon as it is up
#   qward.agent        answers as qemu-ga does to guest-sync-delimited, guest-ping and guest-shutdown (a shell, not qemu-ga)
#   qward.qemu-ga      starts Debian's qemu-ga, where guest-agent.ts has put it
#   qward.sshd         starts sshd with what the seed on the second disk says, where guest-sshd.ts has put it
#   qward.runner       does what the seed of a throwaway machine says, where guest-runner.ts has put Python
#   qward.hog=memory   touches all of the guest's memory
#   qward.hog=pids     forks until the guest refuses
#   qward.shares       virtiofs can be mounted
#   qward.net          the first network card is set up by DHCP, and its page `hello from MAC` is served on port 80
#   qward.pour=ADDRESS:PORT  zeroes are sent there as fast as they are taken, with qward.net or from qward.address=ADDRESS
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
word() { sed -n "s/.*qward\.$1=\([^ ]*\).*/\1/p" /proc/cmdline; }
after() { sed -n "s/.*qward\.$1=\([0-9]*\).*/\1/p" /proc/cmdline; }

load base
# virtio-scsi or the IDE controller of `pc`: only then is it worth the second that SCSI takes under TCG.
grep -q -s -i -E '^0x(1004|1048|7010)$' /sys/bus/pci/devices/*/device && load scsi

has qward.shares && load shares

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
  services=$(after services)
  services=${services:-0}
  for input in /sys/class/input/event*; do
    grep -q 'Power Button' "$input/device/name" 2>/dev/null || continue
    exec 3<"/dev/input/${input##*/}"
    { dd bs=24 count=1 <&3 >/dev/null 2>&1; say "power button, shutting down"; [ "$services" = 0 ] || sleep "$services"; poweroff -f; } &
    exec 3<&-
  done
fi

count_on_disk() {
  n=0
  while n=$((n + 1)) && printf '%-511d\n' "$n" | dd of="$1" bs=512 conv=fsync,notrunc 2>/dev/null; do
    if has qward.synced; then say "synced $n"; elif [ $((n % 50)) = 1 ]; then say "counter $n"; fi
  done
  say "counter stopped at $n"
}

agent_port() {
  for port in /sys/class/virtio-ports/*; do
    [ "$(cat "$port/name" 2>/dev/null)" = org.qemu.guest_agent.0 ] && echo "/dev/${port##*/}" && break
  done
}

answer_as_agent() {
  exec 4<>"$(agent_port)"
  while :; do
    # The end of the file is what a port gives to which nobody on the host is connected.
    read -r line <&4 || { usleep 100000; continue; }
    case $line in
      *guest-sync-delimited*) printf '\377{"return": %s}\n' "$(echo "$line" | sed 's/.*"id": *\([0-9]*\).*/\1/')" >&4 ;;
      *guest-ping*) printf '{"return": {}}\n' >&4 ;;
      *guest-shutdown*) say "guest-shutdown, shutting down"; poweroff -f ;;
      *) printf '{"error": {"class": "CommandNotFound", "desc": "the demo guest does not know it"}}\n' >&4 ;;
    esac
  done
}

# As cloud-init would: the seed is found by its label.
follow_seed() {
  for module in cdrom isofs; do insmod "/lib/modules/$module.ko" 2>/dev/null; done
  mkdir -p /run/qward-seed /dev/pts /root
  mount -t devpts devpts /dev/pts
  for disk in /dev/vd?; do
    [ "$(dd if="$disk" bs=1 skip=32808 count=6 2>/dev/null)" = cidata ] || continue
    mount -t iso9660 -o ro "$disk" /run/qward-seed && PATH=/usr/bin:/bin sh /run/qward-seed/start.sh
    return
  done
  say "no seed"
}

set_up_network() {
  ip link set lo up
  ip link set eth0 up
  cat >/tmp/dhcp <<'END'
#!/bin/sh
[ "$1" = bound ] || exit 0
ip address add "$ip/$mask" dev "$interface"
[ -n "$router" ] && ip route add default via "$router"
for server in $dns; do echo "nameserver $server" >>/etc/resolv.conf; done
echo "qward-demo: network $ip/$mask via $router, servers $dns" >/dev/console
END
  chmod 755 /tmp/dhcp
  mkdir -p /etc /tmp/www
  echo "hello from $(cat /sys/class/net/eth0/address)" >/tmp/www/index.html
  httpd -p 80 -h /tmp/www
  udhcpc -i eth0 -x "hostname:$(sed -n 's/.*qward\.name=\([a-z0-9-]*\).*/\1/p' /proc/cmdline)" -q -t 10 -T 2 -s /tmp/dhcp >/dev/null 2>&1
}

# Until the network is there, and again whenever the connection ends.
pour() {
  from=$(word address)
  [ -n "$from" ] && { ip link set eth0 up; ip address add "$from/24" dev eth0; }
  target=$(word pour)
  while :; do nc "${target%:*}" "${target#*:}" </dev/zero >/dev/null 2>&1; sleep 1; done
}

say "up after $(cut -d ' ' -f 1 /proc/uptime) s"
say ready
has qward.poweroff && poweroff -f
has qward.agent && answer_as_agent &
has qward.qemu-ga && /usr/sbin/qemu-ga --method=virtio-serial --path="$(agent_port)" --statedir=/tmp --pidfile=/tmp/qemu-ga.pid &
has qward.net && set_up_network &
[ -n "$(word pour)" ] && pour &
has qward.sshd && /sbin/seeded-sshd &
has qward.runner && follow_seed &
[ -n "$(after panic)" ] && { sleep "$(after panic)"; say panicking; echo c >/proc/sysrq-trigger; } &
[ -n "$(after reboot)" ] && { sleep "$(after reboot)"; say rebooting; reboot -f; } &
{ has qward.counter || has qward.synced; } && for disk in /dev/vda /dev/sda /dev/nvme0n1; do
  [ -b "$disk" ] && count_on_disk "$disk" &
  [ -b "$disk" ] && break
done
has qward.raw-command && { /sbin/raw-command && say "raw command done" || say "raw command refused"; }
has qward.hog=memory && { say "filling memory"; dd if=/dev/zero of=/tmp/fill bs=1M 2>/dev/null; say "memory full"; } &
has qward.hog=pids && { say "forking"; while sleep 1000 & do :; done; say "forks refused"; } &

while :; do setsid cttyhack sh; done
