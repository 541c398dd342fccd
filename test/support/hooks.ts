/** A real broker whose policy names hooks, and the manager's way to run them. */
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createBrokerClient, defaultDeadlinesMs } from '../../src/manager/broker-client.ts';
import {
  runHook,
  type HookCall,
  type HookReport,
  type HookServices,
} from '../../src/manager/hooks/run-hook.ts';
import { success } from '../../src/manager/outcome.ts';
import { defaultPolicy } from '../../src/policy/policy.ts';
import { hookJobPrefix } from '../../src/protocol/hook.ts';
import type { LaunchRequest } from '../../src/protocol/launch.ts';
import { startTestBroker, type TestBroker } from './broker.ts';

export interface HookBench extends AsyncDisposable {
  readonly broker: TestBroker;
  readonly services: HookServices;
  /** Root's own directory for hooks. */
  readonly directory: string;
  /** Writes a script as an administrator would, and gives its path. */
  readonly write: (name: string, script: string) => string;
  /** Makes the policy name these: name to path. */
  readonly name: (hooks: Readonly<Record<string, string>>) => void;
  /** Writes a shell script, names it alone and runs it for machine "web". */
  readonly run: (script: string, call?: Partial<HookCall>) => Promise<HookReport>;
}

export async function startHookBench(): Promise<HookBench> {
  const broker = await startTestBroker();
  const { paths } = broker.site;
  const directory = `${broker.site.roots.config}/hooks`;
  mkdirSync(directory, { mode: 0o755 });
  const policy = JSON.parse(readFileSync(paths.policy, 'utf8')) as object;
  let named: Readonly<Record<string, string>> = {};
  const hooksOf = () => Object.entries(named).map(([name, path]) => ({ name, path }));
  const services: HookServices = {
    broker: createBrokerClient({
      socketPath: paths.brokerSocket,
      connectForMs: 15_000,
      deadlineMs: defaultDeadlinesMs,
    }),
    policy: () => success({ ...defaultPolicy, hooks: hooksOf() }),
    now: () => new Date(),
    running: new Set(),
  };
  const bench: HookBench = {
    broker,
    services,
    directory,
    write: (name, script) => {
      const path = `${directory}/${name}`;
      writeFileSync(path, script);
      chmodSync(path, 0o755);
      return path;
    },
    name: (hooks) => {
      named = hooks;
      writeFileSync(paths.policy, JSON.stringify({ ...policy, hooks: hooksOf() }));
    },
    run: (script, call = {}) => {
      bench.name({ tried: bench.write('tried', `#!/bin/sh\n${script}\n`) });
      return runHook(services, { hook: 'tried', machine: 'web', event: 'start', ...call });
    },
    [Symbol.asyncDispose]: () => broker[Symbol.asyncDispose](),
  };
  return bench;
}

/** What an honest manager asks the broker for. */
export const hookLaunch = (binary: string, change: Partial<LaunchRequest> = {}): LaunchRequest => ({
  machine: `${hookJobPrefix}0123456789abcdef`,
  program: 'hook',
  binary,
  argv: ['start', 'web'],
  env: {},
  descriptors: [],
  devices: [],
  root: [],
  limits: {
    memory: 128 * 1024 ** 2,
    pids: 32,
    cpuWeight: 50,
    cpuQuota: 100_000,
    ioWeight: 50,
    openFiles: 64,
    fileSize: 1024 ** 2,
  },
  ...change,
});
