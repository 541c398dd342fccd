/** A shell and the small programs of the system at work under the filter of a hook's jail. */
import assert from 'node:assert/strict';
import { chmodSync, realpathSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { withShell } from '../../src/broker/hook.ts';
import { seccompProfiles } from '../../src/jail/seccomp.ts';
import { unusedParts } from '../support/seccomp-coverage.ts';
import { hookLaunch } from '../support/hooks.ts';
import { startTraced, type TracedCall } from '../support/traced-jail.ts';

const directory = await mkdtemp(join(realpathSync(tmpdir()), 'qward-hook-'));
chmodSync(directory, 0o755);
after(() => rm(directory, { recursive: true }));

/** Of all runs. */
const calls: TracedCall[] = [];

async function runScript(script: string): Promise<string> {
  const path = join(directory, 'script');
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  const traced = await startTraced(withShell(hookLaunch(path)), directory);
  await using jailed = traced.jailed;
  await jailed.ended(60_000);
  calls.push(...(await traced.calls()));
  return (await jailed.readLog()).toString('utf8');
}

test('a shell with pipes, redirections, signals and time', async () => {
  const output = await runScript(
    [
      'echo "$1 $2 $$ $PPID $(id -u)"; pwd; cd /usr; pwd',
      'now=$(date +%s); test "$now" -gt 1700000000 && echo late',
      'echo one two | sed s/one/three/ | cat',
      'cat <<END\nhere\nEND',
      'test -r /usr/bin/env && echo readable; for file in /usr/bin/en?; do echo $file; done',
      'ls -l /hook >/dev/null && uname -s',
      'trap "echo caught" USR1; kill -USR1 $$; sleep 0.1 & wait; timeout 0.2 sleep 5; echo $?',
      'readlink /bin; cat /usr/bin/env | head -c 4 | od -c | head -1; stat -f -c %T /usr >/dev/null',
      'exit 7',
    ].join('\n'),
  );
  assert.match(
    output,
    /^start web \d+ 1 \d+\n\/\n\/usr\nlate\nthree two\nhere\nreadable\n\/usr\/bin\/env\nLinux\ncaught\n124\nusr\/bin\n0000000 177 {3}E {3}L {3}F\n\nqward-hook: exit status 7\n$/,
  );
});

test('nothing is allowed that nothing used, but for what says when it is', () => {
  assert.deepEqual(unusedParts(seccompProfiles.hook, calls), []);
});
