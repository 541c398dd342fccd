/** A session on a host whose only hierarchy is cgroup v2: there crun makes the jails, as on most hosts. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { sessionUser } from '../support/session.ts';

const user = await sessionUser({ cgroup2: true });
after(() => user[Symbol.asyncDispose]());

async function done(words: string): Promise<string> {
  const { status, stdout, stderr } = await user.qward(words.split(' '), { timeoutMs: 90_000 });
  assert.equal(status, 0, `${words}: ${stdout}${stderr}`);
  return stdout.trim();
}

test('crun makes the jail, with every wall; threads have a bound by a cgroup alone, and that is said', async () => {
  assert.match(
    await done('doctor'),
    /OCI runtime\s+crun\n[\s\S]*memory, CPU and threads of a machine have no limit/,
  );
  const defined = await user.define({ name: 'web', disk: user.disk('web') });
  assert.equal(defined.status, 0, defined.stderr);
  assert.equal(await done('start web'), 'web: started');
  const audit = JSON.parse(await done('audit web --json')) as {
    readonly ok: boolean;
    readonly rows: readonly { readonly wall: string; readonly verdict: string }[];
  };
  assert.equal(audit.ok, true);
  const missing = audit.rows.flatMap(({ wall, verdict }) => (verdict === 'missing' ? [wall] : []));
  assert.deepEqual(missing.filter((wall) => wall !== 'lsm').sort(), ['cgroup', 'device-cgroup']);
  assert.equal(await done('stop web'), 'web: shut down');
  const drill = JSON.parse(await done('drill web --json')) as {
    readonly ok: boolean;
    readonly rows: readonly { readonly probe: string; readonly verdict: string }[];
  };
  assert.equal(drill.ok, true);
  const open = drill.rows.filter(({ verdict }) => verdict !== 'blocked').map(({ probe }) => probe);
  assert.deepEqual(open.toSorted(), ['memory', 'threads']);
});
