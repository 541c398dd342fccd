/** Promise 4 and rule HTTP against local users without rights, over the manager's real socket. Needs root. */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, chownSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { EditedFile } from '../../src/cli/edited-file.ts';
import { historyOf } from '../support/history.ts';
import { definition, startManager, type TestManager } from '../support/test-manager.ts';

const stranger = 900_200_000;

function openToAll({ root, paths }: TestManager): void {
  for (const path of [root, `${root}/run`]) chmodSync(path, 0o755);
  chmodSync(paths.apiSocket, 0o666);
}

/** Runs a script as a uid without an account; it prints one line when it is done, and is ended by its stdin. */
async function runAs(uid: number, script: string): Promise<Disposable & { readonly said: string }> {
  const user = [`--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', '--'];
  const child = spawn('setpriv', [...user, process.execPath, '-e', script], {
    stdio: ['pipe', 'pipe', 'inherit'],
    cwd: '/',
  });
  const [said] = (await once(child.stdout, 'data')) as [Buffer];
  return { said: said.toString(), [Symbol.dispose]: () => void child.kill() };
}

/** What the manager answers to these bytes before it closes. */
function exchange(path: string, bytes: string): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    const socket = connect(path);
    socket.on('data', (piece: Buffer) => (text += piece.toString('latin1')));
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(text));
    socket.write(bytes, 'latin1');
  });
}

test('refusals of users without a right do not push what others did out of the history', async (context) => {
  const manager = await startManager(context);
  await manager.client.call('define', { source: definition('web') });
  openToAll(manager);
  const requests = 2000;
  const flood = `
    const socket = require('node:net').connect(${JSON.stringify(manager.paths.apiSocket)});
    socket.write('POST /v1/machines/${'x'.repeat(60)}/start HTTP/1.1\\r\\nHost: q\\r\\nContent-Length: 0\\r\\n\\r\\n'.repeat(${requests}));
    let text = '', answers = 0;
    socket.on('data', (piece) => {
      text += piece.toString('latin1');
      const parts = text.split('HTTP/1.1 ');
      answers += parts.length - 1;
      text = parts.at(-1).slice(-8);
      if (answers >= ${requests}) console.log('done');
    });`;
  {
    using child = await runAs(stranger, flood);
    assert.match(child.said, /done/);
  }
  await manager.client.call('remove', { name: 'web' });
  const lines = await historyOf(manager, ({ call }) => call === 'remove');
  assert.ok(lines.length < 50, `${lines.length} lines`);
  assert.ok(lines.some(({ uid, code }) => uid === stranger && code === 'not-allowed'));
  for (const call of ['define', 'remove'])
    assert.ok(
      lines.some((line) => line.call === call),
      call,
    );
});

test('one user with subordinate uids cannot keep the others out', async (context) => {
  const manager = await startManager(context);
  openToAll(manager);
  const hold = `
    const { connect } = require('node:net');
    let held = 0;
    // A full backlog refuses a Unix socket at once.
    const hold = () => {
      const socket = connect(${JSON.stringify(manager.paths.apiSocket)});
      socket.once('connect', () => { if (++held === 190) console.log('held'); });
      socket.once('error', () => setTimeout(hold, 20));
    };
    for (let index = 0; index < 190; index += 1) hold();
    process.stdin.resume();`;
  const crowd = await Promise.all([0, 1, 2, 3, 4, 5].map((index) => runAs(stranger + index, hold)));
  try {
    // "daemon" is an account of every Debian, without a right here: it is answered.
    const curl = ['curl', '-s', '-m', '5', '--unix-socket', manager.paths.apiSocket, 'http://q/v1/info'];
    const user = ['--reuid=daemon', '--regid=daemon', '--clear-groups', '--'];
    const { stdout } = await promisify(execFile)('setpriv', [...user, ...curl], { cwd: '/' });
    assert.match(stdout, /not-allowed/);
    assert.ok((await manager.client.call('info')).ok);
  } finally {
    for (const child of crowd) child[Symbol.dispose]();
  }
});

test('odd paths, heads and bodies name no machine, smuggle no request and end no manager', async (context) => {
  const manager = await startManager(context);
  await manager.client.call('define', { source: definition('web') });
  const get = (path: string, more = ''): Promise<string> =>
    exchange(manager.paths.apiSocket, `GET ${path} HTTP/1.1\r\nHost: q\r\nConnection: close\r\n${more}\r\n`);
  for (const path of [
    '/v1/machines/..%2f..%2fetc%2fpasswd/definition',
    '/v1/machines/%00/definition',
    '/v1/machines/__proto__',
    '/v1/machines/constructor',
    '/v1/machines/WEB',
    '/v1/machines/web%20',
    '/v1/machines/%ff',
    '/v1//machines/web',
    'http://other/v1/machines/../machines/web',
    '*',
    `/${'a'.repeat(12_000)}`,
  ])
    assert.match(await get(path), /^HTTP\/1\.1 4\d\d /, path);
  const smuggled = 'GET /v1/machines/web HTTP/1.1\r\nHost: q\r\n\r\n';
  for (const head of [
    `Content-Length: ${smuggled.length}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${smuggled}`,
    `Content-Length: 0\r\nContent-Length: ${smuggled.length}\r\n\r\n${smuggled}`,
    `Transfer-Encoding: xchunked\r\n\r\n${smuggled}`,
    `Transfer-Encoding : chunked\r\n\r\n${smuggled}`,
  ]) {
    const reply = await exchange(manager.paths.apiSocket, `POST /v1/machines HTTP/1.1\r\nHost: q\r\n${head}`);
    assert.match(reply, /^HTTP\/1\.1 400 /, head);
    assert.ok(!reply.includes('HTTP/1.1 200'), head);
  }
  for (const path of ['/v1/machines/web/console', '/v1/machines/..%2fweb/console', '/v1/nothing', '//', '/%'])
    assert.match(await get(path, 'Upgrade: websocket\r\n'), /^HTTP\/1\.1 [45]\d\d |^$/, path);
  assert.ok((await manager.client.call('status', { name: 'web' })).ok);
});

test('root edits in no directory of a user, whatever the environment says', () => {
  const directory = mkdtempSync(join(tmpdir(), 'qward-user-'));
  try {
    chownSync(directory, stranger, stranger);
    const file = EditedFile.create('web', { XDG_RUNTIME_DIR: directory });
    file.write('name: web\n');
    assert.ok(!file.keep().includes(directory));
    rmSync(join(file.keep().replace(/^.* in /, ''), '..'), { recursive: true });
  } finally {
    rmSync(directory, { recursive: true });
  }
});
