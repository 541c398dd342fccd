/** A network card whose cable is out: the guest has the card, and no carrier. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { consoleShows, defineDemo, done } from '../support/driver.ts';
import { startInstance } from '../support/instance.ts';
import { createNetwork } from '../support/network.ts';

const network = await createNetwork();
after(() => network[Symbol.dispose]());
const instance = await startInstance({ policy: { bridges: ['qwbr0'] }, network: network.path });
after(() => instance[Symbol.asyncDispose]());

test('a guest sees the cable that is out, and `set` plugs it in while it runs', async () => {
  network.run('ip', 'link', 'add', 'qwbr0', 'type', 'bridge');
  network.run('ip', 'link', 'set', 'qwbr0', 'up');
  const more = 'nics: [{id: lan, kind: bridge, bridge: qwbr0, link: down, rxRing: 512}]';
  await defineDemo(instance, { name: 'cable', more });
  await done(instance, 'start cable');
  await consoleShows(instance, 'cable', /ready[\s\S]*# /);
  const typed = await instance.client.console({ name: 'cable', mode: 'write' });
  assert.ok(typed.ok);
  const carrier = async (mark: string, state: string): Promise<void> => {
    // Split, so that the echo of the line is not the answer.
    const wait = `until [ "$(cat /sys/class/net/eth0/carrier)" = ${state} ]; do sleep 0.1; done`;
    typed.result.write(Buffer.from(`ip link set eth0 up; ${wait}; echo car''rier ${mark}\n`));
    await consoleShows(instance, 'cable', `carrier ${mark}\r\n`);
  };
  await carrier('out', '0');
  assert.match(await done(instance, 'set cable nics.lan.link=up'), /nics\.lan\.link: applies now/);
  await carrier('in', '1');
  typed.result.close();
  await done(instance, 'kill cable');
});
