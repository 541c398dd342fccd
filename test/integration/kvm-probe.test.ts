/** The KVM probe's guest, in an ordinary jail. Under TCG, which every host has: what it does must come out right. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import {
  ensureKvmProbeImage,
  probeBootSector,
  probeImageBytes,
} from '../../src/manager/facts/kvm-probe-image.ts';
import { judgeKvmProbe, kvmProbeLimitMs, planKvmProbe } from '../../src/manager/facts/kvm-probe.ts';
import { defaultQemu, gatherQemu } from '../../src/manager/facts/qemu-facts.ts';
import { startJailed } from '../support/jailed-process.ts';
import { connectWhenListening, RawMonitor } from '../support/raw-monitor.ts';

/** Many times what the guest needs to speak under TCG (0.13 s). */
const silenceMs = 1500;

async function imageIn(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'qward-probe-'));
  t.after(() => rm(directory, { recursive: true }));
  const path = join(directory, 'kvm-probe.img');
  await ensureKvmProbeImage(path);
  return path;
}

/** What the guest writes to its console until the verdict is clear or the time is up. */
async function runProbe(imagePath: string, limitMs: number): Promise<Buffer> {
  const qemu = await gatherQemu(defaultQemu);
  assert.ok(qemu.ok, JSON.stringify(qemu));
  const planned = planKvmProbe(qemu.value.facts, imagePath, 'tcg');
  assert.ok(planned.ok, JSON.stringify(planned));
  await using jailed = await startJailed(planned.plan.launch);
  const { qmp = '', console: consolePath = '' } = jailed.sockets;
  await using monitor = await RawMonitor.open(qmp);
  const console = await connectWhenListening(consolePath, 1000);
  const timer = setTimeout(() => console.destroy(), limitMs);
  await monitor.execute('cont');
  let output = Buffer.alloc(0);
  try {
    for await (const chunk of console) {
      output = Buffer.concat([output, chunk as Buffer]);
      if (judgeKvmProbe(output).works) break;
    }
  } catch (error) {
    // Destroyed by the timer.
    if (!console.destroyed) throw error;
  } finally {
    clearTimeout(timer);
  }
  return output;
}

test('a processor that does what x86-64 must do lets the guest speak', async (t) => {
  const path = await imageIn(t);
  // A host under load may need more than the limit for KVM; what is tested is the guest.
  assert.equal(judgeKvmProbe(await runProbe(path, 4 * kvmProbeLimitMs)).works, true);
});

test('one wrong result keeps the guest silent', async (t) => {
  const path = await imageIn(t);
  const image = await readFile(path);
  const paddq = image.indexOf(Buffer.from([0x66, 0x0f, 0xd4, 0xc1]));
  assert.ok(paddq > 0);
  // psubq in place of paddq: the sums differ from those in the ordinary register, as under a broken virtualisation.
  image[paddq + 2] = 0xfb;
  await writeFile(path, image);
  assert.equal(judgeKvmProbe(await runProbe(path, silenceMs)).works, false);
});

test('the image is written once, and again when it is not what it should be', async (t) => {
  const path = await imageIn(t);
  const first = await stat(path);
  assert.equal(first.size, probeImageBytes);
  await ensureKvmProbeImage(path);
  assert.equal((await stat(path)).ino, first.ino);
  await writeFile(path, 'something else');
  await ensureKvmProbeImage(path);
  assert.ok((await readFile(path)).subarray(0, 512).equals(probeBootSector()));
});
