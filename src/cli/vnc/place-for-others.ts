/** `ADDRESS:PORT`, `[ADDRESS]:PORT` or `PORT`: a port for viewers that are not this user's. Pure but for the parsing of addresses. */
import { isIP } from 'node:net';

export interface OthersPlace {
  /** Undefined: every address of the host. */
  readonly host: string | undefined;
  readonly port: number;
}

/** Undefined: it is the path of a socket. Text: what is wrong with it. */
export function placeForOthers(text: string): OthersPlace | string | undefined {
  const [, bracketed, plain, digits] = /^(?:(?:\[([^\]/]+)\]|([^:/[\]]+)):)?(\d{1,5})$/.exec(text) ?? [];
  if (digits === undefined) return undefined;
  const port = Number(digits);
  const host = bracketed ?? plain;
  if (port > 65_535) return `vnc: --listen: a port from 0 to 65535 expected, not ${digits}`;
  if (host !== undefined && isIP(host) !== (bracketed === undefined ? 4 : 6))
    return `vnc: --listen: an address such as 192.0.2.1 or [2001:db8::1] expected, not "${host}"`;
  return { host, port };
}
