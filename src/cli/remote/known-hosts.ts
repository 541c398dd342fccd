/** Hosts that the user's ssh knows, for completion: `Host` lines of ssh_config(5), and names in known_hosts that are not hashed. */
import { readFileSync } from 'node:fs';

const maxHosts = 1000;
/** A shell expands the words that it completes. */
const plainHost = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}$/;

export function knownHosts(home: string): readonly string[] {
  const configured = linesOf(`${home}/.ssh/config`).flatMap((line) =>
    (/^\s*host[\s=]+(.*)$/i.exec(line)?.[1] ?? '').split(/\s+/),
  );
  const known = linesOf(`${home}/.ssh/known_hosts`).flatMap((line) => (line.split(' ')[0] ?? '').split(','));
  return [...new Set([...configured, ...known].filter((host) => plainHost.test(host)))].slice(0, maxHosts);
}

function linesOf(path: string): readonly string[] {
  try {
    return readFileSync(path, 'utf8').split('\n');
  } catch {
    return [];
  }
}
