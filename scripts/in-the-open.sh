#!/bin/sh
# Runs a command of the checkout, with the arguments given. The manager of an instance is a user of its own and must read
# its program: where the checkout lies below a directory that is closed to others (homes are, on Debian 12), the command
# runs in a mount namespace in which the checkout is also shown below /run. Nothing of it outlives the command.
set -eu
cd "$(dirname "$0")/.."
here=$PWD
if setpriv --reuid=65534 --regid=65534 --clear-groups test -r "$here/package.json"; then
  PATH="$here/node_modules/.bin:$PATH" exec "$@"
fi
open=$(mktemp -d /run/qward-checkout-XXXXXX)
trap 'rmdir "$open"' EXIT
# The command itself hears of an interrupt and cleans up; this waits for it.
trap : INT TERM HUP
chmod 755 "$open"
echo "other users may not enter the directory of this checkout: it is shown at $open for this run"
status=0
unshare --mount sh -c '
  mount --bind "$1" "$2" && cd "$2" && shift 2 && PATH="$PWD/node_modules/.bin:$PATH" exec "$@"
' sh "$here" "$open" "$@" || status=$?
exit "$status"
