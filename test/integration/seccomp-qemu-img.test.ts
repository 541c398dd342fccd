/** qemu-img at work under the filter of its jail: everything that jobs ask of it. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { gatherTool, imageTool } from '../../src/manager/facts/tool.ts';
import { importFormats, planDiskStep, type DiskStep, type JobFile } from '../../src/plan/disk-job.ts';
import { seccompProfiles } from '../../src/jail/seccomp.ts';
import { startJailed } from '../support/jailed-process.ts';
import { unusedParts } from '../support/seccomp-coverage.ts';
import { startTraced, type TracedCall } from '../support/traced-jail.ts';

const MiB = 1024 ** 2;
const directory = await mkdtemp(join(tmpdir(), 'qward-img-'));
chmodSync(directory, 0o711);
after(() => rm(directory, { recursive: true }));
const gathered = await gatherTool('/usr/bin/qemu-img', imageTool);
assert.ok(gathered.ok, JSON.stringify(gathered));
const tool = gathered.value;

/** The jail of this test opens files as anybody: what is tried is the filter. */
function file<const Format extends JobFile['format']>(
  name: string,
  format: Format,
): { path: string; format: Format; claimant: null; backing: [] } {
  const path = join(directory, name);
  writeFileSync(path, '', { flag: 'a' });
  chmodSync(path, 0o666);
  return { path, format, claimant: null, backing: [] };
}

async function runStep(step: DiskStep): Promise<string> {
  const launch = planDiskStep(step, {
    machine: 'qward-disk-0123456789ab',
    tool,
    virtualSize: 16 * MiB,
  });
  const traced = await startTraced(launch, directory);
  await using jailed = traced.jailed;
  await jailed.ended(60_000);
  calls.push(...(await traced.calls()));
  return (await jailed.readLog()).toString('utf8');
}

/** Of all runs. */
const calls: TracedCall[] = [];

const raw = file('source.raw', 'raw');
writeFileSync(
  raw.path,
  Buffer.concat([Buffer.alloc(3 * MiB), Buffer.alloc(5 * MiB, 'qward'), Buffer.alloc(8 * MiB)]),
);

const ready = /^(?:\s*\(\d+\.\d\d\/100%\)\s*)*\(100\.00\/100%\)\s*$/;
const infoOf = async (image: JobFile): Promise<Record<string, unknown>> =>
  JSON.parse(await runStep({ do: 'info', image, shared: false })) as Record<string, unknown>;

test('create, and info', async () => {
  for (const preallocation of ['off', 'metadata', 'falloc', 'full'] as const) {
    const target = file(`made-${preallocation}`, 'qcow2');
    assert.match(
      await runStep({ do: 'create', target, size: 8 * MiB, preallocation, backing: null }),
      /^Formatting/,
    );
    const info = await infoOf(target);
    assert.deepEqual([info['format'], info['virtual-size']], ['qcow2', 8 * MiB]);
  }
  const target = file('made.raw', 'raw');
  assert.match(
    await runStep({ do: 'create', target, size: 8 * MiB, preallocation: 'falloc', backing: null }),
    /^Formatting[^\n]*\n$/,
  );
  assert.equal(statSync(target.path).size, 8 * MiB);
});

test('convert from every format, compressed, with a limited rate, and back', async () => {
  for (const format of importFormats) {
    const image = file(`source.${format}`, format);
    if (format !== 'raw') execFileSync('qemu-img', ['convert', '-O', format, raw.path, image.path]);
    const target = file(`from-${format}.qcow2`, 'qcow2');
    assert.match(await runStep({ do: 'convert', image, target, compress: true, rate: null }), ready);
  }
  const back = file('back.raw', 'raw');
  const image = { ...file('from-vmdk.qcow2', 'qcow2') };
  assert.match(await runStep({ do: 'convert', image, target: back, compress: false, rate: 40 * MiB }), ready);
  assert.ok(readFileSync(back.path).equals(readFileSync(raw.path)));
});

test('resize, check, snapshots', async () => {
  const image = file('work.qcow2', 'qcow2');
  execFileSync('qemu-img', ['convert', '-O', 'qcow2', raw.path, image.path]);
  const resize = (size: number, shrink: boolean) =>
    runStep({ do: 'resize', image, size, shrink, preallocation: 'off' });
  assert.equal(await resize(32 * MiB, false), 'Image resized.\n');
  assert.match(await resize(16 * MiB, false), /Use the --shrink option/);
  assert.equal(await resize(16 * MiB, true), 'Image resized.\n');
  for (const repair of [null, 'leaks', 'all'] as const) {
    const found = JSON.parse(await runStep({ do: 'check', image, repair })) as Record<string, unknown>;
    assert.equal(found['check-errors'], 0);
  }
  for (const action of ['create', 'revert', 'rm'] as const)
    assert.equal(await runStep({ do: 'snapshot', image, action, snapshot: 'before' }), '');
  assert.match(await runStep({ do: 'snapshot', image, action: 'revert', snapshot: 'none' }), /'none'/);
});

test('rebase and commit along explicit chains', async () => {
  const other = file('other.raw', 'raw');
  copyFileSync(raw.path, other.path);
  const overlay = file('overlay.qcow2', 'qcow2');
  const backing = { path: raw.path, format: 'raw' } as const;
  await runStep({ do: 'create', target: overlay, size: 16 * MiB, preallocation: 'off', backing });
  const over = { ...overlay, backing: [raw] };
  assert.match(await runStep({ do: 'rebase', image: over, onto: [other] }), ready);
  assert.equal(
    await runStep({ do: 'rename-backing', image: overlay, backing: { ...backing, path: '/srv/new' } }),
    '',
  );
  assert.equal((await infoOf(overlay))['backing-filename'], '/srv/new');
  execFileSync('qemu-io', ['-c', 'write -P 7 0 1M', '-f', 'raw', other.path]);
  assert.match(
    await runStep({ do: 'commit', image: { ...overlay, backing: [other] } }),
    /Image committed\.\n$/,
  );
  assert.match(await runStep({ do: 'rebase', image: { ...overlay, backing: [other] }, onto: [] }), ready);
  assert.equal((await infoOf(overlay))['backing-filename'], undefined);
});

test('a file that grows beyond its limit ends the job', async () => {
  const target = file('long.raw', 'raw');
  const step = { do: 'convert', image: raw, target, compress: false, rate: null } as const;
  const launch = planDiskStep(step, { machine: 'qward-disk-0123456789ab', tool, virtualSize: 0 });
  await using jailed = await startJailed({ ...launch, limits: { ...launch.limits, fileSize: 4 * MiB } });
  await jailed.ended(30_000);
  assert.doesNotMatch((await jailed.readLog()).toString('utf8'), /100\.00/);
  assert.ok(statSync(target.path).size <= 4 * MiB);
  truncateSync(target.path);
});

test('nothing is allowed that nothing used, but for what says when it is', () => {
  assert.deepEqual(unusedParts(seccompProfiles['qemu-img'], calls), []);
});
