/** Promises 4 and 7: what owners, grantees and users without a role tried to see, take or hold up that is not theirs. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chownSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { test } from 'node:test';
import { toJSONSchema } from 'zod';
import type { CallResult } from '../../src/api/calls.ts';
import { routes, type Route } from '../../src/api/contract.ts';
import { judgeStep } from '../../src/manager/disks/job-output.ts';
import type { DiskStep } from '../../src/plan/disk-job.ts';
import { parseImageHeader } from '../../src/plan/image-header.ts';
import type { LaunchRequest } from '../../src/protocol/launch.ts';
import { apiAs, type ApiAnswer } from '../support/api-as.ts';
import { asUser } from '../support/as-user.ts';
import { cli } from '../support/cli.ts';
import { auditReport, planOutcome } from '../support/machine-samples.ts';
import { startWithAccounts, type TestAccount } from '../support/accounts.ts';
import { run, type CommandOutcome, type Instance } from '../support/instance.ts';
import { define, granted, killProcess, smallMachine } from '../support/small-machine.ts';

const uids = { alice: 911_300_001, bob: 911_300_002, vera: 911_300_003 } as const;
type User = keyof typeof uids;
const accounts: readonly TestAccount[] = Object.entries(uids).map(([name, uid]) => ({ name, uid }));
const definers = { define: { users: ['alice', 'bob'] } };

async function startWithDefiners(policy: Readonly<Record<string, unknown>> = {}): Promise<Instance> {
  const instance = await startWithAccounts(accounts);
  instance.writePolicy({ ...definers, ...policy });
  return instance;
}

const as = (instance: Instance, user: User, words: readonly string[], stdin = ''): Promise<CommandOutcome> =>
  run(
    [...asUser({ uid: uids[user] }), ...instance.program, ...words],
    { ...instance.environment, NODE_COMPILE_CACHE: '' },
    { stdin },
  );
const get = (instance: Instance, user: User, path: string): Promise<ApiAnswer> =>
  apiAs(instance, uids[user], { method: 'GET', path });
const post = (instance: Instance, user: User, path: string, body: unknown = {}): Promise<ApiAnswer> =>
  apiAs(instance, uids[user], { method: 'POST', path, body });
const defineAs = (instance: Instance, user: User, source: string): Promise<ApiAnswer> =>
  post(instance, user, '/v1/machines', { source });
const ok = (answer: ApiAnswer): ApiAnswer => {
  assert.equal(answer.status, 200, answer.text);
  return answer;
};

test("a drill under way does not tell others the machine's name", async () => {
  await using instance = await startWithDefiners();
  ok(await defineAs(instance, 'alice', smallMachine('merger-with-acme')));
  ok(await defineAs(instance, 'bob', smallMachine('budget-cuts')));
  for (let tries = 0, busy = 0; busy === 0; tries += 1) {
    assert.ok(tries < 20, 'two drills at once: neither found the other under way');
    const answers = await Promise.all([
      post(instance, 'alice', '/v1/machines/merger-with-acme/drill'),
      post(instance, 'bob', '/v1/machines/budget-cuts/drill'),
    ]);
    const refused = answers.filter(({ code }) => code === 'machine-busy');
    for (const { text } of refused) assert.doesNotMatch(text, /merger|budget/);
    busy = refused.length;
  }
});

test('who takes a name that was free again is not told what happened under it before', async () => {
  await using instance = await startWithDefiners();
  ok(await defineAs(instance, 'alice', smallMachine('web')));
  ok(await defineAs(instance, 'alice', smallMachine('old')));
  ok(await post(instance, 'alice', '/v1/machines/old/rename', { to: 'new' }));
  ok(await apiAs(instance, uids.alice, { method: 'DELETE', path: '/v1/machines/web' }));
  for (const name of ['web', 'old']) ok(await defineAs(instance, 'bob', smallMachine(name)));
  const program = `
    const socket = new (require('node:net').Socket)().connect(${JSON.stringify(instance.paths.apiSocket)});
    socket.write('GET /v1/events?recent=1000 HTTP/1.1\\r\\nHost: q\\r\\nConnection: Upgrade\\r\\nUpgrade: websocket\\r\\nSec-WebSocket-Version: 13\\r\\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\\r\\n\\r\\n');
    socket.pipe(process.stdout);
    setTimeout(() => process.exit(), 700);`;
  const told = async (user: User): Promise<string> =>
    (await run([...asUser({ uid: uids[user] }), process.execPath, '-e', program], {})).stdout;
  const [bobs, alices] = [await told('bob'), await told('alice')];
  assert.match(bobs, /machine\.defined.*"by":"bob"/);
  assert.ok(!bobs.includes('alice'), bobs);
  assert.match(alices, /machine\.renamed/);
  assert.ok(!alices.includes('bob'), alices);
});

test('the history names the machine that was defined, not one that the text names beside it', async () => {
  await using instance = await startWithDefiners();
  ok(await defineAs(instance, 'alice', smallMachine('hers')));
  const source = `{"description": "a\nname: hers\n b", "name": "his", "accel": "tcg", "memory": "32MiB"}\n`;
  await defineAs(instance, 'bob', source);
  const quoted = `"name": his\naccel: tcg\nmemory: 32MiB\ndescription: "a\nname: hers\n  b"\n`;
  await defineAs(instance, 'bob', quoted);
  ok(
    await defineAs(
      instance,
      'bob',
      `# qward\n"name": third\n${smallMachine('x').split('\n').slice(1).join('\n')}`,
    ),
  );
  await delay(300);
  const entries = granted(await instance.client.call('history', { user: 'bob' }));
  assert.deepEqual(
    entries.filter(({ machine }) => machine === 'hers'),
    [],
  );
  assert.ok(entries.some(({ machine, outcome }) => machine === 'third' && outcome === 'done'));
});

test('a definition that cannot be read keeps its name, and all that belongs to it', async () => {
  await using instance = await startWithDefiners();
  ok(await defineAs(instance, 'alice', smallMachine('web')));
  await killProcess(instance.daemon('manager'));
  const file = join(instance.paths.managerState, 'machines/web');
  const metadata = readFileSync(`${file}.json`, 'utf8');
  const source = readFileSync(`${file}.yaml`, 'utf8');
  writeFileSync(`${file}.json`, metadata.replace('"version":2', '"version":3'));
  await instance.up();
  const answer = await defineAs(instance, 'bob', smallMachine('web', ['description: now mine']));
  assert.equal(answer.code, 'machine-exists', answer.text);
  ok(await defineAs(instance, 'bob', smallMachine('other')));
  assert.equal(
    (await post(instance, 'bob', '/v1/machines/other/rename', { to: 'web' })).code,
    'machine-exists',
  );
  assert.equal(
    (await post(instance, 'bob', '/v1/machines/other/clone', { to: 'web' })).code,
    'machine-exists',
  );
  assert.equal(readFileSync(`${file}.yaml`, 'utf8'), source);
});

test('a quota counts what a machine runs with, whatever its definition says meanwhile', async () => {
  const quota = { who: { users: ['bob'] }, memory: '80MiB' };
  await using instance = await startWithDefiners({ quotas: [quota] });
  ok(await defineAs(instance, 'bob', smallMachine('one').replace('32MiB', '64MiB')));
  ok(await post(instance, 'bob', '/v1/machines/one/start'));
  ok(await post(instance, 'bob', '/v1/machines/one/set', { changes: [{ key: 'memory', value: '16MiB' }] }));
  ok(await defineAs(instance, 'bob', smallMachine('two').replace('32MiB', '64MiB')));
  const second = await post(instance, 'bob', '/v1/machines/two/start');
  assert.equal(second.code, 'policy-refused', second.text);
  // A manager that comes later counts the same.
  await killProcess(instance.daemon('manager'));
  await instance.up();
  assert.equal((await post(instance, 'bob', '/v1/machines/two/start')).code, 'policy-refused');
  ok(await post(instance, 'bob', '/v1/machines/one/kill'));
  ok(await post(instance, 'bob', '/v1/machines/two/start'));
  ok(await post(instance, 'bob', '/v1/machines/two/kill'));
});

test('of many starts at once, and definitions at once, none goes past the quota', async () => {
  const quota = { who: { users: ['bob'] }, memory: '100MiB', machines: 6 };
  await using instance = await startWithDefiners({ quotas: [quota] });
  for (const name of ['a', 'b', 'c']) ok(await defineAs(instance, 'bob', smallMachine(name)));
  const made = await Promise.all(
    ['d', 'e', 'f', 'g'].map((name) =>
      defineAs(instance, 'bob', smallMachine(name).replace('32MiB', '1MiB')),
    ),
  );
  assert.ok(made.filter(({ status }) => status === 200).length <= 3, JSON.stringify(made));
  const cloned = await Promise.all(
    ['h', 'i'].map((to) => post(instance, 'bob', '/v1/machines/a/clone', { to })),
  );
  assert.ok(
    cloned.every(({ code }) => code === 'policy-refused'),
    JSON.stringify(cloned),
  );
  const started = await Promise.all(
    ['a', 'b', 'c', 'd'].map((name) => post(instance, 'bob', `/v1/machines/${name}/start`)),
  );
  const running = granted(await instance.client.call('list', {})).filter(({ state }) => state === 'running');
  assert.ok(
    running.reduce((sum, { memory }) => sum + memory, 0) <= 100 * 1024 ** 2,
    JSON.stringify([running, started]),
  );
});

test('a machine is given only within the quota of who gets it, and claims of the owner before end', async () => {
  const quota = { who: { users: ['bob'] }, machines: 1 };
  await using instance = await startWithDefiners({ quotas: [quota] });
  const home = join(instance.directory, 'alice');
  mkdirSync(home, { mode: 0o700 });
  const file = join(home, 'boot.iso');
  writeFileSync(file, Buffer.alloc(65_536));
  for (const path of [home, file]) chownSync(path, uids.alice, uids.alice);
  const withDisc = smallMachine('web', ['cdroms:', `  - id: disc`, `    path: ${file}`]);
  const defined = await as(instance, 'alice', ['define', '-'], withDisc);
  assert.equal(defined.status, 0, defined.stderr);
  ok(await defineAs(instance, 'bob', smallMachine('his')));
  const refused = await instance.client.call('give', { name: 'web', to: 'bob' });
  assert.ok(!refused.ok && refused.faults[0]?.rule === 'quotas[0]', JSON.stringify(refused));
  assert.match((await as(instance, 'alice', ['claims', 'web'])).stdout, /boot\.iso/);

  instance.writePolicy(definers);
  granted(await instance.client.call('give', { name: 'web', to: 'bob' }));
  assert.doesNotMatch((await as(instance, 'alice', ['claims'])).stdout, /boot\.iso/);
  granted(await instance.client.call('give', { name: 'web', to: 'alice' }));
  assert.equal((await post(instance, 'alice', '/v1/machines/web/start')).status, 403);
});

test('a grantee is no owner, and of a machine that may be seen no more is told than that', async () => {
  await using instance = await startWithDefiners();
  ok(await defineAs(instance, 'alice', smallMachine('web')));
  ok(await post(instance, 'alice', '/v1/machines/web/grant', { who: 'vera', rights: ['see'] }));
  const info = JSON.parse((await get(instance, 'vera', '/v1/info')).text) as CallResult<'info'>;
  assert.equal(info.role, 'grantee');
  const mine = JSON.parse((await get(instance, 'alice', '/v1/info')).text) as CallResult<'info'>;
  assert.equal(mine.role, 'owner');
});

test('an owner removes with a machine no image that only qward owns', async () => {
  await using instance = await startWithDefiners();
  const image = join(instance.paths.images, 'foreign.qcow2');
  const path = instance.disk('foreign');
  assert.equal(path, image);
  chownSync(instance.paths.images, instance.managerUid, instance.managerUid);
  await define(
    instance,
    smallMachine('theirs', ['disks:', '  - id: root', `    path: ${path}`, '    format: qcow2']),
  );
  granted(await instance.client.call('remove', { name: 'theirs' }));
  rmSync(image);
  const source = smallMachine('his', ['disks:', '  - id: root', `    path: ${path}`, '    format: qcow2']);
  const claimed = await as(instance, 'bob', ['claim', 'his', image, '--rw']);
  assert.equal(claimed.status, 0, claimed.stderr);
  ok(await defineAs(instance, 'bob', source));
  instance.disk('foreign');
  chownSync(image, instance.managerUid, instance.managerUid);
  const removed = await apiAs(instance, uids.bob, { method: 'DELETE', path: '/v1/machines/his?disks=true' });
  assert.equal(removed.code, 'not-allowed', removed.text);
  readFileSync(image);
});

test('a stranger whose upgrade was refused does not keep the connection', async () => {
  await using instance = await startWithDefiners();
  const program = `
    const socket = require('node:net').connect({ path: ${JSON.stringify(instance.paths.apiSocket)}, allowHalfOpen: true });
    socket.write('GET /v1/events HTTP/1.1\\r\\nHost: q\\r\\nConnection: Upgrade\\r\\nUpgrade: websocket\\r\\nSec-WebSocket-Version: 13\\r\\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\\r\\n\\r\\n');
    socket.on('data', () => undefined).on('error', () => done('reset'));
    const done = (how) => { console.log(how); process.exit(); };
    socket.on('end', () => setTimeout(() => {
      const beat = setInterval(() => socket.write('x', (error) => { if (error) done('closed'); }), 50);
      setTimeout(() => { clearInterval(beat); done('held'); }, 1500);
    }, 100));`;
  const { stdout } = await run([...asUser({ uid: uids.vera }), process.execPath, '-e', program], {});
  assert.match(stdout, /closed|reset/);
});

test('a body of a stranger is not read', async () => {
  await using instance = await startWithDefiners();
  const program = `
    const socket = require('node:net').connect(${JSON.stringify(instance.paths.apiSocket)});
    socket.write('POST /v1/machines HTTP/1.1\\r\\nHost: q\\r\\nContent-Type: application/json\\r\\nContent-Length: 400000\\r\\n\\r\\n[');
    socket.once('data', (data) => { console.log(String(data).split('\\r\\n')[0]); process.exit(); });
    setTimeout(() => { console.log('waits'); process.exit(); }, 2000);`;
  const { stdout } = await run([...asUser({ uid: uids.vera }), process.execPath, '-e', program], {});
  assert.match(stdout, / 403 /);
});

test('JSON that is nested without end is refused as such', async () => {
  await using instance = await startWithDefiners();
  ok(await defineAs(instance, 'bob', smallMachine('web')));
  const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
  const file = join(instance.directory, 'deep.json');
  const bodies = {
    '/v1/machines/web/qmp': `{"execute":"x","arguments":{"a":${deep}}}`,
    '/v1/machines/web/set': `{"changes":${deep}}`,
    '/v1/machines': deep,
    '/v1/machines/web/grant': `{"who":"vera","rights":${deep}}`,
  };
  for (const [path, body] of Object.entries(bodies)) {
    writeFileSync(file, body, { mode: 0o644 });
    const curl = ['/usr/bin/curl', '-s', '-X', 'POST', '--unix-socket', instance.paths.apiSocket];
    const { stdout } = await run(
      [
        ...asUser({ uid: uids.bob }),
        ...curl,
        '-H',
        'content-type: application/json',
        '--data-binary',
        `@${file}`,
        `http://q${path}`,
      ],
      instance.environment,
    );
    assert.match(stdout, /"faults"/, path);
    assert.ok(!stdout.includes('"internal"'), `${path}: ${stdout.slice(0, 300)}`);
  }
});

test('what a taken-over qemu-img wrote is judged in time by its length', () => {
  const launch = { descriptors: [], limits: { memory: 1 } } as unknown as LaunchRequest;
  const size = 256 * 1024;
  const outputs = [
    ' '.repeat(size),
    '\n'.repeat(size),
    `qemu-img: ${'json:{'.repeat(size / 6)}`,
    '('.repeat(size),
  ];
  const begun = performance.now();
  for (const output of outputs)
    assert.ok(
      !judgeStep({ do: 'convert' } as DiskStep, { output, end: undefined, memoryHit: false }, launch).ok,
    );
  const text = Buffer.alloc(65_536, '\n');
  text.write('# Disk DescriptorFile\n');
  parseImageHeader(text, text.length);
  const hidden = '# Disk DescriptorFile\nRW 1 SPARSE "a"\nx parentFileNameHint="/etc/shadow"\n';
  const { references } = parseImageHeader(Buffer.from(hidden), hidden.length);
  assert.ok(references.some(({ kind }) => kind === 'backing file'));
  const spent = performance.now() - begun;
  assert.ok(spent < 5000, `${Math.round(spent)} ms`);
});

/** A value for each part of an answer's schema: every text steers a terminal, and so does what is to be a number or a word. */
function hostile(schema: Schema, confused: boolean, all: Schema): unknown {
  if (schema.$ref !== undefined)
    return hostile(all.$defs?.[schema.$ref.replace(/^.*\//, '')] ?? {}, confused, all);
  if (schema.anyOf !== undefined)
    return hostile(schema.anyOf.find(({ type }) => type !== 'null') ?? {}, confused, all);
  if (schema.id !== undefined && Object.hasOwn(samples, schema.id))
    return poisoned(samples[schema.id], confused);
  if (schema.type === 'array') return [hostile(schema.items ?? {}, confused, all)];
  if (schema.type === 'integer' || schema.type === 'number') return confused ? evil : -1e300;
  if (schema.type !== 'object') return schema.type === 'boolean' ? true : evil;
  const properties = Object.entries(schema.properties ?? {});
  return Object.fromEntries(properties.map(([key, part]) => [key, hostile(part, confused, all)]));
}

function poisoned(value: unknown, confused: boolean): unknown {
  if (typeof value === 'string' || (typeof value === 'number' && confused)) return evil;
  if (Array.isArray(value)) return value.map((one) => poisoned(one, confused));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, poisoned(one, confused)]));
}

interface Schema {
  readonly $ref?: string;
  readonly $defs?: Readonly<Record<string, Schema>>;
  readonly id?: string;
  readonly type?: string;
  readonly anyOf?: readonly Schema[];
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
}

const evil = '\u001b]0;evil\u0007\u009b2J\u202e';
const samples: Readonly<Record<string, unknown>> = { AuditReport: auditReport, PlanOutcome: planOutcome };

const commands: readonly string[] = [
  'list, info, status web, show web, explain web, audit web, audit --pid 5, drill web, logs web, qmp web query-status',
  'monitor web info, grants web, grant web vera see, revoke web vera, give web vera, history, history --compare',
  'disk list, disk info /x.qcow2, disk check /x.qcow2, policy show, policy explain web, doctor, define -, clone web b',
  'rename web b, rm -y web, set web cpus=2, start web, stop web, kill web, wait web, start --all, __complete machines',
].flatMap((line) => line.split(', '));

test('a manager that was taken over steers no terminal, whatever it answers where', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'qward-hostile-'));
  let how = { refuses: false, confused: false };
  const server = createServer((request, response) => {
    request.resume().once('end', () => {
      const { pathname } = new URL(request.url ?? '/', 'http://q');
      const route = Object.values<Route>(routes).find(
        ({ method, path }) =>
          method === request.method && new RegExp(`^${path.replaceAll(/:\w+/g, '[^/]+')}$`).test(pathname),
      );
      const schema: Schema = JSON.parse(
        JSON.stringify(
          route?.result === undefined ? {} : toJSONSchema(route.result, { unrepresentable: 'any' }),
        ),
      );
      const place = how.confused ? evil : 3;
      const texts = {
        code: evil,
        message: evil,
        hint: evil,
        rule: evil,
        ruleAt: evil,
        excerpt: evil,
        file: evil,
      };
      const faults = [{ ...texts, line: place, column: place }];
      response.writeHead(how.refuses ? 400 : 200, { 'content-type': 'application/json' });
      response.end(JSON.stringify(how.refuses ? { faults } : hostile(schema, how.confused, schema)));
    });
  });
  try {
    const socketPath = join(directory, 'api.sock');
    await once(server.listen(socketPath), 'listening');
    for (const refuses of [false, true])
      for (const confused of [false, true])
        for (const more of [[], ['--json']])
          for (const line of commands) {
            how = { refuses, confused };
            const words = [...line.split(' '), ...more];
            const io = { socketPath, input: 'name: web\n', answer: 'y', terminals: [1, 2] };
            // A rendering that throws on what is no number prints nothing of it.
            const { out, err } = await cli(words, io).catch((error: Error) => ({
              out: error.message,
              err: '',
            }));
            const shown = (out + err).replaceAll(/\u001b\[\d{1,2}m|\r\u001b\[K/g, '');
            assert.doesNotMatch(shown, /(?![\n\t])[\u0000-\u001f\u007f-\u009f\u202e]/, words.join(' '));
          }
  } finally {
    server.closeAllConnections();
    server.close();
    rmSync(directory, { recursive: true });
  }
});
