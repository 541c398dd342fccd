/** What passt said before it ended, in words that name the cause and the cure. */
import type { Fault } from '../../definition/fault.ts';
import type { NetworkHelper } from '../../plan/launch-plan.ts';
import { printable } from '../../qmp/printable.ts';

/** `wait`: nothing is wrong with the machine; the host may have a route later. */
export interface HelperFault extends Fault {
  readonly wait?: true;
}

const maxShown = 300;

export function explainPasst(log: string, { nic, launch }: NetworkHelper): HelperFault {
  const bound = /Failed to bind any port for '-([tu]) (\S+)\/(\d+):\d+'/.exec(log);
  if (bound !== null) {
    const [, letter, address = '', port = ''] = bound;
    const protocol = letter === 'u' ? 'udp' : 'tcp';
    return {
      code: 'port-unavailable',
      message: `network card "${nic}": ${protocol} port ${port} of ${printable(address, 60)} cannot be had: another program has it, or the host has no such address`,
      hint: `take another port, or end what listens there: \`ss -l${letter}np sport = :${port}\``,
    };
  }
  if (/External interface not usable|No external routable interface/.test(log))
    return {
      code: 'network-failed',
      message: `network card "${nic}": this host has no route to other networks, which passt would use`,
      hint: 'give the host a default route (`ip route`); the card is connected then',
      wait: true,
    };
  if (/user namespace|unshare/i.test(log))
    return {
      code: 'wall-missing',
      message: `network card "${nic}": passt could not make its user namespace: ${lastLine(log)}`,
      hint: 'sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0',
    };
  return {
    code: 'network-failed',
    message: `network card "${nic}": passt ended: ${lastLine(log)}`,
    hint: `try \`${launch.binary} --version\`, and see \`qward doctor\``,
  };
}

/** That it found no syslog, and none of the host's name servers: it is given what it needs. */
const ofNoAccount = /^Failed to send \d+ bytes to syslog|^Couldn't get any nameserver address/;

function lastLine(log: string): string {
  const lines = log.split('\n').filter((line) => line !== '' && !ofNoAccount.test(line));
  return printable(lines.at(-1) ?? 'it said nothing', maxShown);
}
