/**
 * Starts libvirt by hand with one small domain, audits the domain's QEMU, prints the report and ends all of it. Runs in
 * mount and process namespaces of its own (audit-foreign.test.ts), so that nothing of it outlives it and libvirt's directories, which are fixed at build time, are empty ones. Argument: the name of the domain.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { auditForeign } from '../../src/audit/audit-process.ts';
import { readProcessFacts } from '../../src/linux/process-facts.ts';
import { showLibvirtAccount } from '../support/libvirt-account.ts';

const deadlineMs = 30_000;

function run(command: string, ...args: readonly string[]): void {
  const done = spawnSync(command, args, {
    encoding: 'utf8',
    timeout: deadlineMs,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  if (done.status !== 0) throw new Error(`${command} ${args.join(' ')}: ${done.stderr}`);
}

function coverHost(): void {
  run('mount', '--make-rprivate', '/');
  for (const path of [
    '/etc/libvirt',
    '/var/lib/libvirt',
    '/run/libvirt',
    '/var/log/libvirt',
    '/var/cache/libvirt',
  ]) {
    mkdirSync(path, { recursive: true });
    run('mount', '-t', 'tmpfs', '-o', 'mode=0755', 'audit', path);
  }
  // A /dev/kvm that opens and then hangs its guests would hang libvirt's probes of QEMU too.
  if (existsSync('/dev/kvm')) run('mount', '--bind', '/dev/null', '/dev/kvm');
}

const domainXml = (name: string): string => `
<domain type='qemu'>
  <name>${name}</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file'><driver name='qemu' type='raw'/><source file='/var/lib/libvirt/disk.img'/><target dev='vda' bus='virtio'/></disk>
    <controller type='usb' model='none'/><memballoon model='none'/>
  </devices>
</domain>`;

async function answers(path: string): Promise<boolean> {
  const socket = connect(path);
  try {
    await once(socket, 'connect', { signal: AbortSignal.timeout(deadlineMs) });
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

async function startDaemon(command: string, socket: string): Promise<ChildProcess> {
  const daemon = spawn(command, ['--pid-file', `${socket}.pid`], { stdio: 'ignore' });
  const end = performance.now() + deadlineMs;
  // No event tells that a path answers.
  while (!(await answers(socket))) {
    if (performance.now() > end) throw new Error(`${command} does not answer`);
    await delay(20);
  }
  return daemon;
}

async function auditDomain(name: string): Promise<void> {
  coverHost();
  showLibvirtAccount('/var/lib/libvirt');
  const daemons = [
    await startDaemon('/usr/sbin/virtlogd', '/run/libvirt/virtlogd-sock'),
    await startDaemon('/usr/sbin/libvirtd', '/run/libvirt/libvirt-sock'),
  ];
  writeFileSync('/var/lib/libvirt/disk.img', Buffer.alloc(1024 * 1024));
  writeFileSync('/var/lib/libvirt/domain.xml', domainXml(name));
  run('virsh', '-c', 'qemu:///system', 'create', '--paused', '/var/lib/libvirt/domain.xml');
  const pid = Number(readFileSync(`/run/libvirt/qemu/${name}.pid`, 'utf8'));
  const outcome = readProcessFacts(pid, { sharers: true });
  // The test has the command look at it, too, and then ends standard input.
  process.stdout.write('it runs\n');
  await once(process.stdin.resume(), 'end');
  run('virsh', '-c', 'qemu:///system', 'destroy', name);
  for (const daemon of daemons) daemon.kill('SIGKILL');
  if (!outcome.ok) throw new Error(outcome.reason);
  const report = auditForeign({ facts: outcome.facts, at: new Date().toISOString() });
  process.stdout.write(JSON.stringify(report));
}

await auditDomain(process.argv[2] ?? 'audit');
process.exit(0);
