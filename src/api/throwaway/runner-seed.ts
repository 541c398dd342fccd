/** What has a guest start the runner from its seed: a line of cloud-init's `bootcmd`, and the files beside it. */
import { runnerProgram } from './runner-program.ts';

const place = '/run/qward-seed';

/** In cloud-init's first stage, at every boot. */
export const runnerCommand = `mkdir -p ${place}; mount -o ro LABEL=cidata ${place}; sh ${place}/start.sh`;

/** `waits`: until there is a route, a minute at most. What a guest without cloud-init does as well is in docs/throwaway.md. */
export const runnerFiles = (waits: boolean): Readonly<Record<string, string>> => ({
  'start.sh': `#!/bin/sh
exec python3 -I -S ${place}/runner.py${waits ? ' --network' : ''}
`,
  'runner.py': runnerProgram,
});
