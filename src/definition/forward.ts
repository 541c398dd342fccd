/** A port of the host that leads to one of the guest, as the user writes it: `127.0.0.1:2222 -> 22`, `udp 5353`. */
import * as z from 'zod';
import { ipAddress } from './scalars.ts';

/** Both ports from 1 to 65535. */
export interface Forward {
  readonly protocol: 'tcp' | 'udp';
  /** Of the host. */
  readonly address: string;
  readonly port: number;
  /** The guest's. */
  readonly to: number;
}

const written = /^(?:(tcp|udp) +)?(?:(\[[^\]\s]*\]|[^[\]\s:]+):)?(0|[1-9]\d*)(?: *-> *(0|[1-9]\d*))?$/;
const expected = 'a forward such as "127.0.0.1:2222 -> 22", "[::1]:8080 -> 80" or "udp 5353"';

/** Where nothing else is written: nobody but the host's own users reaches it. */
const ownHost = '127.0.0.1';

export type ForwardOutcome =
  | { readonly ok: true; readonly forward: Forward }
  | { readonly ok: false; readonly expected: string };

export function parseForward(text: string): ForwardOutcome {
  const [whole, protocol, host = ownHost, port = '', to = port] = written.exec(text) ?? [];
  if (whole === undefined) return { ok: false, expected };
  const bracketed = host.startsWith('[');
  const address = bracketed ? host.slice(1, -1) : host;
  if (!ipAddress.safeParse(address).success || bracketed !== address.includes(':'))
    return { ok: false, expected: `an IPv4 address, or an IPv6 address in brackets: ${expected}` };
  const ports = [Number(port), Number(to)];
  if (ports.some((number) => number < 1 || number > 65_535))
    return { ok: false, expected: `ports from 1 to 65535: ${expected}` };
  const forward = {
    protocol: protocol === 'udp' ? 'udp' : 'tcp',
    address,
    port: Number(port),
    to: Number(to),
  } as const;
  return { ok: true, forward };
}

/** The form that says all of it. */
export function formatForward({ protocol, address, port, to }: Forward): string {
  const host = address.includes(':') ? `[${address}]` : address;
  return `${protocol === 'udp' ? 'udp ' : ''}${host}:${port} -> ${to}`;
}

const text = z.union([z.string().max(200), z.number()], { error: expected });

/** Text, or a bare port, as the user writes it; what it means after parsing. */
export const forward = z.codec(text.meta({ title: 'forward' }), z.custom<Forward>(), {
  decode: (value, context) => {
    const outcome = parseForward(String(value));
    if (outcome.ok) return outcome.forward;
    context.issues.push({ code: 'custom', message: outcome.expected, input: value });
    return z.NEVER;
  },
  encode: formatForward,
});
