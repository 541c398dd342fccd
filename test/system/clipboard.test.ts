/** `clipboard: true`: what is copied beside a viewer is pasted in the guest, and the reverse, by a guest that speaks as spice-vdagent does. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { inflateSync, constants } from 'node:zlib';
import { file } from '../support/cpio.ts';
import { consoleShows, defineBare, defineDemo, done } from '../support/driver.ts';
import { addToInitrd } from '../support/guest-initrd.ts';
import { addGuestRunner } from '../support/guest-runner.ts';
import { guestRuns } from '../support/guest-shell.ts';
import { startInstance } from '../support/instance.ts';
import { RfbViewer } from '../support/rfb.ts';

const instance = await startInstance();
after(() => instance[Symbol.asyncDispose]());

/** spice-protocol, vd_agent.h: chunks with messages; text on demand, with selections. */
const agent = `
import os, struct, sys
base = "/sys/class/virtio-ports"
name = next(port for port in os.listdir(base) if open("%s/%s/name" % (base, port)).read().strip() == "com.redhat.spice.0")
port = os.open("/dev/" + name, os.O_RDWR)

def tell(kind, data=b""):
    message = struct.pack("<IIQI", 1, kind, 0, len(data)) + data
    os.write(port, struct.pack("<II", 1, len(message)) + message)

def take(count):
    data = b""
    while len(data) < count:
        data += os.read(port, count - len(data))
    return data

def hear():
    _, size = struct.unpack("<II", take(8))
    message = take(size)
    return struct.unpack("<II", message[:8])[1], message[20:]

TEXT = struct.pack("<I", 1)
tell(6, struct.pack("<II", 1, 1 << 5 | 1 << 6))
print("agent: up", flush=True)
while True:
    kind, data = hear()
    if kind == 7 and data[4:8] == TEXT:
        tell(8, data[:4] + TEXT)
    elif kind == 4:
        print("agent: pasted", data[8:].decode(), flush=True)
        tell(7, data[:4] + TEXT)
    elif kind == 8:
        tell(4, data[:4] + TEXT + b"copied in the guest")
`;

before(async () => {
  const { initrd } = addGuestRunner(instance.guest, join(instance.paths.images, 'initrd-python.cpio'));
  const target = join(instance.paths.images, 'initrd-vdagent.cpio');
  addToInitrd({ ...instance.guest, initrd }, target, [file('vdagent.py', Buffer.from(agent))]);
  await defineDemo(instance, {
    name: 'desk',
    guest: { ...instance.guest, initrd: target },
    memory: '160MiB',
    more: 'vnc: true\nclipboard: true\nsound: {model: ich9}\nvideo: {model: virtio}',
  });
  await done(instance, 'start desk');
  await consoleShows(instance, 'desk');
});

const extended = 0xc0a1_e5ce;
const [request, notify, provide] = [1 << 25, 1 << 27, 1 << 28];

/** rfbproto, extended clipboard: a message with a length below zero, and flags. */
async function nextExtended(viewer: RfbViewer): Promise<{ readonly flags: number; readonly data: Buffer }> {
  for (;;) {
    const [kind] = await viewer.read(1);
    if (kind !== 3) continue;
    const length = (await viewer.read(7)).readInt32BE(3);
    const body = await viewer.read(Math.abs(length));
    if (length < 0) return { flags: body.readUInt32BE(), data: body.subarray(4) };
  }
}

test('text goes from the viewer to the guest and from the guest to the viewer, with every wall up', async () => {
  await guestRuns(instance, 'desk', '/usr/bin/python3 -I -S /vdagent.py >/dev/console 2>&1 & sleep 5');
  const [program = '', ...words] = instance.program;
  const child = spawn(program, [...words, 'vnc', 'desk'], { env: instance.environment });
  after(() => child.kill('SIGKILL'));
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  using viewer = await RfbViewer.open(line.toString().trim());
  const encodings = Buffer.from([2, 0, 0, 1, 0, 0, 0, 0]);
  encodings.writeUInt32BE(extended, 4);
  viewer.socket.write(encodings);
  await nextExtended(viewer);
  const text = Buffer.from('copied on the desktop');
  viewer.socket.write(Buffer.concat([Buffer.from([6, 0, 0, 0, 0, 0, 0, text.length]), text]));
  await consoleShows(instance, 'desk', /agent: pasted copied on the desktop/);
  for (;;) if ((await nextExtended(viewer)).flags & notify) break;
  const ask = Buffer.alloc(12);
  ask.writeUInt8(6);
  ask.writeInt32BE(-4, 4);
  ask.writeUInt32BE(request | 1, 8);
  viewer.socket.write(ask);
  for (;;) {
    const { flags, data } = await nextExtended(viewer);
    if (!(flags & provide)) continue;
    const bytes = inflateSync(data, { finishFlush: constants.Z_SYNC_FLUSH });
    assert.equal(bytes.toString('utf8', 4).replaceAll('\0', ''), 'copied in the guest');
    break;
  }
  await done(instance, 'audit desk');
});

test('without a screen there is none, and without the key no port of it', async () => {
  const { status, stderr } = await instance.qward(['define', '-'], { stdin: 'name: x\nclipboard: true\n' });
  assert.deepEqual([status, /clipboard: there is no screen/.test(stderr)], [2, true], stderr);
  await defineBare(instance, 'plain', 'vnc: true');
  assert.doesNotMatch(await done(instance, 'explain plain'), /vdagent/);
});
