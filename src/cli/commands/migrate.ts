import { QwardClient } from '../../api/client.ts';
import { TransportError } from '../../api/http.ts';
import { localReach, type Reach } from '../../api/reach.ts';
import { defineCommand, type CommandResult } from '../command.ts';
import type { Context } from '../context.ts';
import { speedOf } from '../disk/change-chain.ts';
import { interruptible } from '../interruptible.ts';
import { oneMachine } from '../machine-arguments.ts';
import { withMemoryProgress } from '../memory-progress.ts';
import { escapeLine } from '../render/escape.ts';
import { formatBytes } from '../render/sizes.ts';
import { failed, fromReply, usage } from '../results.ts';
import type { MovedMachine, MoveLimits } from '../migrate/move-machine.ts';

/** The other instance; what is wrong with the word is a string. */
async function reachOf(word: string): Promise<Reach | string> {
  if (word.startsWith('/')) return localReach(word);
  const [{ parseRemoteHost }, { sshReach }] = await Promise.all([
    import('../remote/remote-host.ts'),
    import('../remote/ssh-reach.ts'),
  ]);
  const parsed = parseRemoteHost(word);
  return typeof parsed === 'string' ? parsed : sshReach(parsed, { quiet: false });
}

function movedLine(name: string, host: string, { downtimeMs, bytes }: MovedMachine): string {
  const stood = downtimeMs === undefined ? '' : `, stood still for ${downtimeMs} ms`;
  const sent = bytes === undefined ? '' : `, ${formatBytes(bytes)} went over`;
  return `${escapeLine(`${name}: runs on ${host} now${stood}${sent}`)}\n`;
}

async function moveTo(
  context: Context,
  { name, host, limits }: { readonly name: string; readonly host: string; readonly limits: MoveLimits },
): Promise<CommandResult> {
  const reach = await reachOf(host);
  if (typeof reach === 'string')
    return usage(`migrate: ${reach}`, 'or the path of the socket of another manager');
  using there = new QwardClient(reach);
  const { moveMachine } = await import('../migrate/move-machine.ts');
  const doing = `moving ${name}`;
  return await interruptible(async (signal) => {
    try {
      const moved = await context.progressing(doing, (progress) =>
        withMemoryProgress(
          context,
          name,
          moveMachine({ here: context.client, there }, { name, limits, signal }),
          (text) => progress.label(doing + text),
        ),
      );
      return fromReply(moved, (result) => movedLine(name, host, result));
    } catch (error) {
      if (!(error instanceof TransportError)) throw error;
      // Which of the two it was, its words say; where the guest is, the manager here knows.
      return failed([
        {
          code: 'manager-unreachable',
          message: `${host}, or the manager here, does not answer: ${wordsOf(error)}`,
          hint: `Where it is: \`qward status ${name}\`. Then the same again.`,
        },
      ]);
    }
  }, `interrupted: \`qward status ${name}\` shows where it is`);
}

function wordsOf({ message, cause }: TransportError): string {
  return cause instanceof Error && cause.message !== '' ? cause.message : message;
}

export const migrate = defineCommand({
  name: 'migrate',
  summary: 'Move a running machine to another host, without a stop.',
  details:
    'Its memory goes over ssh while it works; then it stands still for a moment, and runs there. Its disks must be the same files on\n' +
    'both hosts, by the same paths (NFS, a cluster file system, a SAN). It becomes a machine of yours there, in the full jail, audited\n' +
    'before it goes on. What would keep it from that is told before, all at once; whatever fails, or Ctrl-C, leaves it running here.\n' +
    'Here its definition stays, and does not start. Where the end was not heard it stands still here: the same command again asks the\n' +
    'other host; --keep and --gone say it, where that host is lost.',
  arguments: {
    NAME: oneMachine,
    HOST: {
      help: 'The other host, ssh://[user@]host[:port], or the path of the socket of another manager.',
      complete: 'host',
      optional: true,
    },
  },
  options: {
    bandwidth: {
      kind: 'text',
      value: 'SIZE',
      complete: 'none',
      help: 'Bytes a second at most, such as 100MiB.',
    },
    downtime: {
      kind: 'duration',
      value: 'TIME',
      help: 'How long it may stand still at the end, when its memory changes fast; default 300ms.',
    },
    timeout: {
      kind: 'duration',
      value: 'TIME',
      help: 'Give up after this; it goes on here. Default: never.',
    },
    keep: { kind: 'flag', help: 'Say that its guest is on no other host: it goes on, or may start, here.' },
    gone: { kind: 'flag', help: 'Say that it runs on the other host: it is ended here.' },
  },
  examples: [
    { line: 'qward migrate web ssh://db2', meaning: 'to another host' },
    {
      line: 'qward migrate web db2 --bandwidth 100MiB --downtime 1s',
      meaning: 'beside other work of the network',
    },
    { line: 'qward migrate --keep web', meaning: 'the other host burned down in the middle of it' },
  ],
  async run(context, { arguments: { NAME: name, HOST: host }, options }) {
    const { bandwidth, downtime, timeout, keep, gone } = options;
    if (keep || gone) {
      if (host !== undefined || keep === gone)
        return usage('migrate: one of --keep, --gone and HOST is to be given');
      const verdict = keep ? 'keep' : 'gone';
      const settled = await context.client.call('settleMove', { name, token: '', verdict });
      return fromReply(settled, ({ outcome }) => `${escapeLine(`${name}: ${outcome}`)}\n`);
    }
    if (host === undefined)
      return usage('migrate: HOST is missing', 'for example: qward migrate web ssh://db2');
    const speed = speedOf(bandwidth);
    if (typeof speed === 'string') return usage(`migrate: ${speed}`);
    const limits = {
      bandwidth: speed,
      ...(downtime === undefined ? {} : { downtimeMs: downtime }),
      ...(timeout === undefined ? {} : { timeoutMs: timeout }),
    };
    return await moveTo(context, { name, host, limits });
  },
});
