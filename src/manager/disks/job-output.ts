/** What qemu-img said: how far it is, whether it did it, and its words where it did not. Pure. */
import type { DiskStep } from '../../plan/disk-job.ts';
import { firstDescriptor, type LaunchRequest } from '../../protocol/launch.ts';
import { capText } from '../log.ts';
import type { ProcessEnd } from '../lifecycle/process-watch.ts';
import { failure, success, type Outcome } from '../outcome.ts';

export interface StepEnd {
  /** All that it wrote; the log has 256 KiB at most. */
  readonly output: string;
  /** Undefined where the kernel does not tell (before 6.15). */
  readonly end: ProcessEnd | undefined;
  /** The kernel killed it for its memory. */
  readonly memoryHit: boolean;
}

/** Percent by the last progress line; null: none yet. */
export function progressOf(output: string): number | null {
  const last = [...output.matchAll(/\((\d{1,3}\.\d\d)\/100%\)/g)].at(-1)?.[1];
  return last === undefined ? null : Math.min(100, Number(last));
}

// SECURITY: rule images. A qemu-img that was taken over writes what it likes: every expression here takes time by the length.
const withoutProgress = (output: string): string =>
  output.replaceAll(/ {0,4}\(\d{1,3}\.\d\d\/100%\)\r?/g, '');

/**
 * What each step writes when all of it was done. The exit status of a process that is not the manager's child is not
 * always to be had, and so never counts alone; `quiet`: not a word.
 */
const doneMarks: Readonly<Record<DiskStep['do'], RegExp | 'quiet' | 'json'>> = {
  info: 'json',
  check: 'json',
  create: /^Formatting /m,
  convert: /\(100\.00\/100%\)/,
  resize: /^Image resized\.$/m,
  commit: /^Image committed\.$/m,
  rebase: /\(100\.00\/100%\)/,
  'rename-backing': 'quiet',
  snapshot: 'quiet',
};

/** qemu-img check ends with 2 and 3 where it found something, and says what (qemu-img(1)). */
const doneExits: Readonly<Partial<Record<DiskStep['do'], readonly number[]>>> = { check: [0, 2, 3] };

/** The words it wrote, or every fault. `launch` gives descriptors their paths again. */
export function judgeStep(
  step: DiskStep,
  { output, end, memoryHit }: StepEnd,
  launch: LaunchRequest,
): Outcome<string> {
  const words = withoutProgress(output);
  if (memoryHit)
    return failure(
      'disk-failed',
      `qemu-img needed more memory than its ${Math.round(launch.limits.memory / 1024 ** 2)} MiB`,
      'tables of an image that is in order are smaller: it is damaged, or was made to do harm',
    );
  const complaints = complaintsIn(words, launch);
  const exits = doneExits[step.do] ?? [0];
  const ended = end === undefined || (end.exitCode !== null && exits.includes(end.exitCode));
  if (ended && hasMark(step, output, words)) return success(words);
  return explain(complaints, end);
}

function hasMark(step: DiskStep, output: string, words: string): boolean {
  const mark = doneMarks[step.do];
  if (mark === 'json') return jsonIn(words) !== undefined;
  const complained = words.split('\n').some((line) => /^qemu-img: (?!warning: )/.test(line));
  if (mark === 'quiet') return words.trim() === '';
  return mark.test(output) && !complained;
}

const complaint = 'qemu-img: ';
/** Of a complaint; what follows is not looked at. */
const maxLine = 8 * 1024;

/** Lines of error, with files by their own names. SECURITY: rule images. An image may have chosen parts of this text. */
function complaintsIn(words: string, launch: LaunchRequest): readonly string[] {
  const named = (line: string): string =>
    line
      .replaceAll(/'?json:\{.*\}'?/g, 'the image')
      .replaceAll(/\/proc\/self\/fd\/(\d+)/g, (text, number: string) => {
        const descriptor = launch.descriptors[Number(number) - firstDescriptor];
        return descriptor?.kind === 'file' ? descriptor.path : text;
      });
  return words
    .split('\n')
    .filter((line) => line.startsWith(complaint))
    .slice(0, 4)
    .map((line) => capText(named(line.slice(complaint.length, maxLine)), 400));
}

function explain(complaints: readonly string[], end: ProcessEnd | undefined): Outcome<never> {
  const text = complaints.join('; ');
  if (/Failed to get .* lock/.test(text))
    return failure(
      'image-locked',
      `an image is in use: ${text}`,
      'stop the machine or program that has it open; `qward disk list` and `fuser -v` show which',
    );
  if (text !== '') return failure('disk-failed', `qemu-img: ${text}`, hintFor(text));
  if (end?.signal === 'SIGXFSZ')
    return failure(
      'disk-failed',
      'qemu-img was ended: a file grew beyond the size that the job may write',
      'the image is damaged, or was made to do harm',
    );
  const how =
    end?.signal ?? (end?.exitCode === null || end === undefined ? 'not known how' : `status ${end.exitCode}`);
  return failure(
    'disk-failed',
    `qemu-img ended before it had done it (${how})`,
    '`qward disk check` looks at the image',
  );
}

function hintFor(text: string): string {
  if (/No space left/i.test(text)) return 'make room on the file system of the image';
  if (/corrupt|Invalid|too (?:large|big|small)|unsupported/i.test(text))
    return 'the image is damaged, of another format, or was made to do harm; nothing of it was used';
  return '`qward disk info` and `qward disk check` tell more of the image';
}

/** The one object that `--output=json` writes, between whatever warnings; undefined where there is none. */
export function jsonIn(words: string): Readonly<Record<string, unknown>> | undefined {
  const [begin, end] = [words.search(/^\{/m), words.lastIndexOf('}')];
  if (begin < 0 || end < begin) return undefined;
  try {
    const value: unknown = JSON.parse(words.slice(begin, end + 1));
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value))
      : undefined;
  } catch {
    return undefined;
  }
}
