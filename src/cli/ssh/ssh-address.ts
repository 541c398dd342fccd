/** Where the sshd of a machine's guest is reached, as its definition says, or which piece is missing. Pure. */

export interface SshAddress {
  readonly host: string;
  readonly port: number;
}
export interface MissingPiece {
  readonly message: string;
  readonly hint: string;
}

/** As much of a definition as matters here. */
export interface Reachable {
  readonly name: string;
  readonly nics: readonly Nic[];
  readonly autostart: { readonly address?: string | undefined };
}
interface Nic {
  readonly id: string;
  readonly kind?: string | undefined;
  readonly forward?: readonly {
    readonly protocol: string;
    readonly address: string;
    readonly port: number;
    readonly to: number;
  }[];
}

const sshPort = 22;

export function sshAddress({ name, nics, autostart }: Reachable): SshAddress | MissingPiece {
  const forward = nics
    .flatMap((nic) => nic.forward ?? [])
    .find(({ protocol, to }) => protocol === 'tcp' && to === sshPort);
  if (forward !== undefined) return { host: ofThisHost(forward.address), port: forward.port };
  if (autostart.address !== undefined) return { host: autostart.address, port: sshPort };
  const [first] = nics;
  if (first === undefined)
    return {
      message: `machine "${name}" has no network card`,
      hint: `give it one: qward edit ${name}, nics: [{ id: lan, kind: user, forward: ["127.0.0.1:2222 -> 22"] }]`,
    };
  if (first.kind === 'user' || first.kind === undefined)
    return {
      message: `machine "${name}" has no forward to port 22 of its guest`,
      hint: `give it one: qward edit ${name}, forward: ["127.0.0.1:2222 -> 22"] at the card "${first.id}"`,
    };
  return {
    message: `the address of machine "${name}" is not known`,
    hint: 'say it: --address ADDRESS; for good: autostart.address in its definition',
  };
}

/** What listens on every address of the host is reached by loopback. */
function ofThisHost(address: string): string {
  if (address === '0.0.0.0') return '127.0.0.1';
  return /^[0:]+$/.test(address) ? '::1' : address;
}
