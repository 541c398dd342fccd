/** The drill in jails made by hand, whole or with walls taken away: for tests that show that each probe can get through. */
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { probes } from '../../src/audit/drill/probes.ts';
import type { DrillRow } from '../../src/audit/drill/report.ts';
import { limitsHit } from '../../src/linux/limits-hit.ts';
import { usbDevices } from '../../src/linux/usb-devices.ts';
import { firstDisk, openOutside } from '../../src/manager/drill/outside.ts';
import { runDrill } from '../../src/manager/drill/run-drill.ts';
import { drillProgram, type LaunchRequest } from '../../src/protocol/launch.ts';
import { startJailed } from '../support/jailed-process.ts';

const MiB = 1024 * 1024;

/** The OCI configuration, as loose as the tests that break it need. */
export interface LooseConfig {
  process: {
    user: { uid: number; gid: number; additionalGids: number[] };
    capabilities: Record<string, string[]>;
    rlimits: { type: string; soft: number; hard: number }[];
    [key: string]: unknown;
  };
  root: { path: string; readonly: boolean };
  mounts: { destination: string; type: string; source: string; options: string[] }[];
  linux: {
    namespaces: { type: string }[];
    devices: object[];
    resources: {
      devices: object[];
      pids?: { limit: number };
      memory?: { limit: number };
      [key: string]: unknown;
    };
    seccomp?: object;
    [key: string]: unknown;
  };
}

export interface Weakness {
  /** `directory`: where the image and the sockets are. */
  readonly config?: (config: LooseConfig, directory: string) => void;
  /** Without QEMU's own denials. */
  readonly denials?: false;
  /** What is given for reading is open for writing as well. */
  readonly openForBoth?: true;
}

/** The node of a USB device of this host: virtual machines often have none. */
export const firstUsbDevice = (): string | null => usbDevices()[0]?.node ?? null;

/** Every probe in one jail, which has no files but an image of root's alone. */
export async function drillJail(weakness: Weakness = {}): Promise<readonly DrillRow[]> {
  const directory = await mkdtemp(join(tmpdir(), 'qward-drill-'));
  const image = join(directory, 'image');
  await writeFile(image, Buffer.alloc(4096), { mode: 0o600 });
  const socket = join(directory, 'socket');
  const server = createServer((peer) => peer.destroy()).listen(socket);
  try {
    await once(server, 'listening');
    await using outside = await openOutside(join(directory, 'outside'));
    const launch = launchOf(image);
    const outcome = await runDrill({
      launch,
      probes,
      outside,
      uid: 0,
      ...(weakness.denials === undefined ? {} : { denials: weakness.denials }),
      host: {
        managerSocket: socket,
        brokerSocket: socket,
        claimsSocket: socket,
        image,
        disk: await firstDisk(),
        usb: firstUsbDevice(),
      },
      run: async (argv, limits) => {
        await using jail = await startJailed(
          { ...launch, argv, limits, descriptors: opened(launch, weakness) },
          // The compiled bundle is plain data; the tests take it apart.
          { change: (config) => weakness.config?.(config as unknown as LooseConfig, directory) },
        );
        await jail.ended(10_000);
        return {
          ok: true,
          value: { output: await jail.readLog(), memoryLimit: limitsHit(jail.cgroup).memory },
        };
      },
    });
    if (!outcome.ok) throw new Error(JSON.stringify(outcome.faults));
    return outcome.value;
  } finally {
    server.close();
    await rm(directory, { recursive: true, force: true });
  }
}

function launchOf(image: string): LaunchRequest {
  const file = (access: 'ro' | 'rw') =>
    ({ kind: 'file', path: image, access, claimant: null, reopened: false }) as const;
  return {
    machine: 'drill-test',
    program: 'drill',
    binary: drillProgram,
    argv: [],
    env: {},
    descriptors: [file('ro'), file('rw')],
    devices: [],
    root: [],
    limits: {
      memory: 64 * MiB,
      pids: 40,
      cpuWeight: 100,
      cpuQuota: null,
      ioWeight: 100,
      openFiles: 256,
      fileSize: 16 * MiB,
    },
  };
}

function opened({ descriptors }: LaunchRequest, { openForBoth }: Weakness): LaunchRequest['descriptors'] {
  return descriptors.map((one) =>
    openForBoth === true && one.kind === 'file' ? { ...one, access: 'rw' as const } : one,
  );
}
