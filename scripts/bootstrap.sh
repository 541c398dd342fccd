#!/bin/sh
# Installs what a checkout needs to run and test qward, as far as it is missing: Debian packages by apt-get, and the
# pinned Node and npm packages by `npm ci`. Takes a fraction of a second where everything is there.
# Arguments are further Debian packages that the caller needs.
# On failure it exits with status 1 after saying what failed; the whole output is in .cache/bootstrap.log.
set -eu
cd "$(dirname "$0")/.."
log=.cache/bootstrap.log

# qemu-utils: qemu-img. libatomic1: the pinned Node. openssh-*: `qward -H`, tried with an sshd of the test's own. acl, attr: tests that nothing on disk is changed. xz-utils: kernel modules. passt, nftables: networks of kind user; dnsmasq-base, iproute2: managed networks. swtpm: TPMs.
packages='qemu-system-x86 qemu-utils seabios ipxe-qemu ovmf crun runc busybox-static libatomic1 iproute2 acl attr xz-utils openssh-client openssh-server passt nftables dnsmasq-base swtpm'
packages="$packages $*"

say() { printf 'bootstrap: %s\n' "$*"; }
fail() {
  say "$*" >&2
  exit 1
}

# Runs a command with its output in the log; on a terminal the seconds tick.
quietly() {
  what=$1
  shift
  say "$what"
  started=$(date +%s)
  "$@" >>"$log" 2>&1 </dev/null &
  command=$!
  trap 'kill "$command" 2>/dev/null; exit 130' INT TERM
  if [ -t 1 ]; then
    while kill -0 "$command" 2>/dev/null; do
      printf '\r  %s s ' "$(($(date +%s) - started))"
      sleep 0.5
    done
    printf '\r           \r'
  fi
  status=0
  wait "$command" || status=$?
  trap - INT TERM
  if [ "$status" -ne 0 ]; then
    tail -n 15 "$log" >&2
    fail "$what: failed (status $status); all of its output is in $log"
  fi
}

missing_packages() {
  for package in $packages; do
    case $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true) in
      installed) ;;
      *) printf '%s ' "$package" ;;
    esac
  done
}

install_packages() {
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    say "this is not a Debian system; these programs must be there already:" \
      "qemu-system-x86_64 qemu-img crun or runc, busybox (static), ip, getfacl, getfattr, dpkg-deb"
    return
  fi
  missing=$(missing_packages)
  [ -n "$missing" ] || return 0
  export DEBIAN_FRONTEND=noninteractive LC_ALL=C
  # Ordinary machines have package lists; fresh containers and images have none.
  # shellcheck disable=SC2086
  if ! apt-get install --simulate --no-install-recommends $missing >/dev/null 2>&1; then
    quietly "reading Debian's package lists" apt-get update --quiet
  fi
  # shellcheck disable=SC2086
  quietly "installing Debian packages, up to a minute: $missing" \
    apt-get install --yes --quiet --no-install-recommends -o DPkg::Lock::Timeout=300 $missing
}

# npm writes node_modules/.package-lock.json last: where it is newer than package-lock.json, the tree is whole and current.
install_node() {
  if [ -x node_modules/.bin/node ] && [ node_modules/.package-lock.json -nt package-lock.json ]; then
    return 0
  fi
  command -v npm >/dev/null && command -v node >/dev/null ||
    fail "node and npm (18 or later) are missing: apt-get install nodejs npm" \
      "(where they are in your own PATH only: sudo env PATH=\"\$PATH\" scripts/try)"
  major=$(node -p 'process.versions.node.split(".")[0]')
  [ "$major" -ge 18 ] || fail "node is version $major; 18 or later is needed to install the pinned one"
  owner=$(stat -c %u .)
  if [ "$(id -u)" -eq 0 ] && [ "$owner" -ne 0 ]; then
    # node_modules should belong to the owner of the checkout, who will want to change it without sudo.
    home=$(getent passwd "$owner" | cut -d : -f 6)
    quietly 'installing the pinned Node 26 and npm packages (npm ci)' \
      setpriv --reuid="$owner" --regid="$(stat -c %g .)" --clear-groups \
      env HOME="${home:-/nonexistent}" npm ci --no-audit --no-fund --loglevel=error
  else
    quietly 'installing the pinned Node 26 and npm packages (npm ci)' npm ci --no-audit --no-fund --loglevel=error
  fi
  # npm keeps the time stamps of a cached file; the rule above wants it newer than the lock file.
  touch node_modules/.package-lock.json
}

[ "$(uname -sm)" = 'Linux x86_64' ] || fail "qward runs on Linux on x86-64 only, this is $(uname -sm)"
if [ "$(id -u)" -ne 0 ]; then
  fail 'this must run as root: it installs packages and starts jails (sudo scripts/try, sudo scripts/test)'
fi
mkdir -p .cache
: >"$log"
install_packages
install_node
node_modules/.bin/node --version >>"$log" 2>&1 || {
  tail -n 3 "$log" >&2
  fail 'node_modules/.bin/node does not run; remove node_modules and try again'
}
