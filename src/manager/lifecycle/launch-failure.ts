/** Why a QEMU that was launched did not come up: its own words, made into a fault of the registry. */
import type { ErrorCode } from '../../api/errors.ts';
import type { Fault } from '../../definition/fault.ts';
import { capText } from '../log.ts';
import type { LockedImage } from './locked-image.ts';
import type { ProcessEnd } from './process-watch.ts';

export interface FailedLaunch {
  readonly machine: string;
  /** QEMU's own output, escaped. */
  readonly log: readonly string[];
  readonly end: ProcessEnd | undefined;
  /** Why the monitor could not be had. */
  readonly monitor: string;
  /** Where QEMU says that an image is locked: which, and which machine of ours has it open. */
  readonly lock: (LockedImage & { readonly holder: string | undefined }) | undefined;
  /** Bytes that the process may use, and whether the kernel killed it for more. */
  readonly memoryLimit: number;
  readonly memoryLimitHit: boolean;
}

interface Pattern {
  readonly words: RegExp;
  readonly code: ErrorCode;
  readonly hint: string;
}

/** QEMU 7.2 to 10: wording of its messages, in the order in which they are tried. */
const patterns: readonly Pattern[] = [
  {
    words:
      /[Cc]annot allocate memory|cannot set up guest memory|Resource temporarily unavailable|pthread_create|No space left on device/,
    code: 'resources-short',
    hint: 'give the machine less memory or fewer CPUs, raise `limits` in its definition, or stop other machines',
  },
  {
    words:
      /unsupported machine type|Property '.*' not found|is not a valid device model name|unable to find CPU model|Parameter '.*' (?:expects|is missing)/,
    code: 'qemu-refused',
    hint: 'this QEMU does not know what the definition asks for; `qward explain` shows its arguments',
  },
];

/** What a jail refuses is answered by what would allow it. */
const denied =
  /(?:[Cc]ould not|[Uu]nable to|[Ff]ailed to) (?:open|load)|(?:Permission denied|No such file or directory|Operation not permitted|Read-only file system)/;

export function explainLaunchFailure(failed: FailedLaunch): Fault {
  const { machine, log, end, lock } = failed;
  const words = quote(log);
  if (lock !== undefined) return explainLock(machine, lock, words);
  const pattern = patterns.find((candidate) => log.some((line) => candidate.words.test(line)));
  if (failed.memoryLimitHit)
    return {
      code: 'resources-short',
      message: `machine "${machine}" was not started: the kernel killed QEMU at its memory limit of ${failed.memoryLimit} bytes; ${words}`,
      hint: 'raise `limits.memory` in the definition, or give the guest less memory',
    };
  if (pattern !== undefined)
    return {
      code: pattern.code,
      message: `machine "${machine}" was not started: ${words}`,
      hint: pattern.hint,
    };
  const how = end === undefined ? failed.monitor : endInWords(end);
  return {
    code: 'qemu-refused',
    message: `machine "${machine}" was not started: ${how}; ${words}`,
    hint: log.some((line) => denied.test(line))
      ? `\`qward why ${machine}\` names the grant that would allow it; \`qward logs\` shows the whole output`
      : '`qward explain` shows the arguments, `qward logs` the whole output',
  };
}

function explainLock(machine: string, lock: NonNullable<FailedLaunch['lock']>, words: string): Fault {
  const { path, holder } = lock;
  const image = path === undefined ? 'an image' : `image "${path}"`;
  const user = holder === undefined ? "a process that is not qward's" : `machine "${holder}"`;
  // QEMU's words name a descriptor set; they say more only where that could not be turned into a path.
  const more = path === undefined ? `; ${words}` : '';
  return {
    code: 'image-locked',
    message: `machine "${machine}" was not started: ${image} is in use by ${user}${more}`,
    hint:
      holder === undefined
        ? `stop the other user of the image; \`fuser -v ${path ?? 'IMAGE'}\` shows who has it open`
        : `stop machine "${holder}" first: \`qward stop ${holder}\``,
  };
}

export function endInWords({ signal, exitCode }: ProcessEnd): string {
  return signal === null ? `QEMU ended with status ${exitCode}` : `QEMU was ended by ${signal}`;
}

function quote(log: readonly string[]): string {
  if (log.length === 0) return 'it said nothing';
  return `it said: ${capText(log.slice(-5).map(withoutPrefix).join(' | '), 1500)}`;
}

/** QEMU begins a line with the time and its own name, which a reader of the message knows. */
function withoutPrefix(line: string): string {
  return line.replace(/^(?:\d{4}-\d\d-\d\dT\S+ )?(?:qemu|qemu-system-\S+): /, '');
}
