/**
 * The API: every call as data. The server registers its routes from this table, the client is typed by it, OpenAPI
 * and docs/api.md are generated from it, and the right that a call needs stands in its row.
 */
import * as z from 'zod';
import type { DrillReport } from '../audit/drill/report.ts';
import type { AuditReport } from '../audit/report.ts';
import type { PlanOutcome } from '../plan/launch-plan.ts';
import { diskRoutes } from './disk-contract.ts';
import { endpoints, machineStates, type MachineState } from './endpoints.ts';
import { guestRoutes } from './guest-contract.ts';
import { migrationRoutes, moveStatus } from './migration-contract.ts';
import { snapshotRoutes } from './snapshot-contract.ts';
import { blockDoings, blockRoutes } from './block-contract.ts';
import { hotplugRoutes } from './hotplug-contract.ts';
import { throwawayRoutes } from './throwaway-contract.ts';
import { statsRoutes } from './stats-contract.ts';

/** What a call needs, and what each right lets its holder do. */
export const rightMeanings = {
  see: 'know that a machine exists, its state and how it ended, its definition and plan with the paths of its files, and its walls',
  operate:
    'start, stop, kill, save, reset, pause, resume, throw a saved state away, and have it no longer start with the host',
  console: "read and write the serial console, view the screen and type, read QEMU's log",
  guest: 'run programs in the guest, read and write its files, freeze them and set its clock, by its agent',
  monitor: 'raw QMP and the human monitor',
  define:
    'define, edit, rename, clone, remove, move to another host, and make, revert to and remove snapshots',
  grant: 'see, give and take rights of others on the machine',
  history: 'read what anybody did, or tried to do, with the machine',
  transfer: 'give a machine to another owner',
  disk: 'make, look into and change images: files that you may open, and as administrator those beneath the storage roots',
  host: "start what starts with the host, end all machines with it, look into processes that are not qward's, and compare the history with the broker's log",
} as const;
export type Right = keyof typeof rightMeanings;
// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the keys of the object above
export const rights = Object.keys(rightMeanings) as readonly Right[];

/** Rights that an owner can give to other users; all others are the roles' alone. */
export const grantableRights = [
  'see',
  'operate',
  'console',
  'guest',
  'monitor',
] as const satisfies readonly Right[];
export type GrantableRight = (typeof grantableRights)[number];

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
    notAdmitted: z.boolean().describe('It runs, and the policy of now would not let it start.'),
    autostart: z.boolean().describe('It starts with the host.'),
    restart: z
      .object({
        at: z.string().describe('When, ISO 8601.'),
        attempt: z.int(),
        of: z.int().describe('So many within `restart.within`, and no more.'),
      })
      .nullable()
      .describe('It ended, and is started again by itself.'),
    addresses: z
      .array(z.string())
      .describe(
        'Of its guest while it runs: leases of managed networks, then what the host’s neighbour table and the agent in the guest say.',
      ),
    wallsDiffer: z
      .boolean()
      .describe(
        'It runs, and a wall was not as planned when it was last looked at (`onAuditFailure: warn`).',
      ),
    beyond: z
      .array(z.string())
      .describe(
        'What its definition asks for beyond the walls of every machine: `seccomp off`, `passthrough`.',
      ),
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
        how: z.enum(['shut down', 'killed', 'saved', 'moved', 'crashed', 'start failed', 'not known']),
        signal: z.string().nullable(),
        exitCode: z.int().nullable(),
        log: z.array(z.string()).describe("The last lines of QEMU's own log."),
        at: z.string(),
        message: z.string(),
      })
      .nullable(),
    audit: z.object({ ok: z.boolean(), at: z.string() }).nullable(),
    saved: z
      .object({
        at: z.string().describe('ISO 8601.'),
        by: z.string(),
        bytes: z.int().describe('Of the memory in its file.'),
        unusable: z.string().nullable().describe('Why it cannot be resumed.'),
      })
      .nullable()
      .describe('A state is kept: the next start goes on with it.'),
    progress: z
      .object({
        doing: z.enum(['saving', 'restoring', 'moving', 'arriving', ...blockDoings]),
        percent: z.number(),
      })
      .nullable()
      .describe('How far its memory is written or read, or what is done to its disks.'),
    moved: moveStatus,
    notRestarted: z.string().nullable().describe('Why it is not started again by itself any more.'),
    consoleWriter: z.string().nullable().describe('Who holds the console for writing.'),
    networks: z
      .array(
        z.object({
          nic: z.string(),
          up: z.boolean(),
          fault: z.string().nullable().describe('Why its link is down.'),
          forward: z.array(z.string()).describe('Ports of the host that lead to the guest.'),
          address: z.string().nullable().describe('The guest’s lease in a managed network.'),
        }),
      )
      .describe('User networks and managed networks of the running machine.'),
    beside: z
      .array(
        z.object({
          name: z.string().describe('`tpm`, or `share TAG`.'),
          up: z.boolean(),
          fault: z.string().nullable().describe('Why it is down.'),
        }),
      )
      .describe('Servers beside the running machine.'),
    notAdmittedFor: z
      .array(z.string())
      .describe('Why the policy of now would not let it start, each with the line that refuses it.'),
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
const drillReport = opaque<DrillReport>(
  'DrillReport',
  'Each attempt to get out of the jail, what became of it, and its control (src/audit/drill/report.ts).',
);

const who = z.string().min(1).max(256).describe('A user by name or uid; a group as `@NAME` or `@GID`.');
const grantedRights = z.array(z.enum(grantableRights)).min(1).max(8);
const grants = z
  .object({
    name,
    owner: z.string().describe('User name of the owner.'),
    grants: z.array(
      z.object({
        who: z.string().describe('The user, or the group as `@NAME`, as it was called when it was granted.'),
        id: z.int().describe('The uid or gid, which is what counts.'),
        rights: grantedRights,
      }),
    ),
  })
  .meta({ id: 'Grants' });
export type Grants = z.output<typeof grants>;

export const historyOutcomes = ['begun', 'done', 'refused', 'failed'] as const;
export const historyEntry = z
  .object({
    id: z.int().describe('Grows with each entry.'),
    at: z.string().describe('ISO 8601.'),
    uid: z.int(),
    user: z.string(),
    pid: z.int().nullable().describe('Process that made the connection.'),
    call: z.string(),
    machine: z.string().nullable(),
    outcome: z
      .enum(historyOutcomes)
      .describe('begun: a call that took longer, at its start; its end is another entry.'),
    code: z.string().nullable().describe('Of the fault that refused it, or with which it failed.'),
    rule: z.string().nullable().describe('The key of the policy, or the rule of qward, that decided.'),
    details: z.string().nullable(),
  })
  .meta({ id: 'HistoryEntry' });
export type HistoryEntry = z.output<typeof historyEntry>;

/** What is asked of the history; everything that is given must hold. */
const historyFilter = {
  machine: z.string().max(63).optional().describe('Only this machine.'),
  user: z.string().max(256).optional().describe('Only calls of this user, by name or uid.'),
  refused: z.stringbool().default(false).describe('Only what was refused.'),
};

const policyFault = z.object({
  message: z.string(),
  hint: z.string(),
  rule: z.string().nullable().describe('The key of the policy, `storageRoots[1]`, or a rule of qward.'),
  ruleAt: z.string().nullable().describe('Where it stands, or that it is the default.'),
});
const policyReport = z
  .object({
    path: z.string().describe('The file.'),
    ok: z.boolean().describe('While it is faulty, nothing is started.'),
    faults: z.array(policyFault),
    rows: z
      .array(
        z.object({
          key: z.string(),
          value: z.unknown(),
          line: z.int().nullable().describe('Line of the file; null: the default.'),
        }),
      )
      .describe('Every key in force; an item of a list is a row of its own. Empty while the file is faulty.'),
  })
  .meta({ id: 'PolicyReport' });
const admissionReport = z
  .object({
    name,
    admitted: z.boolean().describe('Whether the policy lets the machine start.'),
    grants: z.array(
      z.object({
        what: z.string().describe('`file (rw)`, `bridge`, `limit memory`.'),
        resource: z.string(),
        admitted: z.boolean(),
        rule: z.string().nullable().describe('The key of the policy that decides; null: none needs to.'),
        ruleAt: z.string().nullable().describe('Where it stands, or that it is the default.'),
        message: z.string().describe('Why it is refused; else empty.'),
        hint: z.string(),
      }),
    ),
    others: z.array(policyFault).describe('What else stands in the way of a start.'),
  })
  .meta({ id: 'AdmissionReport' });

export const bootStates = [
  'not-begun',
  'waiting',
  'starting',
  'started',
  'ready',
  'not-ready',
  'failed',
  'skipped',
] as const;
const bootedMachine = z
  .object({
    name,
    state: z
      .enum(bootStates)
      .describe(
        'waiting: for others, or for its turn. started: runs, and is not ready yet. not-ready: runs, and was not ready in time. failed: did not start. skipped: was not to be started, since others are not ready.',
      ),
    reason: z.string().nullable().describe('Of what is not well.'),
    ran: z.boolean().describe('It ran before the host started its machines.'),
    at: z.string().nullable().describe('Since when, ISO 8601.'),
  })
  .meta({ id: 'BootedMachine' });
export type BootedMachine = z.output<typeof bootedMachine>;
export type BootState = BootedMachine['state'];
const autostartEntry = z
  .object({
    name,
    enabledBy: z.string().describe('User name of the administrator who enabled it.'),
    enabledAt: z.string(),
    after: z.array(z.string()).describe('Machines that must be ready before.'),
    ready: z.enum(['qmp', 'guest-agent', 'port', 'delay']).describe('What it takes to be ready.'),
    boot: bootedMachine.describe('The last time that the host started its machines.'),
  })
  .meta({ id: 'AutostartEntry' });
export type AutostartEntry = z.output<typeof autostartEntry>;

const managedNetwork = z
  .object({
    name: z.string(),
    subnet: z.string().describe('IPv4, as `10.77.0.0/24`.'),
    mode: z
      .enum(['nat', 'isolated'])
      .describe('nat: guests reach what the host reaches, and not the host. isolated: only one another.'),
    who: z
      .object({ users: z.array(z.string()), groups: z.array(z.string()) })
      .nullable()
      .describe('Whose machines may be in it, beside those of administrators; null: everybody’s.'),
    madeBy: z.string().describe('User name of the administrator.'),
    madeAt: z.string(),
    up: z.boolean().describe('A machine in it runs, and its bridge is there.'),
    served: z.boolean().describe('Its server runs, and knows every address.'),
    addresses: z.array(
      z.object({ machine: z.string(), nic: z.string(), mac: z.string(), address: z.string() }),
    ),
    machines: z.array(z.string()).describe('Whose definition names it.'),
  })
  .meta({ id: 'ManagedNetwork' });
export type ManagedNetworkEntry = z.output<typeof managedNetwork>;

const endedMachine = z
  .object({
    name,
    action: z.enum(['stop', 'save', 'kill', 'leave']),
    outcome: z
      .string()
      .describe('`shut down`, `saved`, `killed after 20s`, `left running`, or why it did not end.'),
    ended: z.boolean(),
    tookMs: z.int(),
  })
  .meta({ id: 'EndedMachine' });
export type EndedMachine = z.output<typeof endedMachine>;

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
  /** Goes to the history. */
  readonly logged?: true;
}

/** What is answered as it is, without a call: the other rows of the table of rights. */
export const documents: Readonly<
  Record<'openapi' | 'metrics', { readonly path: string; readonly right: Right; readonly summary: string }>
> = {
  openapi: { path: '/openapi.json', right: 'see', summary: 'This API, as an OpenAPI 3.1 document.' },
  metrics: {
    path: '/metrics',
    right: 'see',
    summary: 'Figures of the machines that you may see, in the text format of Prometheus.',
  },
};

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
      quota: z
        .object({
          rule: z.string().describe('Key of the policy.'),
          used: z.object({
            machines: z.int(),
            cpus: z.int(),
            memory: z.int().describe('Bytes.'),
            disk: z.int().describe('Virtual sizes of writable disks, bytes.'),
          }),
          most: z.object({
            machines: z.int().nullable(),
            cpus: z.int().nullable(),
            memory: z.int().nullable(),
            disk: z.int().nullable(),
          }),
        })
        .nullable()
        .describe('What your machines have together, and the most that they may have; null: no quota.'),
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
    query: z.strictObject({
      full: z.stringbool().default(false),
      saved: z.stringbool().default(false).describe('That of the saved state, with every default.'),
    }),
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
  setVariables: {
    ...endpoints.setVariables,
    right: 'define',
    logged: true,
    summary: 'Replaces the UEFI variables of a stopped machine, or throws them away.',
    params: onMachine,
    body: z.strictObject({
      variables: z
        .base64()
        .max(450_000)
        .nullable()
        .describe(
          'What a flash chip with OVMF’s variables has, as OVMF_VARS.fd; compressed by gzip, base64. null: the next start begins with empty ones.',
        ),
    }),
    result: z.object({ name, outcome: z.enum(['replaced', 'emptied']) }),
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
    summary: 'Starts, or goes on where a saved machine was; succeeds where it runs already.',
    params: onMachine,
    body: z
      .strictObject({
        paused: z.boolean().default(false),
        state: z
          .enum(['use', 'require', 'discard'])
          .default('use')
          .describe(
            'Its saved state: goes on with it where there is one; refuses where there is none; or throws it away, and boots.',
          ),
      })
      .prefault({}),
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
  save: {
    ...endpoints.save,
    right: 'operate',
    logged: true,
    summary: 'Keeps memory and devices of a running machine, and ends it: the next start goes on there.',
    params: onMachine,
    result: done,
  },
  ...snapshotRoutes,
  ...migrationRoutes,
  discardState: {
    ...endpoints.discardState,
    right: 'operate',
    logged: true,
    summary: 'Throws the saved state of a machine away: what was in its memory is lost, as by a crash.',
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
  autostart: {
    ...endpoints.autostart,
    right: 'see',
    summary:
      'Which of the machines that you may see start with the host, and what became of it the last time.',
    result: z.object({
      booting: z.boolean().describe('They are being started now.'),
      machines: z.array(autostartEntry),
    }),
  },
  autostartOff: {
    ...endpoints.autostartOff,
    right: 'operate',
    logged: true,
    summary:
      'The machine no longer starts with the host. That it does is for administrators to say, to the broker: `qward autostart on`.',
    params: onMachine,
    result: z.object({ name, outcome: z.enum(['disabled', 'was not enabled']) }),
  },
  networks: {
    ...endpoints.networks,
    right: 'see',
    summary:
      'Managed networks that your machines may have, with the addresses of the machines that you may see. Root makes and administrators remove them, at the broker: `qward network create`.',
    result: z.object({ networks: z.array(managedNetwork) }),
  },
  hostBoot: {
    ...endpoints.hostBoot,
    right: 'host',
    logged: true,
    summary:
      'Starts what is to start with the host, in its order; answers when that is over. A call while another is under way joins it.',
    result: z.object({ machines: z.array(bootedMachine) }),
  },
  hostShutdown: {
    ...endpoints.hostShutdown,
    right: 'host',
    logged: true,
    summary:
      'Ends all machines as the definition of each says (`onHostShutdown`), in reverse order of `autostart.after`, and answers when that is over; nothing starts any more. A call while another is under way joins it.',
    result: z.object({
      ok: z.boolean().describe('None runs any more, those that are left excepted.'),
      machines: z.array(endedMachine),
    }),
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
  drill: {
    ...endpoints.drill,
    right: 'define',
    logged: true,
    summary: "Tries to get out of a stopped machine's jail, with a prober in QEMU's place.",
    params: onMachine,
    result: drillReport,
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
      lines: z.array(z.object({ at: z.string(), from: z.enum(['qemu', 'qward', 'hook']), text: z.string() })),
    }),
  },
  why: {
    ...endpoints.why,
    right: 'console',
    summary:
      'What was denied to QEMU, as its own log and lines of the kernel tell, each with the grant that would allow it.',
    params: onMachine,
    body: z.strictObject({
      kernel: z
        .array(z.string().max(2000))
        .max(200)
        .default([])
        .describe("Lines of the kernel's log about denials, as far as the caller may read it."),
    }),
    result: z.object({
      name,
      denials: z.array(z.object({ said: z.string(), wanted: z.string(), cure: z.string() })),
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
    logged: true,
    summary: 'The serial console: binary frames both ways, text frames are JSON notices.',
    params: onMachine,
    query: z.strictObject({
      mode: z.enum(['write', 'watch']).default('write'),
      steal: z.stringbool().default(false),
      replay: z.stringbool().default(true),
      from: z.coerce
        .number()
        .int()
        .min(0)
        .optional()
        .describe('Begin the replay at this offset, as a notice told it: for a client that goes on.'),
    }),
  },
  vnc: {
    ...endpoints.vnc,
    right: 'console',
    logged: true,
    summary:
      'The screen, keyboard and pointer: RFB in binary frames both ways, text frames are JSON notices.',
    params: onMachine,
  },
  ...guestRoutes,
  ...hotplugRoutes,
  ...blockRoutes,
  ...throwawayRoutes,
  ...statsRoutes,
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
  grants: {
    ...endpoints.grants,
    right: 'grant',
    summary: 'Who has which rights on the machine, beside its owner and the roles.',
    params: onMachine,
    result: grants,
  },
  grant: {
    ...endpoints.grant,
    right: 'grant',
    logged: true,
    summary: 'Gives a user, or the members of a group, rights on this machine.',
    params: onMachine,
    body: z.strictObject({ who, rights: grantedRights }),
    result: grants,
  },
  revoke: {
    ...endpoints.revoke,
    right: 'grant',
    logged: true,
    summary: 'Takes rights back; open consoles end with the right.',
    params: onMachine,
    body: z.strictObject({ who, rights: grantedRights.optional().describe('None: all of them.') }),
    result: grants,
  },
  give: {
    ...endpoints.give,
    right: 'transfer',
    logged: true,
    summary: 'Gives a stopped machine to another owner. Grants of the owner before end with it.',
    params: onMachine,
    body: z.strictObject({ to: z.string().min(1).max(256).describe('A user by name or uid.') }),
    result: done,
  },
  history: {
    ...endpoints.history,
    right: 'see',
    summary:
      'Who did, or tried to do, what. Administrators see all, owners what concerned their machines, everybody the own calls.',
    query: z.strictObject({
      ...historyFilter,
      since: z.iso.datetime().optional().describe('Only from this time on.'),
      limit: z.coerce.number().int().min(1).max(10_000).default(200).describe('The last so many.'),
    }),
    result: z.array(historyEntry),
  },
  historyFollow: {
    ...endpoints.historyFollow,
    right: 'see',
    summary: 'The same as it comes: one entry a text frame, once it is kept.',
    query: z.strictObject(historyFilter),
  },
  historyCompare: {
    ...endpoints.historyCompare,
    right: 'host',
    summary: "Where the manager's record of what it asked of the broker, and the broker's own log, differ.",
    query: z.strictObject({ since: z.iso.datetime().optional().describe('Default: a day ago.') }),
    result: z.object({
      same: z.boolean(),
      from: z.string().describe('From when on both were compared, ISO 8601.'),
      compared: z.int().describe('Entries of the broker that were looked at.'),
      differences: z.array(
        z.object({
          at: z.string(),
          kind: z.enum(['not-asked', 'not-seen', 'intruder']),
          call: z.string(),
          machine: z.string(),
          message: z.string(),
        }),
      ),
      claims: z
        .array(
          z.object({
            at: z.string(),
            uid: z.int().nullable(),
            call: z.string(),
            machine: z.string(),
            ok: z.boolean(),
            details: z.string().describe('What the user said, as the log has it; not to be trusted.'),
          }),
        )
        .describe(
          'The last of what users said to the broker past the manager: claims, and what starts with the host. Not compared.',
        ),
    }),
  },
  ...diskRoutes,
  policy: {
    ...endpoints.policy,
    right: 'see',
    summary: 'The policy in force, with what its file says and what is default.',
    result: policyReport,
  },
  policyExplain: {
    ...endpoints.policyExplain,
    right: 'see',
    summary: 'What of a machine the policy admits, and which key decides. Nothing is started.',
    params: onMachine,
    result: admissionReport,
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

export type { ConsoleNotice, FileNotice, MachineEvent } from './stream-messages.ts';
