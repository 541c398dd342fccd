/** What QEMU's arguments must say, and must not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ProcessFacts } from '../protocol/broker.ts';
import { parseState } from './process-state.ts';
import { compareGuestDevices } from './wall-guest-devices.ts';

const nothing = { facts: {}, mounts: '', status: '' };
const sandbox = 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny';
const good = ['-nodefaults', '-no-user-config', '-sandbox', sandbox, '-cpu', 'host,vmx=off,svm=off'];

function found(args: readonly string[], exe = '/usr/bin/qemu-system-x86_64'): string {
  const facts = {
    pid: 1,
    exe,
    cmdline: [exe, ...args],
    status: '',
    threads: [],
    mountinfo: '',
    hostMountinfo: '',
    netDev: '',
  };
  const finding = compareGuestDevices(parseState({ ...nothing, ...facts } as unknown as ProcessFacts), null);
  return finding.verdict === 'ok' ? 'ok' : finding.found;
}

const without = (...words: string[]): string[] => good.filter((word) => !words.includes(word));

test('a lean command line passes', () => {
  assert.equal(found(good), 'ok');
  assert.equal(found([...without('-cpu', 'host,vmx=off,svm=off'), '--cpu', 'max,-vmx,-svm']), 'ok');
});

test('defaults and user configuration differ', () => {
  assert.equal(found(without('-nodefaults')), 'no -nodefaults');
  assert.equal(found(without('-no-user-config')), 'no -no-user-config');
});

test('a word that is the value of another option does not count as the option', () => {
  assert.equal(found([...without('-nodefaults'), '-append', '-nodefaults']), 'no -nodefaults');
});

test('a sandbox that is missing, off or loosened differs', () => {
  assert.equal(found(without('-sandbox', sandbox)), 'no -sandbox');
  assert.equal(found([...good, '-sandbox', 'off']), '-sandbox is not on');
  assert.equal(found([...good, '-sandbox', 'on,spawn=allow']), '-sandbox does not deny spawn');
  assert.match(
    found([...without('-sandbox', sandbox), '-sandbox', 'on']),
    /does not deny obsolete, elevateprivileges, spawn, resourcecontrol/,
  );
});

test('user networks differ in every spelling', () => {
  for (const args of [
    ['-netdev', 'user,id=n'],
    ['-netdev', '{"type":"user","id":"n"}'],
    ['-netdev', 'id=n,type=user'],
    ['-nic', 'user,model=virtio'],
    ['-net', 'user'],
    ['--netdev', 'user,id=n'],
  ])
    assert.match(found([...good, ...args]), /^user network in the process/, args.join(' '));
});

test('floppies differ in every spelling', () => {
  for (const args of [
    ['-fda', 'x.img'],
    ['-drive', 'if=floppy,file=x.img'],
    ['-device', 'floppy,drive=f'],
    ['-device', '{"driver":"isa-fdc"}'],
  ])
    assert.match(found([...good, ...args]), /^floppy/, args.join(' '));
});

test('nested virtualisation is off only where both kinds are switched off last', () => {
  const withCpu = (cpu: string): string => found([...without('-cpu', 'host,vmx=off,svm=off'), '-cpu', cpu]);
  assert.match(withCpu('host'), /not switched off \(vmx, svm\)/);
  assert.match(withCpu('host,vmx=off'), /\(svm\)/);
  assert.match(withCpu('host,vmx=off,svm=off,svm=on'), /\(svm\)/);
  assert.match(withCpu('host,-vmx,-svm,+vmx'), /\(vmx\)/);
  assert.match(found(without('-cpu', 'host,vmx=off,svm=off')), /\(vmx, svm\)/);
  assert.equal(found(without('-cpu', 'host,vmx=off,svm=off'), '/usr/bin/qemu-system-riscv64'), 'ok');
});

test('a file of devices differs, since nobody looks into it', () => {
  assert.match(found([...good, '-readconfig', '/run/x.conf']), /devices from a file/);
});
