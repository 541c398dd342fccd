import { isUtf8 } from 'node:buffer';
import type { EndReason } from './end-reason.ts';
import { type QmpEvent, parseEvent } from './events.ts';
import { nestsWithin } from './json-depth.ts';
import { maxDepth, maxNameLength, maxTextLength } from './limits.ts';
import { printable } from './printable.ts';
import { type Fields, memberOf, parseCount, parseFields, parseText } from './shape.ts';

export interface QemuVersion {
  readonly major: number;
  readonly minor: number;
  readonly micro: number;
}

export type QmpMessage =
  | { readonly kind: 'greeting'; readonly version: QemuVersion }
  | { readonly kind: 'return'; readonly id: string; readonly value: unknown }
  | { readonly kind: 'error'; readonly id: string; readonly class: string; readonly description: string }
  | { readonly kind: 'event'; readonly event: QmpEvent };

export type ParsedMessage =
  | { readonly ok: true; readonly message: QmpMessage }
  | { readonly ok: false; readonly reason: EndReason };

/** One line of QEMU's as a message of QMP, or what is wrong with it. Never throws. */
export function parseMessage(line: Buffer): ParsedMessage {
  // SECURITY: rule QMP. Depth, encoding and dangerous keys are checked before anything is made of the line.
  if (!nestsWithin(line, maxDepth))
    return garbage(
      'nested-too-deep',
      `nested deeper than ${maxDepth} levels, or closed what was never opened`,
    );
  if (!isUtf8(line)) return garbage('not-utf8', 'that is not UTF-8');
  const fields = parseFields(parseJson(line.toString('utf8')));
  if (fields === undefined) return garbage('not-json', 'that is not a JSON object, or has a key "__proto__"');
  const kinds = ['QMP', 'return', 'error', 'event'].filter((kind) => Object.hasOwn(fields, kind));
  const kind = kinds.length === 1 ? kinds[0] : undefined;
  if (kind === undefined)
    return garbage('not-qmp', 'that is not exactly one of greeting, return, error and event');
  const message = parseKind(kind, fields);
  if (message !== undefined) return { ok: true, message };
  const id = parseText(memberOf(fields, 'id'), maxNameLength);
  return (kind === 'return' || kind === 'error') && id === undefined
    ? garbage('wrong-id', 'that answers without the id of a command')
    : garbage('not-qmp', `whose "${kind}" does not have the form that QMP gives it`);
}

function parseKind(kind: string, fields: Fields): QmpMessage | undefined {
  const id = parseText(memberOf(fields, 'id'), maxNameLength);
  switch (kind) {
    case 'QMP': {
      const version = parseVersion(memberOf(fields, 'QMP'));
      return version === undefined ? undefined : { kind: 'greeting', version };
    }
    case 'return':
      return id === undefined ? undefined : { kind, id, value: memberOf(fields, 'return') };
    case 'error': {
      const error = parseFields(memberOf(fields, 'error'));
      const errorClass = parseText(memberOf(error, 'class'), maxNameLength);
      const description = memberOf(error, 'desc');
      if (id === undefined || errorClass === undefined || typeof description !== 'string') return undefined;
      return {
        kind,
        id,
        class: printable(errorClass, maxNameLength),
        description: printable(description, maxTextLength),
      };
    }
    default: {
      const event = parseEvent(memberOf(fields, 'event'), memberOf(fields, 'data'));
      return event === undefined ? undefined : { kind: 'event', event };
    }
  }
}

function parseVersion(greeting: unknown): QemuVersion | undefined {
  const version = parseFields(memberOf(parseFields(greeting), 'version'));
  const qemu = parseFields(memberOf(version, 'qemu'));
  const major = parseCount(memberOf(qemu, 'major'));
  const minor = parseCount(memberOf(qemu, 'minor'));
  const micro = parseCount(memberOf(qemu, 'micro'));
  if (major === undefined || minor === undefined || micro === undefined) return undefined;
  return { major, minor, micro };
}

/** Undefined for what is not JSON. JSON.parse makes `__proto__` an own property; who copies it later sets a prototype. */
function parseJson(text: string): unknown {
  try {
    return /__proto__|\\u00/i.test(text) ? JSON.parse(text, refusePrototype) : JSON.parse(text);
  } catch {
    return undefined;
  }
}

function refusePrototype(key: string, value: unknown): unknown {
  if (key === '__proto__') throw new SyntaxError('the key "__proto__" has no place in QMP');
  return value;
}

function garbage(code: EndReason['code'], what: string): ParsedMessage {
  return { ok: false, reason: { code, message: `QEMU sent a line on its monitor ${what}` } };
}
