import { runUnderNode } from '../under-node.ts';
import type { Context } from '../context.ts';
import { defineCommand, type CommandResult } from '../command.ts';
import { done, failed, usage } from '../results.ts';
import { exitStatus } from '../exit-status.ts';
import type { StoppedMachines } from '../host/stop-machines.ts';
import type { HostSite } from '../../host/site.ts';
import { systemRoots } from '../../protocol/paths.ts';

const actions = ['up', 'down', 'status', 'start-machines', 'stop-machines'] as const;
type Action = (typeof actions)[number];

interface SiteFlags {
  readonly 'config-dir': string | undefined;
  readonly 'run-dir': string | undefined;
  readonly 'state-dir': string | undefined;
  readonly 'manager-user': string | undefined;
  readonly 'manager-uid': number | undefined;
  readonly 'cgroup-parent': string | undefined;
}

export const host = defineCommand({
  name: 'host',
  summary: 'Bring qward up and down, and the machines with it.',
  details:
    'Under systemd these start, stop and show the package’s units; elsewhere `host up` makes the directories and sockets and starts\n' +
    'both daemons, and `host down` shuts the machines down and ends the daemons. A daemon that died is started again\n' +
    'by `host up`; running machines are adopted. `host up` that finds neither daemon alive then starts what starts with the\n' +
    'host (`qward autostart`), and `host start-machines` does that alone: the package’s units call it. So they do\n' +
    'with `host stop-machines`: each machine ends as its definition says (`onHostShutdown`), those that come after others\n' +
    'first, and nothing starts any more until `host start-machines`.',
  arguments: { ACTION: { help: `${actions.join(', ')}.`, complete: actions } },
  options: {
    'no-autostart': { kind: 'flag', help: 'up: start the daemons alone.' },
    'leave-machines': { kind: 'flag', help: 'down: let the machines go on; the next `host up` adopts them.' },
    'run-dir': {
      kind: 'text',
      value: 'DIR',
      complete: 'directory',
      help: `Sockets and what runs. Default: ${systemRoots.run}.`,
    },
    'state-dir': {
      kind: 'text',
      value: 'DIR',
      complete: 'directory',
      help: `Definitions and images. Default: ${systemRoots.state}.`,
    },
    'config-dir': {
      kind: 'text',
      value: 'DIR',
      complete: 'directory',
      help: `The policy. Default: ${systemRoots.config}.`,
    },
    'manager-user': {
      kind: 'text',
      value: 'NAME',
      help: 'Account that the manager runs as, made where it is missing. Default: qward.',
    },
    'manager-uid': {
      kind: 'number',
      value: 'UID',
      help: 'A number instead of an account: nothing is added to the account database.',
    },
    'cgroup-parent': {
      kind: 'text',
      value: 'PATH',
      help: 'Where the machines’ cgroups are made. Default: /qward.',
    },
  },
  examples: [
    { line: 'sudo qward host up', meaning: 'start the daemons' },
    { line: 'sudo qward host down', meaning: 'shut all machines down and end the daemons' },
    { line: 'sudo qward host stop-machines', meaning: 'end all machines, as the host will: a line for each' },
    { line: 'sudo qward host start-machines', meaning: 'what starts with the host: a line for each machine' },
  ],
  async run(context, { arguments: { ACTION: word }, options }) {
    if ('bun' in process.versions) return await runUnderNode();
    const action = actions.find((candidate) => candidate === word);
    if (action === undefined)
      return usage(`host: "${word}" is not an action; ${actions.join(', ')} expected`);
    if (action === 'stop-machines') return await stopOnly(context, options['run-dir']);
    if (action === 'start-machines') return await startOnly(context, options['run-dir']);
    if (action !== 'status' && process.getuid?.() !== 0)
      return failed(
        [{ message: `only root can bring qward ${action}`, hint: `sudo qward host ${action}` }],
        4,
      );
    const site = await locate(action, options);
    if (!('paths' in site)) return failed([site], 1);
    return await act(context, {
      action,
      site,
      leaveMachines: options['leave-machines'],
      autostart: !options['no-autostart'],
    });
  },
});

async function locate(
  action: Action,
  flags: SiteFlags,
): Promise<HostSite | { message: string; hint: string }> {
  const { locateSite } = await import('../../host/site.ts');
  const roots = {
    config: flags['config-dir'] ?? systemRoots.config,
    run: flags['run-dir'] ?? systemRoots.run,
    state: flags['state-dir'] ?? systemRoots.state,
  };
  const managerUser = flags['manager-user'] ?? 'qward';
  if (action === 'up' && flags['manager-uid'] === undefined) {
    const { ensureAccounts } = await import('../../host/accounts.ts');
    for (const made of ensureAccounts(managerUser, roots.state)) process.stderr.write(`made ${made}\n`);
  }
  const managerUid = flags['manager-uid'];
  const outcome = locateSite({
    roots,
    managerUser,
    managerUid,
    cgroupParent: flags['cgroup-parent'] ?? '/qward',
  });
  return outcome.ok ? outcome.site : outcome;
}

/** Long enough for a manager that died to be started again and to take over what runs. */
const answerWithinMs = 60_000;
/** `host up` does not hold up whoever called it where the broker does not work. */
const answerAfterUpMs = 10_000;

/** Status 1 where not each machine runs and is ready. */
async function startOnly(context: Context, runDirectory: string | undefined): Promise<CommandResult> {
  const [{ allWell, startMachines }, { QwardClient }, { pathsBelow }] = await Promise.all([
    import('../host/start-machines.ts'),
    import('../../api/client.ts'),
    import('../../protocol/paths.ts'),
  ]);
  const client =
    runDirectory === undefined
      ? context.client
      : new QwardClient({ socketPath: pathsBelow({ ...systemRoots, run: runDirectory }).apiSocket });
  const reply = await startMachines(context, client, { answerWithinMs });
  if (!reply.ok) return failed(reply.faults);
  return done(
    { machines: reply.result },
    () => (reply.result.length > 0 || context.quiet ? '' : 'Nothing starts with the host.\n'),
    allWell(reply.result) ? 0 : 1,
  );
}

/** The daemons are up, whatever becomes of machines: what does not start is told, and is no failure of `host up`. */
async function startAfterUp(context: Context, client: Client): Promise<void> {
  const [{ startMachines }, { renderFaults }] = await Promise.all([
    import('../host/start-machines.ts'),
    import('../render/faults.ts'),
  ]);
  const faults = await startMachines(context, client, { answerWithinMs: answerAfterUpMs }).then(
    (reply) => (reply.ok ? [] : reply.faults),
    (error: unknown) => [{ message: error instanceof Error ? error.message : String(error), hint: '' }],
  );
  if (faults.length > 0) context.warn(renderFaults(faults, context.errorStyle, 'starting machines'));
}

interface Order {
  readonly autostart: boolean;
  readonly action: Action;
  readonly site: HostSite;
  readonly leaveMachines: boolean;
}

async function act(
  context: Context,
  { action, site, leaveMachines, autostart }: Order,
): Promise<CommandResult> {
  const { QwardClient } = await import('../../api/client.ts');
  const client = new QwardClient({ socketPath: site.paths.apiSocket });
  const { areUp, hasUnits, startUnits, stopUnits, unitStates } = await import('../../host/systemd.ts');
  const units = hasUnits(site);
  if (units && action === 'up')
    return finish(await context.during('starting qward', startUnits({ autostart })));
  if (units && action === 'status') {
    const states = await unitStates();
    const lines = states.map(({ unit, state }) => `${unit.padEnd(24)}${state}\n`).join('');
    return done({ daemons: [], units: states }, () => lines, areUp(states) ? 0 : 1);
  }
  if (action === 'status') {
    const { findDaemons } = await import('../../host/find-daemons.ts');
    const { daemons } = await findDaemons(site);
    const line = daemons.map(({ name, pid }) => `qward-${name} runs as pid ${pid}\n`).join('');
    return done({ daemons }, () => line || 'qward is not up\n', daemons.length === 2 ? 0 : 1);
  }
  if (action === 'up') {
    const { hostUp } = await import('../../host/up.ts');
    // A manager that does not listen yet refuses the connection: not ready.
    const ready = (): Promise<boolean> =>
      client.call('info', {}).then(
        ({ ok }) => ok,
        () => false,
      );
    const { findDaemons } = await import('../../host/find-daemons.ts');
    // A daemon that is started again is no start of the host: what was stopped meanwhile stays so.
    const fresh = await findDaemons(site).then(
      ({ daemons }) => daemons.length === 0,
      () => false,
    );
    const up = await context.during('starting qward', hostUp(site, ready));
    if (up.ok && fresh && autostart) await startAfterUp(context, client);
    return finish(up);
  }
  const stopped = leaveMachines
    ? ({ ok: true, machines: [] } as const)
    : await stopIfAny(context, client, site.paths.machines);
  if (!stopped.ok) return failed(stopped.faults, stopped.gone ? exitStatus.unreachable : undefined);
  if (units) return finish(await stopUnits({ leaveMachines }), stopped.machines);
  const { hostDown } = await import('../../host/down.ts');
  return finish(await hostDown(site), stopped.machines);
}

type Client = Context['client'];

/** Status 0 where none runs any more, those that are left to the host excepted. */
async function stopOnly(context: Context, runDirectory: string | undefined): Promise<CommandResult> {
  const [{ QwardClient }, { pathsBelow }] = await Promise.all([
    import('../../api/client.ts'),
    import('../../protocol/paths.ts'),
  ]);
  const paths = pathsBelow({ ...systemRoots, run: runDirectory ?? systemRoots.run });
  const client =
    runDirectory === undefined ? context.client : new QwardClient({ socketPath: paths.apiSocket });
  const stopped = await stopIfAny(context, client, paths.machines);
  if (!stopped.ok) return failed(stopped.faults, stopped.gone ? exitStatus.unreachable : undefined);
  const { machines } = stopped;
  return done({ machines }, () => (machines.length > 0 || context.quiet ? '' : 'Nothing runs.\n'));
}

/** Without a manager: fine where no machine runs. Where one does not end the daemons are not ended either. */
async function stopIfAny(context: Context, client: Client, directory: string): Promise<StoppedMachines> {
  const [{ stopMachines }, { readdir }] = await Promise.all([
    import('../host/stop-machines.ts'),
    import('node:fs/promises'),
  ]);
  const stopped = await stopMachines(context, client);
  if (stopped.ok || !stopped.gone) return stopped;
  // The directory is closed to users: they are told what is wrong.
  const names = await readdir(directory).catch((error: unknown) =>
    Reflect.get(Object(error), 'code') === 'ENOENT' ? [] : undefined,
  );
  if (names === undefined) return stopped;
  if (names.length === 0) return { ok: true, machines: [] };
  return {
    ...stopped,
    faults: [
      {
        message: `the manager does not answer, so machines cannot be shut down: ${names.join(', ')}`,
        hint: 'run `qward host up` first, or end the daemons alone with --leave-machines',
      },
    ],
  };
}

interface Finished {
  readonly ok: boolean;
  readonly message: string;
  readonly hint: string;
  readonly daemons: readonly { readonly name: string; readonly pid: number }[];
}

function finish({ ok, message, hint, daemons }: Finished, machines: readonly unknown[] = []): CommandResult {
  return ok ? done({ daemons, machines }, () => `${message}\n`) : failed([{ message, hint }], 1);
}
