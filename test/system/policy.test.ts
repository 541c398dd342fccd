/** The policy of a real instance: a change at the next request, a file that others can have written, and what people are told. */
import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  readFileSync,
  renameSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { after, before, test } from 'node:test';
import { startInstance, type CommandOutcome, type Instance } from '../support/instance.ts';

let instance: Instance;
before(async () => {
  instance = await startInstance();
  const disk = instance.disk('web');
  writeFileSync(
    `${instance.directory}/web.yaml`,
    `name: web\nmemory: 64MiB\naccel: tcg\ndisks:\n  - {id: root, path: ${disk}, format: qcow2}\n`,
  );
  const { status, stderr } = await qward('define', `${instance.directory}/web.yaml`);
  assert.equal(status, 0, stderr);
});
after(async () => {
  await instance[Symbol.asyncDispose]();
});

const qward = (...args: string[]): Promise<CommandOutcome> => instance.qward(args);

/** A policy with a key on each line: `uidRange` stands on line 2. */
function write(more: readonly string[] = [], access = 'rw'): void {
  const lines = [
    `"uidRange": ${JSON.stringify(instance.uidRange)}`,
    `"storageRoots": [{ "path": "${instance.paths.images}", "access": "${access}" }]`,
    ...more,
  ];
  writeFileSync(instance.paths.policy, `{\n${lines.join(',\n')}\n}\n`, { mode: 0o644 });
}

const policy = (): string => instance.paths.policy;

test('a change takes effect at the next request, and running machines are only marked', async () => {
  write();
  assert.equal((await qward('start', 'web')).status, 0);
  const pid = (await qward('list', '--json')).stdout;
  write(['"ceilings": { "memory": "1MiB" }'], 'ro');
  const list = await qward('list');
  assert.match(list.stdout, /^web +running !/m);
  const [row] = JSON.parse((await qward('list', '--json')).stdout) as { notAdmitted: boolean; pid: number }[];
  const [first] = JSON.parse(pid) as { notAdmitted: boolean; pid: number }[];
  assert.deepEqual([first?.notAdmitted, row?.notAdmitted, row?.pid === first?.pid], [false, true, true]);
  const status = await qward('status', 'web');
  assert.match(status.stdout, /read-only: .*policy\.json line 3 \(storageRoots\[0\]\)/);
  assert.match(status.stdout, /above the ceiling of 1048576: .*policy\.json line 4 \(ceilings\.memory\)/);
  assert.equal((await qward('audit', 'web')).status, 0);
  assert.equal((await qward('stop', 'web', '--timeout', '0s')).status, 0);
  const refused = await qward('start', 'web');
  assert.equal(refused.status, 4);
  assert.match(refused.stderr, /which is read-only\n {2}.*policy\.json line 3 \(storageRoots\[0\]\)\n/);
  write(['"ceilings": { "memory": "1MiB" }']);
  const low = await qward('start', 'web');
  assert.equal(low.status, 4);
  assert.match(low.stderr, /ceiling of 1048576\n {2}.*policy\.json line 4 \(ceilings\.memory\)\n/);
  write();
  assert.equal((await qward('start', 'web')).status, 0);
  assert.equal((await qward('kill', 'web')).status, 0);
});

test('what the manager alone holds against the policy marks a running machine too', async () => {
  write(['"allowAuditWarning": true']);
  assert.equal((await qward('set', 'web', 'onAuditFailure=warn')).status, 0);
  assert.equal((await qward('start', 'web')).status, 0);
  assert.match((await qward('list')).stdout, /^web +running +(?!!)/m);
  write();
  assert.match((await qward('list')).stdout, /^web +running !/m);
  assert.match(
    (await qward('status', 'web')).stdout,
    /onAuditFailure: warn, which the policy does not allow/,
  );
  assert.equal((await qward('kill', 'web')).status, 0);
  assert.equal((await qward('set', 'web', 'onAuditFailure=stop')).status, 0);
});

test('explain names the line that decides, grant by grant, and starts nothing', async () => {
  write(['"devices": ["/dev/kvm"]']);
  const { status, stdout } = await qward('policy', 'explain', 'web');
  assert.equal(status, 0);
  assert.match(stdout, /^yes +file \(rw\) +.*web\.qcow2 +line 3 \(storageRoots\[0\]\)/m);
  assert.match(stdout, /^yes +limit pids +\d+ +default \(ceilings\.pids\)/m);
  write([], 'ro');
  const refused = await qward('policy', 'explain', 'web');
  assert.equal(refused.status, 1);
  assert.match(refused.stdout, /^no +file \(rw\) +.*web\.qcow2 +line 3 \(storageRoots\[0\]\)/m);
  assert.match(refused.stdout, /^The policy does not admit web\.$/m);
  assert.equal(refused.stdout.match(/which is read-only/g)?.length, 1);
  assert.match((await qward('list')).stdout, /^web +stopped/m);
  write();
});

test('a helper that the policy does not list is refused by the key, and explain says so before', async () => {
  write(['"networkHelpers": []']);
  const source = 'name: out\nmemory: 64MiB\naccel: tcg\nnics: [{ id: net, kind: user }]\n';
  assert.equal((await instance.qward(['define', '-'], { stdin: source })).status, 0);
  const explained = await qward('policy', 'explain', 'out');
  assert.equal(explained.status, 1);
  assert.match(explained.stdout, /the policy lists no network helper[\s\S]*line 4 \(networkHelpers\)/);
  assert.match(explained.stdout, /^The policy does not admit out\.$/m);
  const refused = await qward('start', 'out');
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /needs passt, which is not on this host, or not in the policy/);
  assert.equal((await qward('rm', 'out', '--yes')).status, 0);
  write();
});

test('show says what is in force, and where it is said', async () => {
  write(['"bridges": ["br0"]']);
  const { stdout } = await qward('policy', 'show');
  assert.match(stdout, /^bridges\[0\] +line 4 +bridge br0$/m);
  assert.match(stdout, /^ceilings\.memory +default +4TiB$/m);
  const report = JSON.parse((await qward('policy', 'show', '--json')).stdout) as {
    ok: boolean;
    path: string;
  };
  assert.deepEqual([report.ok, report.path], [true, policy()]);
  write();
});

const spoiled: Readonly<Record<string, { readonly spoil: () => void; readonly said: RegExp }>> = {
  'writable by others': {
    spoil: () => {
      chmodSync(policy(), 0o666);
    },
    said: /others than root can write it[\s\S]*chmod 0644/,
  },
  "another user's": {
    spoil: () => {
      chownSync(policy(), instance.managerUid, instance.managerUid);
    },
    said: /belongs to uid \d+, not to root[\s\S]*chown root/,
  },
  'a link': {
    spoil: () => {
      renameSync(policy(), `${policy()}.real`);
      symlinkSync(`${policy()}.real`, policy());
    },
    said: /it is a symbolic link[\s\S]*regular file of root's with mode 0644/,
  },
  'with a key that there is not': {
    spoil: () => {
      write(['"bridge": []']);
    },
    said: /bridge: unknown key[\s\S]*line 4 \(bridge\)[\s\S]*did you mean "bridges"/,
  },
  'not JSON': {
    spoil: () => {
      writeFileSync(policy(), '{ "bridges": [');
    },
    said: /JSON[\s\S]*qward policy check/,
  },
};

for (const [what, { spoil, said }] of Object.entries(spoiled)) {
  test(`a policy that is ${what} starts nothing, stops nothing, and doctor says it with the cure`, async () => {
    write();
    assert.equal((await qward('start', 'web')).status, 0);
    spoil();
    const doctor = await qward('doctor');
    assert.equal(doctor.status, 1);
    assert.match(/^missing +policy .*\n.*$/m.exec(doctor.stdout)?.[0] ?? doctor.stdout, said);
    assert.match((await qward('list')).stdout, /^web +running !/m);
    assert.equal((await qward('stop', 'web', '--timeout', '0s')).status, 0);
    const start = await qward('start', 'web');
    assert.equal(start.status, 4, start.stderr);
    unlinkSync(policy());
    write();
    assert.equal((await qward('start', 'web')).status, 0);
    assert.equal((await qward('kill', 'web')).status, 0);
  });
}

test('check tells faults with line and column without a manager, for any file and any user', async () => {
  const draft = `${instance.directory}/draft.json`;
  writeFileSync(draft, '{\n  "bridges": ["br0"],\n  "operat": "all",\n  "ceilings": { "memory": "x" }\n}\n');
  chmodSync(draft, 0o644);
  const nobody = { uid: 65_534, env: { QWARD_SOCKET: '/nonexistent', NODE_COMPILE_CACHE: '' } };
  const wrong = await instance.qward(['policy', 'check', draft], nobody);
  assert.equal(wrong.status, 1, wrong.stderr);
  assert.match(wrong.stderr, /draft\.json:3:3: operat: unknown key\n.*did you mean "operate"\?/);
  assert.match(wrong.stderr, /draft\.json:4:17: ceilings\.memory: /);
  writeFileSync(draft, readFileSync('resources/policies/several-users.json', 'utf8'));
  const fine = await instance.qward(['policy', 'check', draft], nobody);
  assert.equal(fine.status, 0, fine.stderr);
  assert.match(fine.stdout, /no faults/);
  assert.equal((await instance.qward(['policy', 'check', '/nonexistent/policy.json'], nobody)).status, 1);
});

test('a hook that the policy does not name is refused when it is defined and when it is started', async () => {
  const hook = '"hooks": [{ "name": "prepare", "path": "/usr/bin/true" }]';
  const file = `${instance.directory}/hooked.yaml`;
  const text = (name: string, start: string): string =>
    `name: ${name}\nmemory: 64MiB\naccel: tcg\nhooks: {start: ${start}}\n`;
  write();
  writeFileSync(file, text('hooked', 'prepare'));
  const early = await qward('define', file);
  assert.equal(early.status, 4, early.stdout);
  assert.match(early.stderr, /machine "hooked": hook "prepare" is not one that the policy lists/);
  assert.match(early.stderr, /default of .*policy\.json \(hooks\)/);
  write([hook]);
  writeFileSync(file, text('hooked', 'prepair'));
  const misspelt = await qward('define', file);
  assert.equal(misspelt.status, 4, misspelt.stdout);
  assert.match(misspelt.stderr, /did you mean "prepare"\?/);
  writeFileSync(file, text('hooked', 'prepare'));
  const defined = await qward('define', file);
  assert.equal(defined.status, 0, defined.stderr);
  assert.match(
    (await qward('explain', 'hooked')).stdout,
    /hook "prepare" of the policy runs before each start/,
  );
  const admitted = await qward('policy', 'explain', 'hooked');
  assert.match(admitted.stdout, /yes +hook \(start\) +\/usr\/bin\/true +line 4 \(hooks\[0\]\)/);
  write();
  const refused = await qward('start', 'hooked');
  assert.equal(refused.status, 4, refused.stdout);
  assert.match(refused.stderr, /hook "prepare" is not one that the policy lists/);
  const explained = await qward('policy', 'explain', 'hooked');
  assert.match(explained.stdout, /no +hook \(start\) +prepare .*\(hooks\)/);
  assert.equal((await qward('rm', 'hooked', '--yes')).status, 0);
  write(['"hooks": [{ "name": "gone", "path": "/usr/nowhere/hook" }]']);
  const checked = await qward('policy', 'check', policy());
  assert.match(checked.stdout + checked.stderr, /hooks\[0\].*\/usr\/nowhere is missing/s);
});
