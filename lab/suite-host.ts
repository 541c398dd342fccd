/** The host of a suite: booted before its first test, gone after its last. */
import { after, before } from 'node:test';
import { LabHost } from './host.ts';
import { labImage } from './image.ts';
import { installScript, makePayload } from './payload.ts';

export interface SuiteOptions {
  /** Adds to /lab of the host, beside the package and the demo guest. */
  readonly bring?: (directory: string) => Promise<void>;
  /** A script that must succeed before the first test. */
  readonly prepare?: string;
  readonly parameters?: string;
  readonly spareDisk?: boolean;
  readonly usbStick?: boolean;
  readonly diskMib?: number;
  /** Where many guests run in it beside the host's own programs. */
  readonly memoryMib?: number;
}

const memoryMib = 3072;
const installLimitMs = 300_000;

/** With what `makePayload` makes in /lab, and nothing of qward installed. */
export async function suiteHost({ bring, prepare, ...options }: SuiteOptions = {}): Promise<LabHost> {
  const image = await labImage((line) => console.log(line));
  const payload = await makePayload();
  await bring?.(payload.directory);
  const host = LabHost.create(image, { memoryMib, ...options, payload: payload.directory });
  payload[Symbol.dispose]();
  before(async () => {
    await host.boot();
    if (prepare !== undefined) await host.demand(prepare, installLimitMs);
  });
  after(() => host[Symbol.asyncDispose]());
  return host;
}

/** With the package installed, and all that a machine of `defineScript` needs. */
export function installedHost({ prepare = '', ...options }: SuiteOptions = {}): Promise<LabHost> {
  return suiteHost({ ...options, prepare: `${installScript}\n${prepare}` });
}

/** The journal outlives a boot: `lastShutdown` reads it. */
export const keepJournal = 'mkdir -p /var/log/journal && systemctl restart systemd-journald';

/** A script of an ordinary user's, at home, with the environment that pam_systemd gives. */
export const asUser = (user: string, script: string): string => `set -e
cat > /run/script-${user} <<'SCRIPT'
set -e
export XDG_RUNTIME_DIR=/run/user/$(id -u) DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/$(id -u)/bus
cd
${script}
SCRIPT
chmod 0755 /run/script-${user}
su - ${user} -c 'bash /run/script-${user}'`;
