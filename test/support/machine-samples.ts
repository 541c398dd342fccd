/** Answers of the API as a manager could give them. */
import type { CallResult } from '../../src/api/calls.ts';

export type Summary = CallResult<'list'>[number];

export const sampleTime = Date.parse('2026-03-01T12:00:00Z');

export function machineSummary(name: string, changes: Partial<Summary> = {}): Summary {
  return {
    name,
    state: 'stopped',
    description: '',
    tags: [],
    cpus: 1,
    memory: 1024 ** 3,
    owner: 'alice',
    pid: null,
    uid: null,
    since: '2026-03-01T11:57:00Z',
    changed: false,
    notAdmitted: false,
    restart: null,
    addresses: [],
    wallsDiffer: false,
    beyond: [],
    autostart: false,
    ...changes,
  };
}

export function machineStatus(
  name: string,
  changes: Partial<CallResult<'status'>> = {},
): CallResult<'status'> {
  return {
    ...machineSummary(name),
    cgroup: null,
    accel: null,
    lastEnd: null,
    audit: null,
    saved: null,
    progress: null,
    moved: null,
    notRestarted: null,
    consoleWriter: null,
    networks: [],
    beside: [],
    notAdmittedFor: [],
    ...changes,
  };
}

export const runningStatus = machineStatus('web', {
  state: 'running',
  description: 'shop front',
  tags: ['web', 'shop'],
  cpus: 2,
  memory: 2 * 1024 ** 3,
  pid: 4711,
  uid: 1879048193,
  cgroup: '/qward/web',
  accel: 'tcg',
  audit: { ok: true, at: '2026-03-01T11:57:01Z' },
  consoleWriter: 'bob',
});

export const crashedStatus = machineStatus('db', {
  state: 'crashed',
  lastEnd: {
    how: 'crashed',
    signal: 'SIGKILL',
    exitCode: null,
    log: ['qemu: first', 'qemu: last'],
    at: '2026-03-01T11:00:00Z',
    message: 'QEMU was killed',
  },
});

export const auditReport: CallResult<'audit'> = {
  machine: 'web',
  pid: 4711,
  at: '2026-03-01T12:00:00Z',
  ok: false,
  rows: [
    { wall: 'uid', expected: '1879048193', found: '1879048193', verdict: 'ok' },
    {
      wall: 'capabilities',
      expected: 'all five sets empty',
      found: 'CapEff 0000000000020000',
      verdict: 'differs',
    },
    {
      wall: 'lsm',
      expected: 'this host has no security module',
      found: 'this host has no security module',
      verdict: 'missing',
    },
    {
      wall: 'dev',
      expected:
        'null, zero, full, random, urandom, tty, console, ptmx, pts, fd, stdin, stdout, stderr, core, kvm',
      found:
        'null, zero, full, random, urandom, tty, console, ptmx, pts, fd, stdin, stdout, stderr, core, kvm',
      verdict: 'ok',
    },
  ],
  exposure: [
    { subject: 'accelerator', found: 'tcg', note: 'QEMU promises no security under TCG' },
    { subject: 'device', found: 'virtio-net-pci', note: '' },
  ],
};

export const planOutcome: Extract<CallResult<'explain'>, { readonly ok: true }> = {
  ok: true,
  plan: {
    version: 1,
    launch: {
      machine: 'web',
      binary: '/usr/bin/qemu-system-x86_64',
      argv: ['-S', '-nodefaults', '-name', 'web', '-blockdev', '{"driver":"qcow2","node-name":"root"}'],
      env: { HOME: '/' },
      descriptors: [
        { kind: 'socket', name: 'qmp' },
        {
          kind: 'file',
          path: '/var/lib/qward/images/web.qcow2',
          access: 'rw',
          claimant: null,
          reopened: false,
        },
      ],
      devices: [],
      root: [{ source: '/usr/bin/qemu-system-x86_64', target: '/usr/bin/qemu-system-x86_64' }],
      limits: {
        memory: 3 * 1024 ** 3,
        pids: 80,
        cpuWeight: 100,
        cpuQuota: 150_000,
        ioWeight: 100,
        openFiles: 256,
        fileSize: 12 * 1024 ** 3,
      },
      program: 'qemu',
    },
    grants: [
      {
        fd: 3,
        subject: 'monitor',
        resource: 'socket qmp',
        access: 'rw',
        reason: 'the manager talks to QEMU',
      },
      {
        fd: 4,
        subject: 'disk root',
        resource: '/var/lib/qward/images/web.qcow2',
        access: 'rw',
        reason: 'the guest writes to it',
      },
    ],
    walls: [{ wall: 'uid', expected: 'its own, given by the broker' }],
    accel: { kind: 'tcg', reason: 'KVM was tried and did not run a guest' },
    helpers: [],
    beside: [],
    fdsets: [1],
    notes: ['no network card'],
  },
};

export const doctorReport: CallResult<'doctor'> = {
  ok: false,
  checks: [
    { check: 'oci-runtime', state: 'ok', found: 'runc 1.1.5', cure: '' },
    { check: 'kvm', state: 'degraded', found: '/dev/kvm hangs guests', cure: 'guests run under TCG' },
    { check: 'qemu', state: 'missing', found: 'no QEMU binary', cure: 'apt install qemu-system-x86' },
  ],
};
