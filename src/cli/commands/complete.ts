import { defineCommand } from '../command.ts';
import { done, usage } from '../results.ts';

const timeoutMs = 2000;
const remoteTimeoutMs = 5000;
/** A shell expands the words that it completes: nothing that it could take for more than a name goes there. */
const plainName = /^[a-z][a-z0-9-]{0,62}$/;

export const complete = defineCommand({
  name: '__complete',
  summary: 'What the completion scripts ask: words, one a line.',
  arguments: { KIND: { help: 'machines or hosts.', complete: ['machines', 'hosts'] } },
  options: {},
  examples: [],
  async run({ client, remote, io }, { arguments: { KIND: kind } }) {
    if (kind === 'hosts') {
      const { knownHosts } = await import('../remote/known-hosts.ts');
      const hosts = knownHosts(io.env['HOME'] ?? '/nonexistent');
      return done(hosts, () => hosts.map((host) => `${host}\n`).join(''));
    }
    if (kind !== 'machines') return usage(`__complete: no words of kind "${kind}"`);
    const reply = await client.call(
      'list',
      {},
      { timeoutMs: remote === undefined ? timeoutMs : remoteTimeoutMs },
    );
    // Somebody presses Tab: no words are better than an error on the command line.
    const names = reply.ok ? reply.result.map(({ name }) => name).filter((name) => plainName.test(name)) : [];
    return done(names, () => names.map((name) => `${name}\n`).join(''));
  },
});
