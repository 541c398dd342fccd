/**
 * The small values of a definition: names, paths, sizes, durations. The error text of each says what is expected;
 * messages put it behind the word "expected".
 */
import * as z from 'zod';
import { formatByteSize, parseByteSize, sizePattern } from './byte-size.ts';

/** Text of one pattern; says the same where the value is no text at all. `title` is what the reference page calls it. */
export function textLike(title: string, pattern: RegExp, expected: string) {
  return z.string({ error: expected }).regex(pattern, { error: expected }).meta({ title });
}

/** Machine names: also names of cgroups, directories and OCI containers, hence so strict. */
export const machineName = textLike(
  'name',
  /^[a-z][a-z0-9-]{0,62}$/,
  'a name of lower-case letters, digits and "-", a letter first, 63 characters at most',
);

/** Names of parts within a machine, and tags. They become QEMU ids and node names: no separators of QEMU's option syntax. */
export const identifier = textLike(
  'id',
  /^[a-z][a-z0-9-]{0,30}$/,
  'a name of lower-case letters, digits and "-", a letter first, 31 characters at most',
);

// SECURITY: rule YAML. Paths of a definition are absolute, in normal form and free of control characters (lone surrogates
// included, which would change on their way to UTF-8), so that what the policy compares is what the kernel opens.
const hostPathPattern = /^(?:\/(?!\.{1,2}(?:\/|$))[^/\u0000-\u001f\u007f-\u009f\ud800-\udfff]+)+$/u;

/** An absolute, normalised host path without control characters. */
export const hostPath = textLike(
  'path',
  hostPathPattern,
  'an absolute path such as /var/lib/qward/images/web.qcow2, without ".", ".." and empty parts',
).max(4095);

/** As `hostPath`, and short enough for the address of a Unix socket (unix(7)). */
export const socketPath = hostPath.max(107);

/** A day, as `2027-01-31`. */
export const date = textLike('date', /^\d{4}-\d{2}-\d{2}$/, 'a day such as 2027-01-31').refine(
  (text) => new Date(`${text}T00:00:00Z`).toJSON()?.startsWith(text) ?? false,
  { error: 'a day such as 2027-01-31' },
);

/** One line of text, of `most` characters, that is safe on a terminal and in an argument of a process. */
export function line(most: number) {
  const expected = `one line of text, ${most} characters at most, without control characters`;
  return textLike('text', /^[^\u0000-\u001f\u007f-\u009f\u2028\u2029\ud800-\udfff]*$/u, expected).max(most);
}

/** Unicast MAC address, lower case. */
export const macAddress = textLike(
  'MAC address',
  /^[0-9a-f][02468ace](:[0-9a-f]{2}){5}$/,
  'a unicast MAC address such as 52:54:00:12:34:56, lower case',
);

const octet = '(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)';

/** An IPv4 or IPv6 address, without a prefix length or zone. */
export const ipAddress = textLike(
  'IP address',
  new RegExp(`^(?:${octet}(?:\\.${octet}){3}|(?=[0-9a-f:]*:[0-9a-f:]*:)[0-9a-f:]{2,39})$`),
  'an IP address such as 192.168.100.10 or fd00::10, lower case',
);

const durationUnits: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
const durationPattern = /^(\d{1,9})(ms|s|m|h)$/;

/** Milliseconds of `500ms`, `30s`, `2m`, `1h`; undefined where it is none of these. */
export function parseDuration(text: string): number | undefined {
  const match = durationPattern.exec(text);
  const unit = durationUnits[match?.[2] ?? ''];
  return match?.[1] === undefined || unit === undefined ? undefined : Number(match[1]) * unit;
}

/** The shortest exact form in one unit: `90s`, `2m`. */
export function formatDuration(milliseconds: number): string {
  const unit = ['h', 'm', 's'].find(
    (name) => milliseconds % (durationUnits[name] ?? 1) === 0 && milliseconds > 0,
  );
  return `${milliseconds / (durationUnits[unit ?? 'ms'] ?? 1)}${unit ?? 'ms'}`;
}

interface SizeRange {
  readonly from: string;
  readonly to: string;
  /** The size must be a multiple of this. */
  readonly step?: string;
  readonly examples: readonly (string | number)[];
}

/** A size as the user writes it; bytes after parsing. */
export function byteSize(range: SizeRange) {
  const [from, to, step] = [range.from, range.to, range.step ?? '1'].map(
    (text) => parseByteSize(text) ?? Number.NaN,
  );
  if (from === undefined || to === undefined || step === undefined)
    throw new Error('a size range has three sizes');
  const steps = range.step === undefined ? '' : ` in steps of ${range.step}`;
  const expected = `a size such as ${range.examples.join(' or ')}, from ${range.from} to ${range.to}${steps}`;
  const written = z.union([z.string().regex(sizePattern, { error: expected }), z.number()], {
    error: expected,
  });
  return z.codec(written.meta({ title: 'size', examples: [...range.examples] }), z.number(), {
    decode: (value, context) => {
      const bytes = parseByteSize(value);
      if (bytes !== undefined && bytes >= from && bytes <= to && bytes % step === 0) return bytes;
      context.issues.push({ code: 'custom', message: expected, input: value });
      return z.NEVER;
    },
    encode: formatByteSize,
  });
}

/** Longest duration: what a timer of the runtime can hold is 24 days, and nobody waits longer than a day. */
const longestMs = 86_400_000;
const durationExpected = 'a duration such as 30s, 2m or 500ms, 24h at most';

/** A duration as the user writes it; milliseconds after parsing. */
export const duration = z.codec(
  textLike('duration', durationPattern, durationExpected).meta({ examples: ['30s', '2m', '500ms'] }),
  z.number(),
  {
    decode: (value, context) => {
      const milliseconds = parseDuration(value);
      if (milliseconds !== undefined && milliseconds <= longestMs) return milliseconds;
      context.issues.push({ code: 'custom', message: durationExpected, input: value });
      return z.NEVER;
    },
    encode: formatDuration,
  },
);
