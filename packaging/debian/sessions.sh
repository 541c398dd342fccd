# Part of postinst and prerm: the sessions of users. Root looks at nothing but /proc; all else is done as the user, who may be hostile:
# within a time, without root's terminal, environment and descriptors, and what it prints is thrown away.

# `PID UID NAME` of each daemon and each QEMU that could be of a session: by the depth of pid namespaces not in a container.
session_processes() {
  own=$(installed_user)
  own=$(id -u "${own:-$default_user}" 2>/dev/null || true)
  ids=$(installed_range)
  grep -sH -e '^Name:' -e '^Uid:' -e '^NSpid:' /proc/[0-9]*/status |
    awk -F '[/:\t]+' -v own="$own" -v first="${ids%-*}" -v last="${ids#*-}" '
      $5 == "Name" { name = NF == 6 ? $6 : "" }
      $5 == "Uid" { uid = $6 }
      $5 != "NSpid" || uid == 0 || uid == own || (uid + 0 >= first + 0 && uid + 0 <= last + 0) { next }
      (NF == 6 && name ~ /^qward-(manager|broker)$/) || (NF == 7 && name ~ /^qemu-system-/) { print $3, uid, name }'
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

# `USER/NAME USER/NAME `
running_session_machines() {
  session_machines | while read -r uid machine _; do printf '%s/%s ' "$(user_name "$uid")" "$machine"; done
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

# Words that run others, without what somebody else left open.
close_descriptors='for fd in /proc/$$/fd/*; do fd=${fd##*/}; [ "$fd" -le 2 ] || exec {fd}>&-; done; exec "$@"'

# as_user UID SECONDS SCRIPT ARGUMENT...
as_user() {
  home=$(getent passwd "$1" | cut -d : -f 6)
  group=$(id -g "$1" 2>/dev/null) || return 1
  id=$1
  seconds=$2
  script=$3
  shift 3
  # A terminal would take keys from the user, and a descriptor of debconf's answers.
  (
    cd /
    exec timeout -k 5 "$seconds" setsid env -i "HOME=$home" "XDG_RUNTIME_DIR=/run/user/$id" \
      PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 bash -c "$close_descriptors" bash \
      setpriv --reuid "$id" --regid "$group" --init-groups -- sh -c "$script" sh "$@"
  ) </dev/null >/dev/null 2>&1
}

# Scripts of the user's, with the pids of the session's managers. Where they were started with other places, so is what comes after them.
restart_session='
systemctl --user daemon-reload && systemctl --user try-restart qward-session.service
for pid; do
  places=$(grep -z -e "^HOME=" -e "^XDG_" "/proc/$pid/environ" | tr "\\0" "\\n") || continue
  kill "$pid" || continue
  while readlink "/proc/$pid/exe"; do sleep 0.1; done
  printf "%s\n" "$places" qward --session list --quiet | xargs -d "\n" env
done'
stop_session_machines='
{ grep -z -e "^HOME=" -e "^XDG_" "/proc/$1/environ" || printf "%s\0" "HOME=$HOME"; printf "%s\0" qward --session stop --all; } | xargs -0 env'
end_session='
systemctl --user stop qward-session-autostart.service qward-session.socket qward-session.service qward-session-machines.service qward.slice
kill "$@"
for pid; do while readlink "/proc/$pid/exe"; do sleep 0.1; done; done'

# All at once; machines go on. Prints whose manager is still the former one.
restart_sessions() {
  before=$(session_daemons qward-manager)
  for uid in $(session_uids); do
    # shellcheck disable=SC2046
    as_user "$uid" 90 "$restart_session" $(of_uid "$uid" "$before") || true &
  done
  wait
  session_daemons qward-manager | while read -r uid pid; do
    if echo "$before" | grep -qx "$uid $pid"; then user_name "$uid"; fi
  done
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
  session_daemons 'qward-*' | while read -r uid pid; do as_user "$uid" 5 'kill -KILL "$1"' "$pid" || true; done
}
