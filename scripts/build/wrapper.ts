/** The shell scripts by which the bundled programs are started. */

export interface Program {
  readonly name: string;
  readonly entry: string;
  /** Name of the script that runs it under Node. */
  readonly script: string;
  readonly nodeOptions: readonly string[];
}

/** Runs NAME.js of the directory above with the runtime beside it (`node`), else with that of the checkout. */
export function wrapperScript({ name, nodeOptions }: Program): string {
  const options = [...nodeOptions, '--disable-warning=ExperimentalWarning'].join(' ');
  return `#!/bin/sh
self=$0
while [ -L "$self" ]; do
  link=$(readlink -- "$self")
  case $link in /*) self=$link ;; *) self=\${self%/*}/$link ;; esac
done
case $self in */*) here=\${self%/*} ;; *) here=. ;; esac
root=$here/..
node=$root/node
[ -x "$node" ] || node=$root/../node_modules/.bin/node
# Compiled code is kept between runs. SECURITY: promise 1. What is kept there is executed, so root takes it from
# a directory that is root's own and not from a home that an environment may name; -O / is true for root alone.
if [ -O / ]; then cache=/var/cache/qward; else cache=\${XDG_CACHE_HOME:-\${HOME:-/nonexistent}/.cache}/qward; fi
[ -d "$cache" ] || (umask 077 && mkdir -p -- "$cache") 2>/dev/null
if [ -O "$cache" ]; then export NODE_COMPILE_CACHE="$cache"; fi
exec "$node" ${options} "$root/${name}.js" "$@"
`;
}
