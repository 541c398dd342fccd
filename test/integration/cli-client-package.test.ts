/** The npm package of the client: packed, installed without a network, type-checked, run by the system's Node. */
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { buildClient } from '../../scripts/build-client.ts';
import { ok, refuse, startFakeManager } from '../support/fake-manager.ts';
import { machineSummary } from '../support/machine-samples.ts';

const root = resolve(import.meta.dirname, '../..');
const run = promisify(execFile);
const directory = mkdtempSync(join(tmpdir(), 'qward-client-'));
const consumer = join(directory, 'consumer');
/** The oldest Node at hand: the one of the system, where it is new enough. */
const node = ((): string => {
  const version = existsSync('/usr/bin/node')
    ? execFileSync('/usr/bin/node', ['--version'], { encoding: 'utf8' })
    : 'v0';
  return Number(/^v(\d+)/.exec(version)?.[1]) >= 20 ? '/usr/bin/node' : process.execPath;
})();

before(async () => {
  await buildClient(join(directory, 'built'));
  const npm = { cwd: directory, env: { ...process.env, npm_config_cache: join(directory, 'cache') } };
  await run('npm', ['pack', './built', '--silent'], npm);
  execFileSync('mkdir', [consumer]);
  writeFileSync(join(consumer, 'package.json'), '{"type":"module","private":true}');
  const install = ['install', '--offline', '--no-audit', '--no-fund', '../qward-client-0.1.0.tgz'];
  await run('npm', install, { ...npm, cwd: consumer });
});
after(() => rmSync(directory, { recursive: true, force: true }));

const example = join(consumer, 'node_modules/@qward/client/example.js');

test('the example runs against a manager', async () => {
  await using manager = await startFakeManager({
    handlers: {
      list: () => ok([machineSummary('demo')]),
      start: ({ name }) => ok({ name, state: 'running', outcome: 'started' }),
      stop: ({ name }) => ok({ name, state: 'stopped', outcome: 'shut down' }),
    },
    streams: {
      console: (socket) => {
        socket.send(JSON.stringify({ notice: 'attached', writer: false, message: '' }));
        socket.send(Buffer.from('Linux version 6.1\r\nmore'));
      },
    },
  });
  const { stdout } = await run(node, [example, 'demo', manager.socketPath]);
  assert.deepEqual(stdout.split(/\r?\n/), [
    '1 machines',
    'demo: started',
    'console: Linux version 6.1',
    'demo: shut down',
    '',
  ]);
});

test('nothing in it needs a newer Node than 20', () => {
  const lib = join(consumer, 'node_modules/@qward/client/lib');
  const newer =
    /Promise\.(withResolvers|try)|Array\.fromAsync|(Object|Map)\.groupBy|\bglobSync\b|import\.meta\.main/;
  for (const file of readdirSync(lib).filter((name) => name.endsWith('.js')))
    assert.doesNotMatch(readFileSync(join(lib, file), 'utf8'), newer, file);
});

test('a refusal and a missing manager are told apart', async () => {
  await using manager = await startFakeManager({
    handlers: { list: () => refuse('not-allowed', 'not you') },
  });
  await assert.rejects(run(node, [example, 'demo', manager.socketPath]), {
    code: 1,
    stderr: 'not you\n  \n',
  });
  await assert.rejects(run(node, [example, 'demo', join(directory, 'none.sock')]), { code: 5 });
});

test('no package is installed with it, and a call loads neither ws nor a schema', () => {
  const { dependencies, name } = JSON.parse(
    readFileSync(join(consumer, 'node_modules/@qward/client/package.json'), 'utf8'),
  ) as { dependencies?: object; name: string };
  assert.deepEqual([name, dependencies], ['@qward/client', undefined]);
  const script = `
    import { QwardClient } from '@qward/client';
    await new QwardClient({ socketPath: '/nonexistent' }).call('list').catch(() => {});
    console.log(process.moduleLoadList.filter((name) => /http|crypto|zlib/.test(name) && !/internal/.test(name)).join());`;
  writeFileSync(join(consumer, 'loaded.js'), script);
  const loaded = execFileSync(node, [join(consumer, 'loaded.js')], { encoding: 'utf8' });
  assert.equal(loaded.trim(), '');
});

test('its types are complete, and hold a caller to them', async () => {
  const check = async (body: string): Promise<string> => {
    writeFileSync(join(consumer, 'use.ts'), `import { QwardClient } from '@qward/client';\n${body}`);
    const flags = [
      '--noEmit',
      '--strict',
      '--module',
      'nodenext',
      '--target',
      'es2024',
      '--lib',
      'es2024,esnext.disposable',
    ];
    const types = ['--types', 'node', '--typeRoots', join(root, 'node_modules/@types')];
    const tsc = run(join(root, 'node_modules/.bin/tsc'), [...flags, ...types, 'use.ts'], { cwd: consumer });
    return tsc.then(
      ({ stdout }) => stdout,
      (error: { stdout: string }) => error.stdout,
    );
  };
  const right = `const client = new QwardClient();
    const reply = await client.call('status', { name: 'web' });
    const cgroup: string | null = reply.ok ? reply.result.cgroup : reply.faults[0].message;
    const audit = await client.call('audit', { name: 'web' });
    const wall: 'uid' | undefined = audit.ok && audit.result.rows[0].wall === 'uid' ? 'uid' : undefined;
    await client.call('list');
    export { cgroup, wall };`;
  assert.equal(await check(right), '');
  assert.match(await check(`new QwardClient().call('start', { nam: 'web' });`), /TS2561/);
  assert.match(await check(`new QwardClient().call('status');`), /TS2554/);
});
