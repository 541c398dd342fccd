/** Options that every command has. */
import type { OptionSpecs } from './command.ts';

export const globalOptions = {
  help: { kind: 'flag', short: 'h', help: 'Show help.' },
  json: { kind: 'flag', help: "Print the API's data as JSON." },
  quiet: { kind: 'flag', short: 'q', help: 'Print errors only; of a list, names only.' },
  noColor: { kind: 'flag', help: 'No colours, as with NO_COLOR in the environment.' },
  host: {
    kind: 'text',
    short: 'H',
    value: 'HOST',
    complete: 'host',
    help: 'Work on another host, over ssh: ssh://[user@]host[:port]; else QWARD_HOST, else this host.',
  },
  system: { kind: 'flag', help: "The host's machines, whoever calls." },
  session: {
    kind: 'flag',
    help: 'Your own machines, with your own rights alone; without either, what /etc/qward/instances.json says.',
  },
  socket: {
    kind: 'text',
    value: 'PATH',
    complete: 'file',
    help: "The manager's socket; else QWARD_SOCKET, else /run/qward/api.sock.",
  },
} as const satisfies OptionSpecs;
