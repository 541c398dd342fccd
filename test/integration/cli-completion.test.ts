/** Completion in a real bash, with the names of machines from a manager. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { cli } from '../support/cli.ts';
import { ok, startFakeManager } from '../support/fake-manager.ts';
import { machineSummary } from '../support/machine-samples.ts';

const root = resolve(import.meta.dirname, '../..');

/** What bash offers for these words, the last of them begun. */
async function complete(
  words: readonly string[],
  socketPath: string,
  more: Readonly<Record<string, string>> = {},
): Promise<string[]> {
  const script = `
    source "$ROOT/packaging/completions/qward.bash"
    qward() { "$NODE" "$ROOT/src/cli/main.ts" "$@"; }
    COMP_WORDS=(qward "$@"); COMP_CWORD=$#
    _qward 2>/dev/null; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const env = { ...process.env, ROOT: root, NODE: process.execPath, QWARD_SOCKET: socketPath, ...more };
  const { stdout } = await promisify(execFile)('bash', ['-c', script, 'bash', ...words], { env });
  return stdout.split('\n').filter((word) => word !== '');
}

test('bash completes commands, options, their values and names of machines', async () => {
  await using manager = await startFakeManager({
    handlers: { list: () => ok([machineSummary('web1'), machineSummary('web2'), machineSummary('db')]) },
  });
  const offered = (...words: string[]) => complete(words, manager.socketPath);
  assert.deepEqual(await offered('sta'), ['status', 'start', 'stats']);
  assert.deepEqual(await offered('start', 'w'), ['web1', 'web2']);
  assert.deepEqual(await offered('start', 'web1', ''), ['web1', 'web2', 'db']);
  assert.deepEqual(await offered('stop', '--t'), ['--timeout']);
  assert.deepEqual(await offered('stop', '-t', '5s', 'd'), ['db']);
  assert.deepEqual(await offered('list', '--state', 'pa'), ['paused']);
  assert.deepEqual(await offered('rename', 'web1', ''), []);
  assert.deepEqual(await offered('--socket', 'x', 'completion', ''), ['bash', 'zsh', 'fish']);
  // The instance that the line names is the one that is asked.
  assert.deepEqual(await complete(['--socket', manager.socketPath, 'start', 'd'], '/nowhere'), ['db']);
  assert.deepEqual(await complete(['--session', 'start', 'd'], '/nowhere'), []);
  // In "define", -n takes no value; in "logs" it does.
  assert.deepEqual(await offered('logs', '-n', '5', 'd'), ['db']);
});

/** Machines by way of a program in qward's place, which keeps what it was asked. */
async function inShell(
  shell: 'zsh' | 'fish',
  script: string,
): Promise<{ readonly out: string; readonly asked: readonly string[] }> {
  const directory = mkdtempSync(join(tmpdir(), 'qward-shell-'));
  try {
    const program = `#!/bin/sh\necho "$@" >>'${directory}/asked'\nprintf 'web1\\nweb2\\ndb\\n'\n`;
    writeFileSync(join(directory, 'qward'), program, { mode: 0o755 });
    writeFileSync(join(directory, 'asked'), '');
    const env = {
      PATH: `${directory}:/usr/bin:/bin`,
      HOME: directory,
      TERM: 'xterm',
      COMPLETIONS: join(root, 'packaging/completions'),
    };
    const options = shell === 'zsh' ? ['-f'] : ['--no-config'];
    const { stdout } = await promisify(execFile)(shell, [...options, '-c', script], { env });
    return { out: stdout, asked: readFileSync(join(directory, 'asked'), 'utf8').trimEnd().split('\n') };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

const asked = [
  '__complete machines',
  '--session __complete machines',
  '--socket /x __complete machines',
  '-H ssh://h __complete machines',
];

test('fish completes commands and machines, of the instance that the line names', async () => {
  const lines = [
    'qward start d',
    'qward --session start d',
    'qward --socket /x start d',
    'qward -H ssh://h start d',
  ];
  const script = [
    'source $COMPLETIONS/qward.fish',
    ...lines.map((line) => `complete -C "${line}"`),
    'complete -C "qward stat"',
  ];
  const told = await inShell('fish', script.join('; '));
  assert.deepEqual(told.asked, asked);
  assert.match(told.out, /^(db\n){4}stats\t.*\nstatus\t.*\n$/);
});

test('zsh completes commands and machines, of the instance that the line names', async () => {
  // Keys into a terminal, as zsh completes nowhere else; each line is waited for until its name is whole.
  const script = `zmodload zsh/zpty
zpty z zsh -f -i
typeset seen
zpty -w z 'PS1="rea""dy> "; fpath=($COMPLETIONS $fpath); autoload -Uz compinit; compinit -u -D; bindkey "^I" complete-word'
zpty -r -m z seen '*ready> *'
for line in 'qward start d' 'qward --session start d' 'qward --socket /x start d' 'qward -H ssh://h start d' 'qward --session statu'; do
  zpty -w -n z "$line"$'\t'
  zpty -r -m z seen "*\${line}[bs]*"
  print "$line"
  zpty -w -n z $'\x15'
done
zpty -d z`;
  const told = await inShell('zsh', script);
  assert.deepEqual(told.asked, asked);
  assert.match(told.out, /statu\n$/);
});

test('bash completes hosts that ssh knows, and machines of the host that the line names', async (context) => {
  await using manager = await startFakeManager({ handlers: { list: () => ok([machineSummary('far')]) } });
  const directory = mkdtempSync(join(tmpdir(), 'qward-hosts-'));
  context.after(() => rmSync(directory, { recursive: true }));
  mkdirSync(join(directory, '.ssh'));
  writeFileSync(join(directory, '.ssh/config'), 'Host db1 db2 *.example $(id)\n  User anna\n');
  writeFileSync(
    join(directory, '.ssh/known_hosts'),
    'db3,192.0.2.1 ssh-ed25519 AAAA\n|1|a=|b= ssh-ed25519 AAAA\n',
  );
  // In ssh's place: what it was told, and the other side here.
  const main = join(root, 'src/cli/main.ts');
  const program = `echo "$@" >'${directory}/told'; exec '${process.execPath}' '${main}' dial-stdio --socket '${manager.socketPath}'`;
  writeFileSync(join(directory, 'ssh'), `#!/bin/sh\n${program}\n`, { mode: 0o755 });
  const env = { HOME: directory, PATH: `${directory}:${process.env['PATH'] ?? ''}` };
  const offered = (...words: string[]) => complete(words, '/nonexistent', env);
  assert.deepEqual(await offered('-H', ''), ['db1', 'db2', 'db3', '192.0.2.1']);
  assert.deepEqual(await offered('list', '--host', 'db2'), ['db2']);
  assert.deepEqual(await offered('-H', 'db1', 'start', ''), ['far']);
  assert.deepEqual(await offered('start', '-H', 'ssh', ':', '//anna@db1', ':', '2222', ''), ['far']);
  assert.match(
    readFileSync(join(directory, 'told'), 'utf8'),
    /BatchMode=yes.* -p 2222 -l anna -- db1 qward dial-stdio$/m,
  );
});

test('a name that a shell could take for more is not offered', async () => {
  await using manager = await startFakeManager({
    handlers: { list: () => ok([machineSummary('$(id)'), machineSummary('a;b'), machineSummary('web')]) },
  });
  assert.equal((await cli(['__complete', 'machines'], manager)).out, 'web\n');
});
