/** The screen of a machine by the real CLI: a viewer sees it and types; whatever the viewer, the manager or the machine does, the others go on. */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { asUser } from '../support/as-user.ts';
import { defineBare, done, nextEvent, refused, statusOf } from '../support/driver.ts';
import { run, startInstance } from '../support/instance.ts';
import { RfbViewer } from '../support/rfb.ts';

const instance = await startInstance();
after(() => instance[Symbol.asyncDispose]());

interface View extends AsyncDisposable {
  readonly address: string;
  readonly child: ChildProcess;
  readonly said: () => string;
  readonly ended: Promise<number | null>;
}

async function view(...words: string[]): Promise<View> {
  const [program = '', ...first] = instance.program;
  const child = spawn(program, [...first, 'vnc', ...words], { env: instance.environment });
  let said = '';
  child.stderr.on('data', (piece: Buffer) => (said += piece.toString()));
  const ended = new Promise<number | null>((resolve) => void child.once('close', resolve));
  const [line] = (await Promise.race([
    once(child.stdout, 'data'),
    ended.then(() => Promise.reject(new Error(`it ended: ${said}`))),
  ])) as [Buffer];
  return {
    address: line.toString().trim(),
    child,
    said: () => said,
    ended,
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

async function litScreen(viewer: RfbViewer): Promise<void> {
  for (let times = 0; times < 200; times += 1) {
    if ((await viewer.screen()).lit > 0) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.fail('the screen stays black');
}

before(async () => {
  await defineBare(instance, 'web', 'vnc: true');
  await defineBare(instance, 'blind');
  await done(instance, 'start web blind');
});

test('a viewer sees what the guest shows, and what it types reaches the guest', async () => {
  await using shown = await view('web');
  assert.match(shown.address, /^vnc:\/\/127\.0\.0\.1:\d+$/);
  using viewer = await RfbViewer.open(shown.address);
  assert.deepEqual(viewer.securityTypes, [1]);
  assert.ok(viewer.width >= 320 && viewer.height >= 200, `${viewer.width}x${viewer.height}`);
  await litScreen(viewer);
  const { arrived } = await nextEvent(
    instance,
    ({ event, machine }) => event === 'guest.reset' && machine === 'web',
  );
  // Ctrl, Alt, Del: the firmware starts anew.
  const again = setInterval(() => viewer.press(0xffe3, 0xffe9, 0xffff), 500);
  await arrived.finally(() => clearInterval(again));
});

test('the audit finds every wall, with a viewer, and after it; and nothing of QEMU listens', async () => {
  await using shown = await view('web');
  for (let times = 0; times < 3; times += 1) {
    const viewer = await RfbViewer.open(shown.address);
    await done(instance, 'audit web');
    viewer.socket.destroy();
    await viewer.closed;
    await done(instance, 'audit web');
  }
  const qemu = (await statusOf(instance, 'web')).pid ?? 0;
  assert.doesNotMatch(readFileSync(`/proc/${qemu}/net/tcp`, 'utf8'), / 0A /);
});

test('one viewer at a time and one after the other', async () => {
  await using shown = await view('web');
  for (let times = 0; times < 3; times += 1) {
    using viewer = await RfbViewer.open(shown.address);
    assert.ok((await viewer.screen()).width > 0);
    await assert.rejects(RfbViewer.open(shown.address), /closed after 0/);
    viewer.socket.end();
    viewer.socket.destroy();
    await viewer.closed;
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
});

test('several users look at once, up to a limit', async () => {
  const views = await Promise.all(Array.from({ length: 4 }, () => view('web')));
  const viewers: RfbViewer[] = [];
  try {
    for (const { address } of views) viewers.push(await RfbViewer.open(address));
    for (const viewer of viewers) assert.ok((await viewer.screen()).width > 0);
    assert.match(await refused(instance, 'vnc web'), /has 4 viewers already/);
  } finally {
    for (const viewer of viewers) viewer[Symbol.dispose]();
    for (const one of views) await one[Symbol.asyncDispose]();
  }
});

test('a Unix socket is for its user alone, and goes with the command', async () => {
  const path = join(instance.directory, 'screen.sock');
  await using shown = await view('web', '--listen', path);
  assert.equal(shown.address, path);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  {
    using viewer = await RfbViewer.open(path);
    assert.ok((await viewer.screen()).width > 0);
  }
  shown.child.kill('SIGINT');
  assert.equal(await shown.ended, 0);
  assert.equal(existsSync(path), false);
  assert.match(await refused(instance, ['vnc', 'web', '--listen', '/proc/x']), /cannot be listened on/);
});

test('a process of another user is sent away from the port, and told of', async () => {
  await using shown = await view('web');
  const port = /\d+$/.exec(shown.address)?.[0] ?? '';
  const script = `exec 3<>/dev/tcp/127.0.0.1/${port}; head -c 12 <&3`;
  const foreign = await run([...asUser({ uid: 910_000_077 }), '/bin/bash', '-c', script], {});
  assert.equal(foreign.stdout, '');
  for (let times = 0; times < 100 && shown.said() === ''; times += 1)
    await new Promise((resolve) => setTimeout(resolve, 50));
  assert.match(shown.said(), /another user/);
  using viewer = await RfbViewer.open(shown.address);
  assert.ok((await viewer.screen()).width > 0);
});

test('machines without a screen, or that do not run, are said so before anything listens', async () => {
  assert.match(await refused(instance, 'vnc blind', { status: 2 }), /no screen[\s\S]*vnc: true/);
  await defineBare(instance, 'off', 'vnc: true');
  assert.match(await refused(instance, 'vnc off'), /does not run/);
  assert.match(await refused(instance, 'vnc wep', { status: 3 }), /Did you mean "web"/);
});

/** A port for others: the address, and the password behind it. */
async function guarded(): Promise<{
  readonly shown: View;
  readonly address: string;
  readonly password: string;
}> {
  const shown = await view('web', '--listen', '127.0.0.1:0');
  const [address = '', line = ''] = shown.address.split('\n');
  return { shown, address, password: line.replace('password: ', '') };
}

test('a password lets one viewer in, once, and who looks is seen', async () => {
  const { shown, address, password } = await guarded();
  await using held = shown;
  assert.match(password, /^[A-Za-z2-9]{8}$/);
  assert.match(held.said(), /not encrypted/);
  assert.match(await done(instance, 'vnc --status web'), /^MACHINE +VIEWER +SINCE\nweb +- +-$/);
  await assert.rejects(RfbViewer.open(address), /refused with|closed after/, 'without a password');
  await assert.rejects(RfbViewer.open(address, 'wrongone'), /refused with 1/);
  using viewer = await RfbViewer.open(address, password);
  assert.deepEqual(viewer.securityTypes, [2]);
  await litScreen(viewer);
  assert.match(await done(instance, 'vnc --status'), /\nweb +root +20\S+Z/);
  await done(instance, 'audit web');
  await assert.rejects(RfbViewer.open(address, password), /ECONNREFUSED/, 'nothing listens any more');
  viewer.socket.destroy();
  assert.equal(await held.ended, 0);
  // The manager hears of the end by its own connection, a moment later.
  for (let times = 0; !/\nweb +- +-$/.test(await done(instance, 'vnc --status web')); times += 1)
    assert.ok(times < 50, 'who looked is gone');
});

test('guessing ends the port, and a guesser holds up nobody', async () => {
  const { shown, address, password } = await guarded();
  await using held = shown;
  /** Until a place of those who are gone is free. */
  const knock = async (word: string): Promise<RfbViewer> => {
    for (let times = 0; ; times += 1) {
      try {
        return await RfbViewer.open(address, word);
      } catch (error) {
        if (times >= 50 || !String(error).includes('closed after 0 of 12')) throw error;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  };
  const port = Number(/\d+$/.exec(address)?.[0]);
  // Silent ones take the places of handshakes, and give them back when they go.
  const silent = Array.from({ length: 8 }, () => connect(port, '127.0.0.1').on('error', () => undefined));
  await new Promise((resolve) => setTimeout(resolve, 300));
  for (const socket of silent) socket.destroy();
  const garbage = connect(port, '127.0.0.1').on('error', () => undefined);
  // Unread, what the server said would hold back its end.
  garbage.resume().write(Buffer.alloc(100_000, 'x'));
  await new Promise((resolve) => garbage.once('close', resolve));
  for (let times = 0; times < 5; times += 1) await assert.rejects(knock(`guess${times}`), /refused with 1/);
  await assert.rejects(RfbViewer.open(address, password), /ECONNREFUSED|closed after/);
  assert.equal(await held.ended, 4);
  assert.match(held.said(), /5 wrong passwords: nothing listens any more/);
  assert.match(
    await refused(instance, 'vnc web --listen 300.1.1.1:5900', { status: 2 }),
    /an address such as/,
  );
});

test('a viewer that floods and one that stalls hold up nobody, and cost the manager little', async () => {
  const manager = instance.daemon('manager');
  const residentKib = (): number =>
    Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${manager}/status`, 'utf8'))?.[1]);
  await using one = await view('web');
  await using two = await view('web');
  await using three = await view('web');
  using stalls = await RfbViewer.open(one.address);
  using floods = await RfbViewer.open(two.address);
  const before = residentKib();
  stalls.socket.pause();
  floods.socket.pause();
  const many = Buffer.concat(Array.from({ length: 5000 }, () => stalls.wholeScreen()));
  for (let times = 0; times < 200; times += 1) {
    floods.socket.write(many);
    stalls.socket.write(stalls.wholeScreen());
  }
  using other = await RfbViewer.open(three.address);
  await litScreen(other);
  await done(instance, 'pause web');
  await done(instance, 'resume web');
  assert.ok(residentKib() - before < 100 * 1024, `${before} KiB, then ${residentKib()} KiB`);
  await done(instance, 'audit web');
});

test('the viewer ends with the manager, and the machine goes on; the next manager shows it again', async () => {
  const shown = await view('web');
  const viewer = await RfbViewer.open(shown.address);
  process.kill(instance.daemon('manager'), 'SIGKILL');
  await viewer.closed;
  assert.equal(await shown.ended, 5);
  await instance.up();
  assert.equal((await statusOf(instance, 'web')).state, 'running');
  await using again = await view('web');
  using next = await RfbViewer.open(again.address);
  await litScreen(next);
  await done(instance, 'audit web');
});

test('the command ends with the machine', async () => {
  await using shown = await view('web');
  using viewer = await RfbViewer.open(shown.address);
  await done(instance, 'kill web');
  await viewer.closed;
  assert.equal(await shown.ended, 0);
});
