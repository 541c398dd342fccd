import { connect } from 'node:net';
import { pipeline } from 'node:stream';
import { claimsSocketBeside } from '../../api/reach.ts';
import { localTargetFiles } from '../../api/target-files.ts';
import { defineCommand } from '../command.ts';
import { greetingLine } from '../remote/greeting.ts';
import { Mux, type Channel } from '../remote/mux.ts';
import { TargetServer } from '../remote/target-channel.ts';
import { printed, usage } from '../results.ts';

export const dialStdio = defineCommand({
  name: 'dial-stdio',
  summary: 'Serve the sockets of this host on standard input and output.',
  details:
    'What `qward -H ssh://HOST` runs on HOST, over ssh. It connects as the user that runs it, and to the sockets of qward alone.\n' +
    'With --sockets-only it makes no files, for accounts that have this and no shell: see docs/remote.md.',
  arguments: {},
  options: {
    socketsOnly: {
      kind: 'flag',
      help: 'Make no files for `qward disk`; the broker still makes those of administrators.',
    },
  },
  examples: [
    {
      line: 'qward dial-stdio --sockets-only --system',
      meaning: 'as ForceCommand of sshd: an account that has this alone',
    },
  ],
  async run(context, { options: { socketsOnly } }) {
    if (context.io.isTerminal(0))
      return usage('dial-stdio: nothing for people; `qward -H ssh://HOST` runs it');
    const { stdin, stdout } = process;
    const files = new TargetServer(localTargetFiles);
    // From the words or QWARD_SOCKET of this host, never from the other side.
    const api = context.client.reach.name;
    stdout.write(greetingLine({ uid: process.getuid?.() ?? -1, files: !socketsOnly }));
    const ended = new Promise<Error | undefined>((resolve) => {
      void new Mux({
        input: stdin,
        output: stdout,
        onOpen: (name, channel) => {
          if (name === 'api') join(channel, api);
          else if (name === 'claims') join(channel, claimsSocketBeside(api));
          else if (name === 'files' && !socketsOnly) files.serve(channel);
          else channel.destroy(new Error('nothing of that name'));
        },
        onEnd: resolve,
      });
    });
    await ended;
    await files.end();
    return printed();
  },
});

/** A connection of this process's own: the sockets take its user for the caller. */
function join(channel: Channel, path: string): void {
  const socket = connect({ path, allowHalfOpen: true });
  const refused = (error: Error): void => void channel.destroy(error);
  channel.on('error', () => socket.destroy());
  socket.once('error', refused);
  socket.once('connect', () => {
    socket.off('error', refused);
    channel.accept();
    pipeline(channel, socket, () => undefined);
    pipeline(socket, channel, () => undefined);
  });
  channel.once('close', () => {
    if (socket.connecting) socket.destroy();
  });
}
