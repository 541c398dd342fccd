/** The compiled CLI: nothing that lies where it is run is taken for its configuration. */
import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { spawnSync } from 'node:child_process';
import { buildPrograms } from '../../scripts/build.ts';
import { version } from '../../src/protocol/version.ts';

const directory = mkdtempSync(join(tmpdir(), 'qward-compiled-'));
const built = join(directory, 'built');
before(async () => {
  await buildPrograms(built);
  symlinkSync(process.execPath, join(built, 'node'));
});
after(() => rmSync(directory, { recursive: true }));

const run = (words: readonly string[], cwd: string, env: Readonly<Record<string, string>> = {}) =>
  spawnSync(join(built, 'bin/qward'), words, {
    cwd,
    env: { PATH: '/usr/bin:/bin', ...env },
    encoding: 'utf8',
    timeout: 20_000,
  });

// SECURITY: promise 1. root runs `qward` in a directory that a user made.
test('files of the working directory are neither run nor read', () => {
  const trap = join(directory, 'trap');
  const proof = join(directory, 'proof');
  mkdirSync(join(trap, 'node_modules/ws'), { recursive: true });
  const attack = `require('node:fs').writeFileSync(${JSON.stringify(proof)}, 'run');`;
  writeFileSync(join(trap, 'attack.js'), attack);
  writeFileSync(join(trap, 'attack.cjs'), attack);
  writeFileSync(join(trap, 'node_modules/ws/index.js'), attack);
  writeFileSync(join(trap, 'node_modules/ws/package.json'), '{"name": "ws", "main": "index.js"}');
  writeFileSync(join(trap, 'bunfig.toml'), 'preload = ["./attack.js"]\n[run]\nbun = true\n');
  writeFileSync(
    join(trap, '.env'),
    `QWARD_SOCKET=${join(trap, 'api.sock')}\nNODE_OPTIONS=--require ./attack.cjs\n`,
  );
  writeFileSync(join(trap, 'tsconfig.json'), '{"compilerOptions": {"paths": {"ws": ["./attack.js"]}}}');
  writeFileSync(join(trap, 'package.json'), '{"name": "trap", "imports": {"#ws": "./attack.js"}}');
  for (const words of [['--version'], ['list'], ['events'], ['host', 'status']]) {
    const { stderr } = run(words, trap, { QWARD_SOCKET: join(directory, 'none.sock') });
    assert.equal(existsSync(proof), false, words.join(' '));
    assert.doesNotMatch(stderr, /trap/, words.join(' '));
  }
  assert.match(run(['list'], trap).stderr, /\/run\/qward\/api\.sock/);
});

test('what needs Node is run under Node, with its exit status, and a missing script is told', () => {
  const wrong = run(['host', 'sideways'], directory);
  assert.equal(wrong.status, 2);
  assert.match(wrong.stderr, /"sideways" is not an action/);
  const alone = join(directory, 'alone');
  mkdirSync(alone);
  assert.equal(spawnSync('cp', [join(built, 'bin/qward'), alone]).status, 0);
  chmodSync(join(alone, 'qward'), 0o755);
  const { status, stderr } = spawnSync(join(alone, 'qward'), ['host', 'status'], { encoding: 'utf8' });
  assert.equal(status, 1);
  assert.match(stderr, /qward-host cannot be run[\s\S]*reinstall/);
});

test('it is the same program', () => {
  assert.equal(run(['--version'], directory).stdout.trim(), `qward ${version}`);
});
