# Part of postinst and prerm: the sessions of users. Root looks at nothing but /proc; all else is done as the user, who may be hostile:
# within a time, without root's terminal, environment, descriptors, keyring and login session, and what it prints is thrown away.

# `PID UID NAME` of each daemon and each QEMU that could be of a session: by the depth of pid namespaces not in a container. No user
# makes the list longer than 1000 of each kind. Fails where it could not look at all of them.
session_processes() {
  own=$(installed_user)
  own=$(id -u "${own:-$default_user}" 2>/dev/null || true)
  ids=$(installed_range)
  {
    # 123: some have ended meanwhile.
    printf '%s\0' /proc/[0-9]*/status | xargs -0 grep -sH -e '^Name:' -e '^Uid:' -e '^NSpid:' || [ $? = 123 ] || exit 1
    echo whole
  } |
    awk -F '[/:\t]+' -v own="$own" -v first="${ids%-*}" -v last="${ids#*-}" '
      $0 == "whole" { whole = NR > 1 }
      $5 == "Name" { name = NF == 6 ? $6 : "" }
      $5 == "Uid" { uid = $6 }
      $5 != "NSpid" || uid == 0 || uid == own || (uid + 0 >= first + 0 && uid + 0 <= last + 0) { next }
      (NF == 6 && name ~ /^qward-(manager|broker)$/) || (NF == 7 && name ~ /^qemu-system-/) {
        if (++count[uid, NF] <= 1000) print $3, uid, name
      }
      END { exit !whole }'
}

# `UID PID` of daemons whose name is like this, and whose program is the package's, whichever version's.
session_daemons() {
  session_processes | while read -r pid uid name; do
    # shellcheck disable=SC2254
    case $name:$(readlink "/proc/$pid/exe") in $1:/usr/lib/qward/*) echo "$uid $pid" ;; esac
  done
}

# `UID NAME PID`: a jail's root is the directory of its machine.
session_machines() {
  session_processes | while read -r pid uid name; do
    case $name in qward-*) continue ;; esac
    sed -n "s,^[0-9]* [0-9]* [0-9:]* /[^ ]*/broker/bundles/\([a-z0-9.-]*\)/root / .*,$uid \1 $pid,p" "/proc/$pid/mountinfo" 2>/dev/null || true
  done | sort -u
}

user_name() {
  name=$(getent passwd "$1" | cut -d : -f 1 | tr -cd 'A-Za-z0-9._-')
  echo "${name:-$1}"
}

# `USER/NAME USER/NAME and 1 more `
running_session_machines() {
  session_machines | {
    count=0
    while read -r uid machine _; do
      count=$((count + 1))
      if [ "$count" -le 20 ]; then printf '%s/%s ' "$(user_name "$uid")" "$machine"; fi
    done
    if [ "$count" -gt 20 ]; then printf 'and %s more ' "$((count - 20))"; fi
  }
}

# Of the lines of a list, the second words of a uid.
of_uid() { printf '%s\n' "$2" | awk -v uid="$1" '$1 == uid { print $2 }'; }

# Whoever has a daemon, a machine, or a systemd that holds the session's socket.
session_uids() {
  {
    session_processes | cut -d ' ' -f 2
    if [ -d /run/systemd/system ]; then
      systemctl --system list-units --no-legend --plain --state=active 'user@*.service' 2>/dev/null |
        sed -n 's/^user@\([0-9]*\)\.service .*/\1/p'
    fi
  } | sort -u | grep -vx 0 || true
}

# Where systemd is not: words that run others, without what somebody else left open, and outside of the cgroup by which elogind knows
# root's session. Root's limits remain, and so does what leaves the process group within the time: as the user's, who had processes before.
without_session='for fd in /proc/$$/fd/*; do fd=${fd##*/}; [ "$fd" -le 2 ] || exec {fd}>&-; done
for file in /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/elogind/cgroup.procs; do [ ! -e "$file" ] || echo 0 >"$file"; done
[ ! -e /proc/self/loginuid ] || echo "$1" >/proc/$$/loginuid
shift; exec "$@"'
# keyctl(KEYCTL_JOIN_SESSION_KEYRING), as on amd64: a new and empty one. A host without keyrings has none of root's either.
new_keyring='syscall(250, 1, 0); exec @ARGV'
# What a script leaves behind under systemd ends with it; "forking": it stays, as a service of its own.
service=oneshot

# as_user UID SECONDS SCRIPT ARGUMENT...
as_user() {
  account=$(getent passwd "$1" | awk -F : -v uid="$1" '$3 == uid { print $4 ":" $6; exit }')
  # The digits can be another account's name.
  if [ -z "$account" ] || [ "$(id -u "$1" 2>/dev/null)" != "$1" ]; then return 1; fi
  group=${account%%:*}
  home=${account#*:}
  id=$1
  seconds=$2
  script=$3
  shift 3
  # A terminal would take keys from the user, and a descriptor of debconf's answers.
  (
    cd /
    if [ -d /run/systemd/system ]; then
      # systemd takes $$ for $.
      script=$(printf '%s' "$script" | sed 's/\$/$$/g')
      exec timeout -k 5 "$((seconds + 30))" systemd-run --quiet --collect --uid "$id" --slice "user-$id.slice" \
        -p "Type=$service" -p GuessMainPID=no -p KillMode=control-group -p "TimeoutStartSec=$seconds" -p TimeoutStopSec=5 \
        -p StandardOutput=null -p StandardError=null -E "HOME=$home" -E "XDG_RUNTIME_DIR=/run/user/$id" \
        -E PATH=/usr/sbin:/usr/bin:/sbin:/bin -E LANG=C.UTF-8 /bin/sh -c "$script" sh "$@"
    fi
    exec setsid --wait env -i "HOME=$home" "XDG_RUNTIME_DIR=/run/user/$id" PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
      bash -c "$without_session" bash "$id" timeout -k 5 "$seconds" perl -e "$new_keyring" \
      chroot --userspec "+$id:+$group" / sh -c "$script" sh "$@"
  ) </dev/null >/dev/null 2>&1
}

# Scripts of the user's, with the pids of the session's managers. Where they were started with other places, so is what comes after them:
# lines of the environment, a newline within one made a control character.
places='places() { tr "\n\0" "\001\n" <"/proc/$1/environ" | LC_ALL=C grep -axE "(HOME|XDG_[A-Z_]+)=/[^[:cntrl:]]*" || echo "HOME=$HOME"; }'
restart_session=$places'
systemctl --user daemon-reload && systemctl --user try-restart qward-session.service
for pid; do
  places=$(places "$pid")
  kill "$pid" || continue
  while readlink "/proc/$pid/exe"; do sleep 0.1; done
  printf "%s\n" "$places" qward --session list --quiet | xargs -d "\n" env
done'
stop_session_machines=$places'
{ places "$1"; printf "%s\n" qward --session stop --all; } | xargs -d "\n" env'
end_session='
systemctl --user stop qward-session-autostart.service qward-session.socket qward-session.service qward-session-machines.service qward.slice
kill "$@"
for pid; do while readlink "/proc/$pid/exe"; do sleep 0.1; done; done'

# All at once; machines go on. Prints whose manager is still the former one.
restart_sessions() {
  before=$(session_daemons qward-manager)
  for uid in $(session_uids); do
    # shellcheck disable=SC2046
    { service=forking; as_user "$uid" 90 "$restart_session" $(of_uid "$uid" "$before") || true; } &
  done
  wait
  session_daemons qward-manager | while read -r uid pid; do
    if echo "$before" | grep -qx "$uid $pid"; then user_name "$uid"; fi
  done | sort -u
}

# Of a list `UID PID`, as the users, all at once.
kill_of_users() {
  for uid in $(echo "$1" | cut -d ' ' -f 1 | sort -u); do
    # shellcheck disable=SC2046
    as_user "$uid" 10 'kill -KILL "$@"; for pid; do while kill -0 "$pid"; do sleep 0.1; done; done' $(of_uid "$uid" "$1") || true &
  done
  wait
}

# Each within the time of its definition, all of a user's within five minutes.
stop_session_machines() {
  managers=$(session_daemons qward-manager)
  for uid in $(session_machines | cut -d ' ' -f 1 | sort -u); do
    as_user "$uid" 300 "$stop_session_machines" "$(of_uid "$uid" "$managers" | head -n 1)" || true &
  done
  wait
}

end_sessions() {
  daemons=$(session_daemons 'qward-*')
  for uid in $(session_uids); do
    # shellcheck disable=SC2046
    as_user "$uid" 60 "$end_session" $(of_uid "$uid" "$daemons") || true &
  done
  wait
  kill_of_users "$(session_daemons 'qward-*')"
}
