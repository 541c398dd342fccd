/** The OCI runtimes: their arguments, and which one works here, found by trying. */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';

export type RuntimeName = 'crun' | 'runc';
/** In the order in which they are tried. */
export const runtimeNames: readonly RuntimeName[] = ['crun', 'runc'];

export interface RunOptions {
  readonly binary: string;
  /** Directory where the runtime keeps its state. */
  readonly stateRoot: string;
  /** Directory of `config.json`; the runtime writes its pid file and its own messages (JSON lines) beside it. */
  readonly bundle: string;
  readonly id: string;
  /** The cgroup is a scope that systemd makes. */
  readonly scope: boolean;
  /** Descriptors of this process that the jailed one gets: 0, 1, 2 and as many more as there are. */
  readonly descriptors: readonly number[];
  readonly deadlineMs: number;
  /** Of the runtime itself. */
  readonly environment?: Readonly<Record<string, string>> | undefined;
}

export type RunOutcome =
  | { readonly ok: true; readonly pid: number }
  | { readonly ok: false; readonly message: string };

/** Starts the bundle's process and returns once the runtime has: before the process has read its arguments. */
export async function runDetached(options: RunOptions): Promise<RunOutcome> {
  const preserved = options.descriptors.length - 3;
  const [pidFile, logFile] = [`${options.bundle}/pid`, `${options.bundle}/log`];
  // The runtime dies with the broker's main thread, so that a killed broker leaves no launch half-way (prctl(2)).
  const argv = [
    '--pdeathsig',
    'KILL',
    options.binary,
    '--root',
    options.stateRoot,
    '--log',
    logFile,
    '--log-format',
    'json',
    ...(options.scope ? ['--systemd-cgroup'] : []),
    'run',
    '--detach',
    '--preserve-fds',
    String(preserved),
    '--pid-file',
    pidFile,
    '--bundle',
    options.bundle,
    options.id,
  ];
  const child = spawn('/usr/bin/setpriv', argv, {
    stdio: [...options.descriptors],
    env: options.environment ?? {},
    cwd: '/',
  });
  const end = await new Promise<{ code: number | null; signal: string | null; error?: Error }>((resolve) => {
    const timer = setTimeout(() => child.kill('SIGKILL'), options.deadlineMs);
    child.once('error', (error) => {
      clearTimeout(timer);
      resolve({ code: null, signal: null, error });
    });
    child.once('exit', (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal });
    });
  });
  if (end.error !== undefined) return { ok: false, message: `${options.binary}: ${end.error.message}` };
  if (end.code === 0) {
    const pid = Number(readFileSync(pidFile, 'latin1'));
    if (Number.isSafeInteger(pid) && pid > 1) return { ok: true, pid };
    return { ok: false, message: `${options.binary}: wrote no pid` };
  }
  const how =
    end.signal === null
      ? `exit status ${end.code}`
      : end.signal === 'SIGKILL'
        ? `no end within ${options.deadlineMs} ms`
        : end.signal;
  return { ok: false, message: `${options.binary}: ${how}: ${lastMessage(logFile)}` };
}

const maxLogBytes = 64 * 1024;

/** The last error that the runtime logged. */
function lastMessage(logFile: string): string {
  let text: string;
  try {
    text = readFileSync(logFile, 'utf8').slice(-maxLogBytes);
  } catch {
    return 'no message';
  }
  const messages = text
    .trim()
    .split('\n')
    .map((line) => /"msg":\s*"((?:[^"\\]|\\.)*)"/.exec(line)?.[1] ?? line);
  return (messages.at(-1) ?? '').slice(0, 1000) || 'no message';
}
