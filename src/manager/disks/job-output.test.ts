import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planDiskStep, type DiskStep } from '../../plan/disk-job.ts';
import { jsonIn, judgeStep, progressOf } from './job-output.ts';

const image = { path: '/srv/web.qcow2', format: 'qcow2', claimant: null, backing: [] } as const;
const convert: DiskStep = {
  do: 'convert',
  image,
  target: { ...image, path: '/srv/n' },
  compress: false,
  rate: null,
};
const site = {
  machine: 'qward-disk-0123456789ab',
  tool: { binary: '/usr/bin/qemu-img', closure: [] },
  virtualSize: 1,
};

function verdict(step: DiskStep, output: string, exitCode?: number, memoryHit = false): string {
  const end = exitCode === undefined ? undefined : { exitCode, signal: null };
  const outcome = judgeStep(step, { output, end, memoryHit }, planDiskStep(step, site));
  return outcome.ok ? 'done' : `${outcome.faults[0]?.code}: ${outcome.faults[0]?.message}`;
}

test('the last progress line counts', () => {
  assert.equal(progressOf('    (0.00/100%)\r    (12.50/100%)\r'), 12.5);
  assert.equal(progressOf('nothing'), null);
});

test('a step is done where it says so, and the exit status, if known, agrees', () => {
  const whole = '    (0.00/100%)\r    (100.00/100%)\r\n';
  assert.equal(verdict(convert, whole, 0), 'done');
  assert.equal(verdict(convert, whole), 'done');
  assert.match(verdict(convert, whole, 1), /^disk-failed: /);
  assert.match(verdict(convert, '    (50.00/100%)\r', 0), /^disk-failed: /);
  assert.match(verdict(convert, `${whole}qemu-img: error while writing`), /^disk-failed: /);
  assert.match(verdict(convert, whole, 0, true), /more memory/);
  const snapshot: DiskStep = { do: 'snapshot', image, action: 'create', snapshot: 'a' };
  assert.equal(verdict(snapshot, '', 0), 'done');
  assert.match(verdict(snapshot, 'qemu-img: no', undefined), /^disk-failed: qemu-img: no/);
  assert.equal(verdict({ do: 'check', image, repair: null }, '{\n}\n', 3), 'done', 'leaks are a finding');
});

test('its words name files, carry no control characters, and tell locks', () => {
  const words = 'qemu-img: Could not open \'json:{"a":"/x"}\': bad \u001b[31m /proc/self/fd/3\n';
  assert.equal(
    verdict(convert, words, 1),
    'disk-failed: qemu-img: Could not open the image: bad \\x1b[31m /srv/web.qcow2',
  );
  assert.match(verdict(convert, 'qemu-img: Failed to get "write" lock\n', 1), /^image-locked/);
});

test('JSON is found between warnings; what is none gives nothing', () => {
  assert.deepEqual(jsonIn('qemu-img: warning: x\n{\n "a": 1\n}\n'), { a: 1 });
  for (const text of ['', '{', '}{', '[1]', `{ "a": "${'x'.repeat(10)}`])
    assert.equal(jsonIn(text), undefined);
});
