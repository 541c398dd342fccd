/** `qward vnc` with a real viewer on a real X server: a person sees what the guest shows, and nobody else comes by the viewer's port. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { defineBare, done, refused } from '../support/driver.ts';
import { startInstance } from '../support/instance.ts';
import { isShownIn, readPng, type Picture } from '../support/png.ts';
import { startXServer } from '../support/x-server.ts';

const instance = await startInstance();
after(() => instance[Symbol.asyncDispose]());
const screen = await startXServer();
after(() => screen[Symbol.asyncDispose]());
const here = (name: string): string => join(instance.directory, name);
const env = { DISPLAY: screen.display, HOME: instance.directory };
/** A cursor of the text console blinks. */
const cursor = 9 * 16;

before(async () => {
  await defineBare(instance, 'web', 'vnc: true');
  await done(instance, 'start web');
});

async function screenshot(): Promise<Picture & { readonly lit: number }> {
  await done(instance, ['screenshot', 'web', here('web.png'), '--force']);
  return readPng(readFileSync(here('web.png')));
}

/** A program in place of the viewer, which says what it was given. */
function script(name: string, text: string): string {
  writeFileSync(here(name), `#!/bin/sh\n${text}\n`);
  chmodSync(here(name), 0o755);
  return here(name);
}

async function until<Found>(look: () => Found | undefined | Promise<Found | undefined>): Promise<Found> {
  for (const giveUpAt = performance.now() + 60_000; ; await delay(100)) {
    const found = await look();
    if (found !== undefined) return found;
    assert.ok(performance.now() < giveUpAt, 'it does not come');
  }
}

test('on a desktop the viewer opens, shows the firmware’s text pixel for pixel, and the command ends with it', async () => {
  const seen = here('port');
  const wrapper = script('viewer', `echo $2 >${seen}; exec vncviewer -RemoteResize=0 $1::$2`);
  const [program = '', ...words] = instance.program;
  const child = spawn(program, [...words, 'vnc', 'web'], {
    env: { ...instance.environment, ...env, QWARD_VIEWER: `${wrapper} {host} {port}` },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  child.stdout.on('data', (piece: Buffer) => (said += piece.toString()));
  const ended = once(child, 'close') as Promise<[number | null]>;
  try {
    const picture = await until(async () => {
      const shown = await screenshot();
      return shown.lit > 50 ? shown : undefined;
    });
    await until(() => (isShownIn(screen.look(), picture, cursor) ? true : undefined));
    assert.equal(said, '', 'where a viewer connects is told to nobody');
    const screens = await done(instance, 'vnc --status');
    assert.match(screens, /web/);
    // The port was for that one connection.
    const port = Number(readFileSync(seen, 'utf8'));
    const socket = connect(port, '127.0.0.1');
    const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException];
    assert.equal(error.code, 'ECONNREFUSED');
    await done(instance, 'audit web');
    // The machine is over: the viewer sees its end, and is closed by its user.
    await done(instance, 'kill web');
    assert.equal((await ended)[0], 0);
  } finally {
    child.kill('SIGKILL');
    await done(instance, 'start web').catch(() => undefined);
  }
});

test('a missing viewer is named with its package, and elsewhere than on a desktop the place is told', async () => {
  const bare = { HOME: instance.directory, PATH: here('nothing') };
  assert.match(
    await refused(instance, 'vnc web --viewer', { env: bare }),
    /no viewer is installed: vncviewer, remote-viewer, gvncviewer .*QWARD_VIEWER[^]*apt-get install tigervnc-viewer/,
  );
  const [program = '', ...words] = instance.program;
  for (const [more, complaint] of [
    [{}, /^$/],
    [{ DISPLAY: screen.display }, /no viewer is installed/],
  ] as const) {
    const child = spawn(program, [...words, 'vnc', 'web'], {
      env: { ...instance.environment, ...bare, ...more },
    });
    let said = '';
    child.stderr.on('data', (piece: Buffer) => (said += piece.toString()));
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    child.kill('SIGINT');
    await once(child, 'close');
    assert.match(line.toString(), /^vnc:\/\/127\.0\.0\.1:\d+\n$/);
    assert.match(said, complaint);
  }
});

test('what a viewer complains of is told', async () => {
  const broken = script('broken', 'echo "cannot\x1b[31m open"; echo "no such font" >&2; exit 3');
  assert.match(
    await refused(instance, 'vnc web', { env: { ...env, QWARD_VIEWER: broken } }),
    /broken ended with status 3: no such font/,
  );
  assert.match(
    await refused(instance, 'vnc web', { env: { ...env, QWARD_VIEWER: '/no/such/viewer' } }),
    /\/no\/such\/viewer cannot be run/,
  );
  assert.equal(existsSync(here('nothing')), false);
});
