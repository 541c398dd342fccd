# Part of config, postinst, prerm and postrm: the names and the range of uids that the administrator chose. What is installed
# counts; debconf only asks.
LC_ALL=C
export LC_ALL
settings=/etc/default/qward
policy=/etc/qward/policy.json
made=/var/lib/qward/installed-accounts
range_account=qward-machines

default_user=qward
default_operators=qward-operators
default_administrators=qward-admin
default_range=1879048192-1879113727

installed_user() {
  if [ -f "$settings" ]; then sed -n 's/^QWARD_USER="\{0,1\}\([^"]*\)"\{0,1\}$/\1/p' "$settings" | tail -n 1; fi
}

# The value of a key of the policy, where it stands on one line; nothing for one that is left out.
policy_value() {
  if [ -f "$policy" ]; then
    sed -n "/^[[:space:]]*\/\//d; s/.*\"$1\"[[:space:]]*:[[:space:]]*\"\{0,1\}\([^\",} ]*\).*/\1/p" "$policy" | head -n 1
  fi
}

installed_operators() {
  value=$(policy_value operators)
  echo "${value:-$default_operators}"
}

installed_administrators() {
  value=$(policy_value administrators)
  echo "${value:-$default_administrators}"
}

installed_range() {
  base=$(policy_value base)
  count=$(policy_value count)
  first=${base:-${default_range%-*}}
  echo "$first-$((first + ${count:-65536} - 1))"
}

# Each of these prints why an answer cannot be used, or nothing.
name_fault() {
  case $1 in
    '' | [!a-z_]* | *[!a-z0-9_-]*) echo "\"$1\" is no name: small letters, digits, - and _, a letter first" ;;
    *) if [ "${#1}" -gt 31 ]; then echo "\"$1\" is longer than 31 characters"; fi ;;
  esac
}

# The comment marks accounts that an earlier installation or `qward host up` made.
user_fault() {
  fault=$(name_fault "$1")
  comment=$(getent passwd "$1" | cut -d : -f 5) || true
  if [ -n "$fault" ]; then
    echo "$fault"
  elif [ "$1" = root ] || [ "$1" = "$range_account" ]; then
    echo "the manager cannot be \"$1\""
  elif getent passwd "$1" >/dev/null && [ "$1" != "$(installed_user)" ] && [ "$comment" != 'qward manager' ]; then
    echo "there is an account \"$1\" already, and the manager's must be nobody else's"
  elif ! getent passwd "$1" >/dev/null && getent group "$1" >/dev/null && [ -z "$(installed_user)" ]; then
    echo "there is a group \"$1\" already, and the manager's must be nobody else's"
  fi
}

operators_fault() {
  fault=$(name_fault "$1")
  if [ -n "$fault" ]; then
    echo "$fault"
  elif [ "$1" = root ] || [ "$1" = "$range_account" ] || [ "$1" = "$2" ]; then
    echo "the operators' group cannot be \"$1\""
  fi
}

range_fault() {
  case $1 in
    # A 0 in front is octal to the shell and to useradd, and no number to JSON.
    *[!0-9-]* | -* | *- | *-*-* | 0* | *-0*) echo "\"$1\" is no range of uids, like $default_range" && return ;;
    *-*) ;;
    *) echo "\"$1\" is no range of uids, like $default_range" && return ;;
  esac
  first=${1%-*}
  last=${1#*-}
  if [ "${#first}" -gt 10 ] || [ "${#last}" -gt 10 ] || [ "$first" -gt "$last" ] || [ "$last" -gt 4294967292 ]; then
    echo "$1: the first must not be above the last, and the last not above 4294967292"
  elif [ "$first" -lt 1000 ] || { [ "$first" -le 65535 ] && [ "$last" -ge 65534 ]; }; then
    echo "$1: it must not reach below 1000, nor hold 65534 or 65535"
  else
    {
      getent passwd | awk -F : '{ print "account " $1 ":" $3 ":1" }'
      getent group | awk -F : '{ print "group " $1 ":" $3 ":1" }'
      cat /etc/subuid /etc/subgid 2>/dev/null | awk -F : 'NF == 3 { print "subordinate ids of " $1 ":" $2 ":" $3 }'
    } | awk -F : -v first="$first" -v last="$last" -v own="$range_account" -v range="$1" '
      $1 ~ (" " own "$") { next }
      $2 + 0 <= last + 0 && first + 0 < $2 + $3 { print range ": " $1 " (" $2 ") lies in it"; exit }'
  fi
}

# Machines by name: those that run, those that are defined.
running_machines() { find /run/qward/machines -mindepth 1 -maxdepth 1 -type d -printf '%f ' 2>/dev/null || true; }
defined_machines() {
  # The directory is the manager's: a name that is none of a machine is not shown on root's terminal.
  find /var/lib/qward/manager/machines -mindepth 1 -maxdepth 1 -name '*.yaml' ! -name '*[!a-z0-9.-]*' -printf '%f ' 2>/dev/null | sed 's/\.yaml / /g'
}
