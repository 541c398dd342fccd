/**
 * The API: every call as data. The server registers its routes from this table, the client is typed by it, OpenAPI
 * and docs/api.md are generated from it, and the right that a call needs stands in its row.
 */
import * as z from 'zod';
import type { AuditReport } from '../audit/report.ts';
import type { PlanOutcome } from '../plan/launch-plan.ts';
import { endpoints, machineStates, type MachineState } from './endpoints.ts';

export const rights = ['see', 'operate', 'console', 'monitor', 'define', 'host'] as const;
/**
 * see: know that a machine exists. operate: start, stop, kill, reset, pause, resume. console: read and write the
 * serial console, read logs. monitor: raw QMP and HMP. define: define, edit, rename, clone, remove. host: look into
 * processes that are not qward's.
 */
export type Right = (typeof rights)[number];

export { machineStates, type MachineState };
export const machineState = z.enum(machineStates);

const name = z.string().min(1).max(63);
const onMachine = z.strictObject({ name });

export const machineSummary = z
  .object({
    name,
    state: machineState,
    description: z.string(),
    tags: z.array(z.string()),
    cpus: z.int(),
    memory: z.int().describe('Bytes.'),
    owner: z.string().describe('User name of the owner.'),
    pid: z.int().nullable(),
    uid: z.int().nullable().describe("The machine's own uid while it runs."),
    /** Since when it is in this state, ISO 8601. */
    since: z.string(),
    /** A definition newer than the running process. */
    changed: z.boolean().describe('The definition was changed since the machine was started.'),
  })
  .meta({ id: 'MachineSummary' });
export type MachineSummary = z.output<typeof machineSummary>;

export const machineStatus = machineSummary
  .extend({
    cgroup: z.string().nullable(),
    accel: z.enum(['kvm', 'tcg']).nullable(),
    /** How the last run ended, or why the last start failed. */
    lastEnd: z
      .object({
        how: z.enum(['shut down', 'killed', 'crashed', 'start failed', 'not known']),
        signal: z.string().nullable(),
        exitCode: z.int().nullable(),
        log: z.array(z.string()).describe("The last lines of QEMU's own log."),
        at: z.string(),
        message: z.string(),
      })
      .nullable(),
    audit: z.object({ ok: z.boolean(), at: z.string() }).nullable(),
    consoleWriter: z.string().nullable().describe('Who holds the console for writing.'),
  })
  .meta({ id: 'MachineStatus' });
export type MachineStatus = z.output<typeof machineStatus>;

const done = z
  .object({
    name,
    state: machineState,
    /** What happened, in a word a person can read: `started`, `already running`, `shut down`, `killed after 60s`. */
    outcome: z.string(),
  })
  .meta({ id: 'Done' });
export type Done = z.output<typeof done>;

const source = z
  .string()
  .max(256 * 1024)
  .describe('The definition as YAML.');
/** Large pure data that the plan and audit layers type themselves; `id` names it in the OpenAPI document. */
const opaque = <Data>(id: string, text: string): z.ZodType<Data> =>
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the layers below make this data; the schema only names it
  z.looseObject({}).meta({ id, description: text }) as unknown as z.ZodType<Data>;
const auditReport = opaque<AuditReport>(
  'AuditReport',
  'Each wall with what was expected and found, and the exposure beside it (src/audit/report.ts).',
);

interface Route {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  readonly path: `/v1/${string}`;
  readonly right: Right;
  readonly summary: string;
  readonly params?: z.ZodType;
  readonly query?: z.ZodType;
  readonly body?: z.ZodType;
  readonly result?: z.ZodType;
  /** Upgrades to a WebSocket. */
  readonly stream?: true;
  /** Goes to the log of changes. */
  readonly logged?: true;
}

export const routes = {
  info: {
    ...endpoints.info,
    right: 'see',
    summary: 'Versions, instance, and who you are to it.',
    result: z.object({
      version: z.string(),
      instance: z.enum(['system', 'session']),
      user: z.string(),
      uid: z.int(),
      role: z.string(),
      machines: z.int(),
      running: z.int(),
    }),
  },
  list: {
    ...endpoints.list,
    right: 'see',
    summary: 'The machines that you may see.',
    result: z.array(machineSummary),
  },
  define: {
    ...endpoints.define,
    right: 'define',
    logged: true,
    summary: 'Defines a machine; with `replace`, also one that is defined.',
    body: z.strictObject({ source, replace: z.boolean().default(false), dryRun: z.boolean().default(false) }),
    result: z.object({
      name,
      outcome: z.enum(['defined', 'changed', 'unchanged']),
      notes: z.array(z.string()),
    }),
  },
  status: {
    ...endpoints.status,
    right: 'see',
    summary: 'State of one machine.',
    params: onMachine,
    result: machineStatus,
  },
  definition: {
    ...endpoints.definition,
    right: 'see',
    summary: 'The definition as it was written, or with every default.',
    params: onMachine,
    query: z.strictObject({ full: z.stringbool().default(false) }),
    result: z.object({ name, source, revision: z.string() }),
  },
  edit: {
    ...endpoints.edit,
    right: 'define',
    logged: true,
    summary: 'Replaces the definition; `revision` guards against a change by another.',
    params: onMachine,
    body: z.strictObject({ source, revision: z.string().optional() }),
    result: z.object({ name, outcome: z.enum(['changed', 'unchanged']), notes: z.array(z.string()) }),
  },
  set: {
    ...endpoints.set,
    right: 'define',
    logged: true,
    summary: 'Changes single keys of the definition; says what applies now and what at the next start.',
    params: onMachine,
    body: z.strictObject({
      changes: z
        .array(z.strictObject({ key: z.string().max(128), value: z.string().max(4096).nullable() }))
        .min(1)
        .max(64),
    }),
    result: z.object({ name, applied: z.array(z.string()), atNextStart: z.array(z.string()) }),
  },
  remove: {
    ...endpoints.remove,
    right: 'define',
    logged: true,
    summary: 'Removes the definition; keeps disks unless `disks` is given.',
    params: onMachine,
    query: z.strictObject({ disks: z.stringbool().default(false), force: z.stringbool().default(false) }),
    result: z.object({
      name,
      outcome: z.string(),
      removedDisks: z.array(z.string()),
      keptDisks: z.array(z.string()),
    }),
  },
  rename: {
    ...endpoints.rename,
    right: 'define',
    logged: true,
    summary: 'Renames a stopped machine.',
    params: onMachine,
    body: z.strictObject({ to: name }),
    result: done,
  },
  clone: {
    ...endpoints.clone,
    right: 'define',
    logged: true,
    summary: 'A new definition from this one, with other MAC addresses. Disks: see the documentation.',
    params: onMachine,
    body: z.strictObject({
      to: name,
      disks: z
        .record(z.string(), z.string())
        .default({})
        .describe('Path of the image of each disk of the clone, by disk id; a writable disk needs one.'),
    }),
    result: done,
  },
  start: {
    ...endpoints.start,
    right: 'operate',
    logged: true,
    summary: 'Starts; succeeds where it runs already.',
    params: onMachine,
    body: z.strictObject({ paused: z.boolean().default(false) }).prefault({}),
    result: done,
  },
  stop: {
    ...endpoints.stop,
    right: 'operate',
    logged: true,
    summary: 'ACPI, then the time limit, then kill; says which it was.',
    params: onMachine,
    body: z.strictObject({ timeoutMs: z.int().min(0).max(86_400_000).optional() }).prefault({}),
    result: done,
  },
  kill: {
    ...endpoints.kill,
    right: 'operate',
    logged: true,
    summary: 'Ends QEMU at once.',
    params: onMachine,
    result: done,
  },
  reset: {
    ...endpoints.reset,
    right: 'operate',
    logged: true,
    summary: 'Like the reset button.',
    params: onMachine,
    result: done,
  },
  pause: {
    ...endpoints.pause,
    right: 'operate',
    logged: true,
    summary: 'Stops the virtual CPUs.',
    params: onMachine,
    result: done,
  },
  resume: {
    ...endpoints.resume,
    right: 'operate',
    logged: true,
    summary: 'Lets the virtual CPUs go on.',
    params: onMachine,
    result: done,
  },
  wait: {
    ...endpoints.wait,
    right: 'see',
    summary: 'Answers when the machine is in one of these states.',
    params: onMachine,
    body: z.strictObject({
      states: z.array(machineState).min(1),
      timeoutMs: z.int().min(0).max(86_400_000).default(60_000),
    }),
    result: done,
  },
  explain: {
    ...endpoints.explain,
    right: 'see',
    summary: 'The launch plan, or what stands in its way. Nothing is started.',
    params: onMachine,
    result: opaque<PlanOutcome>(
      'PlanOutcome',
      '`{ok: true, plan}` or `{ok: false, faults}` (src/plan/launch-plan.ts).',
    ),
  },
  audit: {
    ...endpoints.audit,
    right: 'see',
    summary: 'Every wall on the live process.',
    params: onMachine,
    result: auditReport,
  },
  auditPid: {
    ...endpoints.auditPid,
    right: 'host',
    summary: 'The same for any QEMU process of this host.',
    params: z.strictObject({ pid: z.coerce.number().int().min(1) }),
    result: auditReport,
  },
  logs: {
    ...endpoints.logs,
    right: 'console',
    summary: "QEMU's own output and what qward did with the machine.",
    params: onMachine,
    query: z.strictObject({ lines: z.coerce.number().int().min(1).max(10_000).default(200) }),
    result: z.object({
      name,
      lines: z.array(z.object({ at: z.string(), from: z.enum(['qemu', 'qward']), text: z.string() })),
    }),
  },
  consoleOutput: {
    ...endpoints.consoleOutput,
    right: 'console',
    summary: 'The scroll-back of the serial console, base64.',
    params: onMachine,
    result: z.object({
      name,
      output: z.string(),
      lost: z.int().describe('Bytes that were written before the scroll-back begins.'),
    }),
  },
  console: {
    ...endpoints.console,
    right: 'console',
    summary: 'The serial console: binary frames both ways, text frames are JSON notices.',
    params: onMachine,
    query: z.strictObject({
      mode: z.enum(['write', 'watch']).default('write'),
      steal: z.stringbool().default(false),
      replay: z.stringbool().default(true),
    }),
  },
  qmp: {
    ...endpoints.qmp,
    right: 'monitor',
    logged: true,
    summary: 'One QMP command.',
    params: onMachine,
    body: z.strictObject({
      execute: z.string().max(128),
      arguments: z.record(z.string(), z.unknown()).optional(),
    }),
    result: z.object({ name, return: z.unknown() }),
  },
  monitor: {
    ...endpoints.monitor,
    right: 'monitor',
    logged: true,
    summary: 'One command of the human monitor.',
    params: onMachine,
    body: z.strictObject({ command: z.string().max(4096) }),
    result: z.object({ name, output: z.string() }),
  },
  doctor: {
    ...endpoints.doctor,
    right: 'see',
    summary: 'What this host can and cannot give, with the cure.',
    result: z.object({
      ok: z.boolean(),
      checks: z.array(
        z.object({
          check: z.string(),
          state: z.enum(['ok', 'degraded', 'missing']),
          found: z.string(),
          cure: z.string(),
        }),
      ),
    }),
  },
  events: {
    ...endpoints.events,
    right: 'see',
    summary: 'What happens to the machines that you may see, as JSON text frames.',
    query: z.strictObject({
      recent: z.coerce
        .number()
        .int()
        .min(0)
        .max(1000)
        .default(0)
        .describe('Begin with so many of the last events; the manager forgets them when it ends.'),
    }),
  },
} as const satisfies Record<string, Route>;

export type RouteName = keyof typeof routes;
export type { Route };

export type { ConsoleNotice, MachineEvent } from './stream-messages.ts';
