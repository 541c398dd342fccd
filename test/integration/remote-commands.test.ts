/** With -H every command goes to the other host by the connection, as a whole by ssh, or is of this host: as the one table says. */
import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { commandNames } from '../../src/cli/command-table.ts';
import { processIo } from '../../src/cli/io.ts';
import { beyondSockets } from '../../src/cli/remote/beyond-sockets.ts';
import { runCli } from '../../src/cli/run.ts';

const directory = mkdtempSync(join(tmpdir(), 'qward-remote-'));
after(() => rmSync(directory, { recursive: true, force: true }));
const asked = join(directory, 'asked');
/** In place of ssh: tells what it was asked, greets as the other side does, and lets nobody in. */
const greeting = 'qward-dial 1 {"uid":1,"files":true}';
writeFileSync(
  join(directory, 'ssh'),
  `#!/bin/sh\nprintf '%s\\n' "$*" >>'${asked}'\ncase $* in *dial-stdio*) echo '${greeting}' ;; esac\nexit 255\n`,
);
chmodSync(join(directory, 'ssh'), 0o755);
process.env['PATH'] = `${directory}:${process.env['PATH'] ?? ''}`;
const definition = join(directory, 'web.yaml');
writeFileSync(definition, 'name: web\nmemory: 128MiB\ndisks: []\n');

/** Words behind the name that a command takes, where the name of a machine alone will not do. */
const words: Readonly<Record<string, readonly string[]>> = {
  migrate: ['web', 'ssh://db2'],
  snapshot: ['list', 'web'],
  autostart: ['list'],
  nvram: ['web', '--reset'],
  resize: ['web', 'root', '2GiB'],
  backup: ['list', 'web'],
  commit: ['web', 'root'],
  pull: ['web', 'root'],
  mirror: ['web', 'root', '/images/other.qcow2'],
  detach: ['web', 'root'],
  screenshot: ['web', join(directory, 'screen.png')],
  'send-key': ['web', 'ret'],
  monitor: ['web', 'info', 'block'],
  qmp: ['web', 'query-status'],
  run: ['/images/debian.qcow2', 'true'],
  exec: ['web', 'true'],
  cp: ['web:/etc/hostname', join(directory, 'hostname')],
  define: [definition],
  set: ['web', 'memory=256MiB'],
  apply: [directory],
  rename: ['web', 'other'],
  import: ['qemu', '--define', '--', 'qemu-system-x86_64', '-name', 'web', '-m', '128'],
  export: ['libvirt', 'web'],
  clone: ['web', 'other'],
  grant: ['web', 'bob', 'console'],
  revoke: ['web', 'bob'],
  give: ['web', 'bob'],
  disk: ['create', '/images/new.qcow2', '1GiB'],
  network: ['list'],
  claims: [],
  claim: ['web', '/images/web.qcow2'],
  unclaim: ['web', '--all'],
  policy: ['show'],
  doctor: [],
  info: [],
};

interface Told {
  readonly status: number;
  readonly text: string;
  readonly asked: readonly string[];
}

async function tell(given: readonly string[]): Promise<Told> {
  rmSync(asked, { force: true });
  let text = '';
  const status = await runCli(['-H', 'db1', ...given], {
    ...processIo(),
    env: { HOME: directory, XDG_RUNTIME_DIR: directory },
    isTerminal: () => false,
    write: (_descriptor, piece) => (text += piece.toString()),
    readInput: () => 'name: web\nmemory: 128MiB\n',
    readLine: () => undefined,
  });
  return { status, text, asked: existsSync(asked) ? readFileSync(asked, 'utf8').trim().split('\n') : [] };
}

/** What the table has beside whole commands, and commands that it has with words of theirs. */
const further: Readonly<Record<string, readonly string[]>> = {
  'policy check': ['policy', 'check', '/etc/qward/policy.json'],
  'list --all-instances': ['list', '--all-instances', 'w*'],
};
const cases = [
  ...commandNames.map((name) => ({ name, given: [name, ...(words[name] ?? ['web'])] })),
  ...Object.entries(further).map(([name, given]) => ({ name, given })),
];

for (const { name, given } of cases)
  test(`${name} on another host`, async () => {
    const { status, text, asked: lines } = await tell(given);
    const beyond = beyondSockets.find((one) => one.words === name);
    if (beyond?.runs === 'here') return assert.deepEqual(lines, [], text);
    assert.match(lines[0] ?? '', / -- db1 qward dial-stdio$/, text);
    if (beyond === undefined) assert.equal(lines.length, 1, lines.join('\n'));
    else assert.match(lines[1] ?? '', new RegExp(` -- db1 qward --host= ${given[0]} .*-- `));
    // ssh's own status for `ssh`; of the broker's socket alone the broker is what does not answer.
    const expected = name === 'ssh' ? 255 : /the broker does not answer on ssh:/.test(text) ? 1 : 5;
    assert.equal(status, expected, text);
  });

test('the table names commands that there are, each once, with what they need', () => {
  const names = beyondSockets.map((one) => one.words);
  assert.equal(new Set(names).size, names.length);
  assert.deepEqual(
    names.filter((name) => !cases.some((one) => one.name === name)),
    [],
  );
  for (const { words: name, why } of beyondSockets) assert.match(why, /^[a-z].{10,}[^.]$/, name);
});
