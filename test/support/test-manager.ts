/** A manager in the test's own process, in front of a fake broker, with its API on a socket. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import type { TestContext } from 'node:test';
import { QwardClient } from '../../src/api/client.ts';
import type { AuditReport } from '../../src/audit/report.ts';
import { createManager, type Manager } from '../../src/manager/manager.ts';
import { pathsBelow, type Paths } from '../../src/protocol/paths.ts';
import { FakeBroker } from './fake-broker.ts';

export interface TestManager {
  readonly manager: Manager;
  readonly broker: FakeBroker;
  readonly client: QwardClient;
  readonly paths: Paths;
  readonly root: string;
  /** Lines of the manager's log. */
  readonly log: string[];
  /** What the audit of the next start says. */
  readonly audit: { ok: boolean };
  /** Ends this manager, as SIGTERM does, and starts another one on the same state. */
  readonly restart: (between?: () => void) => Promise<TestManager>;
}

export const definition = (name: string, more = ''): string =>
  `name: ${name}\naccel: tcg\nmemory: 64MiB\n${more}`;

export async function startManager(context: TestContext): Promise<TestManager> {
  const root = mkdtempSync(`${tmpdir()}/qward-manager-`);
  mkdirSync(`${root}/machines`);
  const broker = new FakeBroker(`${root}/machines`);
  const ends: (() => Promise<void>)[] = [];
  context.after(async () => {
    for (const end of ends) await end();
    await broker.close();
    rmSync(root, { recursive: true, force: true });
  });
  return await startOn(root, broker, ends);
}

async function startOn(
  root: string,
  broker: FakeBroker,
  ends: (() => Promise<void>)[],
): Promise<TestManager> {
  const paths = pathsBelow({ config: `${root}/etc`, run: `${root}/run`, state: `${root}/state` });
  const log: string[] = [];
  const audit = { ok: true };
  const manager = await createManager({
    paths,
    broker: broker.port,
    now: () => new Date(),
    writeLog: (line) => log.push(line),
    uid: process.getuid?.() ?? 0,
    checkResults: true,
    sources: {
      host: async () => ({
        uefi: null,
        secureUefi: null,
        vhostNet: false,
        hostMemory: 8 * 1024 ** 3,
        time: { now: 0, zone: 'UTC' },
      }),
      qemu: async () => ({ ok: true, value: qemuFacts }),
      kvm: async () => ({ works: false, reason: 'a test' }),
      audit: (run, _facts, now): AuditReport => ({
        machine: run.launched.machine,
        pid: run.launched.pid,
        at: now.toISOString(),
        ok: audit.ok,
        rows: audit.ok ? [] : [{ wall: 'uid', expected: '1', found: '0', verdict: 'differs' }],
        exposure: [],
      }),
    },
  });
  await manager.app.ready();
  await new Promise<void>((resolve) => manager.app.server.listen(paths.apiSocket, resolve));
  await manager.adopted;
  const client = new QwardClient({ socketPath: paths.apiSocket });
  let ended = false;
  const end = async (): Promise<void> => {
    if (ended) return;
    ended = true;
    client.close();
    await manager[Symbol.asyncDispose]();
  };
  ends.push(end);
  const restart: TestManager['restart'] = async (between) => {
    await end();
    between?.();
    return await startOn(root, broker, ends);
  };
  return { manager, broker, client, paths, root, log, audit, restart };
}

const qemuFacts = {
  binary: '/usr/bin/qemu-system-x86_64',
  version: { major: 7, minor: 2, micro: 22 },
  closure: [{ source: '/usr/bin/qemu-system-x86_64', target: '/usr/bin/qemu-system-x86_64' }],
  modules: {},
};
