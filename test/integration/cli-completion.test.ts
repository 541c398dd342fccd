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
  // In "define", -n takes no value; in "logs" it does.
  assert.deepEqual(await offered('logs', '-n', '5', 'd'), ['db']);
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
