/** Completion in a real bash, with the names of machines from a manager. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { cli } from '../support/cli.ts';
import { ok, startFakeManager } from '../support/fake-manager.ts';
import { machineSummary } from '../support/machine-samples.ts';

const root = resolve(import.meta.dirname, '../..');

/** What bash offers for these words, the last of them begun. */
async function complete(words: readonly string[], socketPath: string): Promise<string[]> {
  const script = `
    source "$ROOT/packaging/completions/qward.bash"
    qward() { "$NODE" "$ROOT/src/cli/main.ts" "$@"; }
    COMP_WORDS=(qward "$@"); COMP_CWORD=$#
    _qward 2>/dev/null; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const env = { ...process.env, ROOT: root, NODE: process.execPath, QWARD_SOCKET: socketPath };
  const { stdout } = await promisify(execFile)('bash', ['-c', script, 'bash', ...words], { env });
  return stdout.split('\n').filter((word) => word !== '');
}

test('bash completes commands, options, their values and names of machines', async () => {
  await using manager = await startFakeManager({
    handlers: { list: () => ok([machineSummary('web1'), machineSummary('web2'), machineSummary('db')]) },
  });
  const offered = (...words: string[]) => complete(words, manager.socketPath);
  assert.deepEqual(await offered('sta'), ['status', 'start']);
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

test('a name that a shell could take for more is not offered', async () => {
  await using manager = await startFakeManager({
    handlers: { list: () => ok([machineSummary('$(id)'), machineSummary('a;b'), machineSummary('web')]) },
  });
  assert.equal((await cli(['__complete', 'machines'], manager)).out, 'web\n');
});
