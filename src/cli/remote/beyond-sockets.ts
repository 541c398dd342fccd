/**
 * The commands that need more of a host than the two sockets of an instance. Every other one works on another host over the
 * connection; with -H these run there as a whole, over ssh, or here whatever -H says (docs/decisions/0073). Pure.
 */
import type { ParsedInput } from '../command.ts';
import { optionFlag } from '../parse-arguments.ts';

export interface BeyondSockets {
  /** The command, alone or with the first of its words or an option. */
  readonly words: string;
  readonly runs: 'there' | 'here';
  /** What of a host it needs. */
  readonly why: string;
}

export const beyondSockets: readonly BeyondSockets[] = [
  { words: 'host', runs: 'there', why: 'daemons, units and accounts' },
  { words: 'policy check', runs: 'there', why: 'a file, and the accounts that it names' },
  { words: 'list --all-instances', runs: 'there', why: 'the sockets of both instances' },
  { words: 'image', runs: 'there', why: 'images in the home of the account, fetched with its rights' },
  { words: 'create', runs: 'there', why: 'images, and keys, in the home of the account' },
  {
    words: 'ssh',
    runs: 'there',
    why: 'ports of its loopback interface, and keys in the home of the account',
  },
  { words: 'dial-stdio', runs: 'here', why: 'nothing: it is the other end of a connection' },
  { words: 'version', runs: 'here', why: 'nothing: it is about this program' },
  { words: 'help', runs: 'here', why: 'nothing: it is about this program' },
  { words: 'completion', runs: 'here', why: 'nothing: it is about this program' },
];

export function beyondOf(command: string, input: ParsedInput): BeyondSockets | undefined {
  const [first] = Object.values(input.arguments);
  const said = [
    command,
    `${command} ${String(first)}`,
    ...Object.entries(input.options).flatMap(([name, value]) =>
      value === true ? [`${command} ${optionFlag(name)}`] : [],
    ),
  ];
  return beyondSockets.find(({ words }) => said.includes(words));
}
