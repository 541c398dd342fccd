/** Runs a program of the system for its output: no shell, an empty environment, a deadline, a bound on the output. */
import { execFile } from 'node:child_process';

export type ProgramOutput =
  | { readonly ok: true; readonly stdout: string }
  | { readonly ok: false; readonly why: string };

export interface RunLimits {
  readonly deadlineMs: number;
  readonly maxBytes: number;
}

/** An exit status other than 0 is a failure; `why` then has the last line that the program wrote to stderr. */
export async function runProgram(
  binary: string,
  args: readonly string[],
  { deadlineMs, maxBytes }: RunLimits,
): Promise<ProgramOutput> {
  const settings = {
    cwd: '/',
    env: {},
    timeout: deadlineMs,
    maxBuffer: maxBytes,
    killSignal: 'SIGKILL',
    encoding: 'utf8',
  } as const;
  return await new Promise((resolve) => {
    execFile(binary, args, settings, (error, stdout, stderr) => {
      if (error === null) resolve({ ok: true, stdout });
      else if (error.killed === true && error.code !== 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER')
        resolve({ ok: false, why: `no end within ${deadlineMs} ms` });
      else resolve({ ok: false, why: lastLine(stderr) || error.message });
    });
  });
}

function lastLine(text: string): string {
  return (text.trimEnd().split('\n').at(-1) ?? '').slice(0, 300);
}
