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
    const action = actions.find((candidate) => candidate === word);
    if (action === undefined) return usage(`host: "${word}" is not an action; up, down or status expected`);
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
  if (action === 'up' && flags['manager-uid'] === undefined && process.getuid?.() === 0) {
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
    const { livingDaemons } = await import('../../host/daemons.ts');
    const daemons = livingDaemons(site);
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
  const stopped = leaveMachines ? [] : await context.during('shutting machines down', stopMachines(client));
  if (stopped === undefined)
    return failed(
      [
        {
          message: 'the manager does not answer, so its machines cannot be shut down',
          hint: 'run `qward host up` first, or end the daemons alone with --leave-machines',
        },
      ],
      5,
    );
  const { hostDown } = await import('../../host/down.ts');
  return finish(await hostDown(site), stopped);
}

type Client = Context['client'];

/** A line for each machine that ran; undefined where the manager does not answer. */
async function stopMachines(client: Client): Promise<string[] | undefined> {
  const list = await client.call('list', {});
  if (!list.ok) return undefined;
  const running = list.result.filter(
    ({ state }) => state !== 'stopped' && state !== 'crashed' && state !== 'failed',
  );
  return await Promise.all(
    running.map(async ({ name }) => {
      const reply = await client.call('stop', { name });
      return reply.ok
        ? `${name}: ${reply.result.outcome}\n`
        : `${name}: ${reply.faults.map(({ message }) => message).join('; ')}\n`;
    }),
  );
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
