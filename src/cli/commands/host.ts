import { runUnderNode } from '../under-node.ts';
import { isAlive } from '../select-machines.ts';
import type { Context } from '../context.ts';
import { defineCommand, type CommandResult } from '../command.ts';
import { done, failed, usage } from '../results.ts';
import type { HostSite } from '../../host/site.ts';
import { systemRoots } from '../../protocol/paths.ts';

const actions = ['up', 'down', 'status'] as const;
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
  summary: 'Bring qward up and down where no service manager does.',
  details:
    'Under systemd the package’s units start qward; elsewhere `host up` makes the directories and sockets and starts\n' +
    'both daemons, and `host down` shuts the machines down and ends the daemons. A daemon that died is started again\n' +
    'by `host up`; running machines are adopted.',
  arguments: { ACTION: { help: 'up, down or status.', complete: actions } },
  options: {
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
  ],
  async run(context, { arguments: { ACTION: word }, options }) {
    if ('bun' in process.versions) return await runUnderNode();
    const action = actions.find((candidate) => candidate === word);
    if (action === undefined) return usage(`host: "${word}" is not an action; up, down or status expected`);
    if (action !== 'status' && process.getuid?.() !== 0)
      return failed(
        [{ message: `only root can bring qward ${action}`, hint: `sudo qward host ${action}` }],
        4,
      );
    const site = await locate(action, options);
    if (!('paths' in site)) return failed([site], 1);
    return await act(context, { action, site, leaveMachines: options['leave-machines'] });
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

interface Order {
  readonly action: Action;
  readonly site: HostSite;
  readonly leaveMachines: boolean;
}

async function act(context: Context, { action, site, leaveMachines }: Order): Promise<CommandResult> {
  const { QwardClient } = await import('../../api/client.ts');
  const client = new QwardClient({ socketPath: site.paths.apiSocket });
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
    return finish(await context.during('starting qward', hostUp(site, ready)));
  }
  const stopped = leaveMachines
    ? { ok: true as const, lines: [] }
    : await context.during('shutting machines down', stopMachines(client, site));
  if (!stopped.ok) return failed(stopped.faults, stopped.exit);
  const { hostDown } = await import('../../host/down.ts');
  return finish(await hostDown(site), stopped.lines);
}

type Client = Context['client'];
type Stopped =
  | { readonly ok: true; readonly lines: readonly string[] }
  | { readonly ok: false; readonly faults: readonly Problem[]; readonly exit: 1 | 5 };
type Problem = Parameters<typeof failed>[0][number];

/** A line for each machine that ran. Where one does not stop, or nobody can stop it, the daemons are not ended either. */
async function stopMachines(client: Client, site: HostSite): Promise<Stopped> {
  const list = await client.call('list', {}).catch(() => undefined);
  if (list === undefined || !list.ok) return await unlessIdle(site);
  const running = list.result.filter(isAlive);
  const replies = await Promise.all(
    running.map(async ({ name }) => ({ name, reply: await client.call('stop', { name }) })),
  );
  const faults = replies.flatMap(({ reply }) => (reply.ok ? [] : reply.faults));
  if (faults.length > 0) return { ok: false, faults, exit: 1 };
  const lines = replies.flatMap(({ name, reply }) =>
    reply.ok ? [`${name}: ${reply.result.outcome}\n`] : [],
  );
  return { ok: true, lines };
}

/** Without a manager: fine where no machine runs. */
async function unlessIdle({ paths }: HostSite): Promise<Stopped> {
  const { readdir } = await import('node:fs/promises');
  const machines = await readdir(paths.machines).catch(() => []);
  if (machines.length === 0) return { ok: true, lines: [] };
  return {
    ok: false,
    faults: [
      {
        message: `the manager does not answer, so machines cannot be shut down: ${machines.join(', ')}`,
        hint: 'run `qward host up` first, or end the daemons alone with --leave-machines',
      },
    ],
    exit: 5,
  };
}

interface Finished {
  readonly ok: boolean;
  readonly message: string;
  readonly hint: string;
  readonly daemons: readonly { readonly name: string; readonly pid: number }[];
}

function finish({ ok, message, hint, daemons }: Finished, lines: readonly string[] = []): CommandResult {
  return ok
    ? done({ daemons, machines: lines }, () => `${lines.join('')}${message}\n`)
    : failed([{ message, hint }], 1);
}
