/** What QEMU says of its block jobs and nodes. Undefined: not as QEMU's schema promises. */
import { maxNameLength, maxTextLength } from './limits.ts';
import { printable } from './printable.ts';
import { memberOf, parseCount, parseFields, parseList, parseText } from './shape.ts';

/** States of jobs (qapi/job.json) that differ in nothing for us are one. */
const jobStates: Readonly<Record<string, Job['status']>> = {
  undefined: 'active',
  created: 'active',
  running: 'active',
  paused: 'active',
  ready: 'ready',
  standby: 'ready',
  waiting: 'active',
  pending: 'pending',
  aborting: 'active',
  concluded: 'ended',
  null: 'ended',
};

export interface Job {
  readonly id: string;
  /** `pending`: it has done all, and waits for our word. */
  readonly status: 'active' | 'ready' | 'pending' | 'ended';
  /** Of the same unit; the total may grow. */
  readonly done: number;
  readonly total: number;
  /** Why it failed, fit for a terminal; empty: it did not. */
  readonly error: string;
}

export function parseJobs(value: unknown): readonly Job[] | undefined {
  return parseList(value, (item) => {
    const fields = parseFields(item);
    const id = parseText(memberOf(fields, 'id'), maxNameLength);
    const state = parseText(memberOf(fields, 'status'), maxNameLength);
    const done = parseCount(memberOf(fields, 'current-progress'));
    const total = parseCount(memberOf(fields, 'total-progress'));
    const error = parseText(memberOf(fields, 'error') ?? '', maxTextLength);
    if (id === undefined || done === undefined || total === undefined || error === undefined)
      return undefined;
    if (state === undefined || !Object.hasOwn(jobStates, state)) return undefined;
    const status = jobStates[state];
    return status === undefined
      ? undefined
      : { id, status, done, total, error: printable(error, maxTextLength) };
  });
}

/** A record of what was written since a backup. */
export interface Bitmap {
  readonly node: string;
  readonly name: string;
  /** QEMU died with it: it says nothing any more. */
  readonly broken: boolean;
}

/** Of all nodes. */
export function parseBitmaps(value: unknown): readonly Bitmap[] | undefined {
  const nodes = parseList(value, (item) => {
    const fields = parseFields(item);
    const node = parseText(memberOf(fields, 'node-name'), maxNameLength);
    if (node === undefined) return undefined;
    return parseList(memberOf(fields, 'dirty-bitmaps') ?? [], (bitmap) => {
      const own = parseFields(bitmap);
      const name = parseText(memberOf(own, 'name') ?? '', maxTextLength);
      if (own === undefined || name === undefined) return undefined;
      return { node, name, broken: memberOf(own, 'inconsistent') === true };
    });
  });
  return nodes?.flat();
}

/** Names of the nodes that are open to be written. */
export function parseWritable(value: unknown): readonly string[] | undefined {
  const nodes = parseList(value, (item) => {
    const fields = parseFields(item);
    const [node, readOnly] = [
      parseText(memberOf(fields, 'node-name'), maxNameLength),
      memberOf(fields, 'ro'),
    ];
    return node === undefined || typeof readOnly !== 'boolean' ? undefined : readOnly ? [] : [node];
  });
  return nodes?.flat();
}

export function parseNodeSizes(
  value: unknown,
): readonly { readonly node: string; readonly size: number }[] | undefined {
  return parseList(value, (item) => {
    const fields = parseFields(item);
    const node = parseText(memberOf(fields, 'node-name'), maxNameLength);
    const size = parseCount(memberOf(parseFields(memberOf(fields, 'image')), 'virtual-size'));
    return node === undefined || size === undefined ? undefined : { node, size };
  });
}
