/** Commands on definitions, against a server that speaks the contract. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { cli } from '../support/cli.ts';
import { ok, refuse, startFakeManager, type Handlers } from '../support/fake-manager.ts';
import { machineSummary } from '../support/machine-samples.ts';

/** A directory with these files, gone with the scope. */
function withFiles(files: Readonly<Record<string, string>>): { readonly path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), 'qward-cli-'));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(path, name), text);
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

const wrong = refuse('definition-invalid', 'memry: unknown key', {
  line: 2,
  column: 1,
  hint: 'Did you mean memory?',
});
const nameOf = (source: string): string => /^name: (\S+)/.exec(source)?.[1] ?? '';
const handlers: Handlers = {
  define: ({ source }) =>
    source.includes('memry') ? wrong : ok({ name: nameOf(source), outcome: 'defined', notes: ['a note'] }),
  list: () => ok([machineSummary('old'), machineSummary('web')]),
  remove: ({ name, disks }) =>
    ok({
      name,
      outcome: 'removed',
      removedDisks: disks ? ['/images/a.qcow2'] : [],
      keptDisks: disks ? [] : ['/images/a.qcow2'],
    }),
  definition: ({ name, full }) =>
    ok({ name, source: full ? 'name: web\nmemory: 1GiB\n' : 'name: web\n', revision: 'r1' }),
  edit: ({ name, source }) =>
    source.includes('memry') ? wrong : ok({ name, outcome: 'changed', notes: [] }),
  set: ({ name, changes }) => ok({ name, applied: [], atNextStart: changes.map(({ key }) => key) }),
  clone: ({ to }) => ok({ name: to, state: 'stopped', outcome: 'cloned' }),
  rename: ({ to }) => ok({ name: to, state: 'stopped', outcome: 'renamed' }),
};

test('define takes a file or standard input', async () => {
  using files = withFiles({ 'web.yaml': 'name: web\n' });
  await using manager = await startFakeManager({ handlers });
  const fromFile = await cli(['define', join(files.path, 'web.yaml')], manager);
  assert.deepEqual([fromFile.status, fromFile.out], [0, 'web: defined\n  a note\n']);
  const fromInput = await cli(['define', '-', '--replace'], { ...manager, input: 'name: db\n' });
  assert.equal(fromInput.out, 'db: defined\n  a note\n');
  assert.deepEqual(manager.calls.at(-1)?.input, { source: 'name: db\n', replace: true, dryRun: false });
});

test('a wrong definition is shown with file, line, column and the line itself', async () => {
  using files = withFiles({ 'web.yaml': 'name: web\nmemry: 1GiB\n' });
  await using manager = await startFakeManager({ handlers });
  const path = join(files.path, 'web.yaml');
  const { status, err } = await cli(['define', path], manager);
  assert.equal(status, 2);
  assert.equal(err, `${path}:2:1: memry: unknown key\n  2 | memry: 1GiB\n    | ^\n  Did you mean memory?\n`);
});

test('a file that is not there is status 1 and nothing is sent', async () => {
  await using manager = await startFakeManager({ handlers });
  const { status, err } = await cli(['define', '/nonexistent.yaml'], manager);
  assert.equal(status, 1);
  assert.match(err, /nonexistent\.yaml cannot be read: no such file/);
  assert.deepEqual(manager.calls, []);
});

test('apply with a fault in one file shows all faults and defines nothing', async () => {
  using files = withFiles({
    'a.yaml': 'name: a\nmemry: 1\n',
    'b.yaml': 'name: b\n',
    'c.yml': 'name: c\nmemry: 1\n',
    'notes.txt': 'not a definition',
  });
  await using manager = await startFakeManager({ handlers });
  const { status, err } = await cli(['apply', files.path], manager);
  assert.equal(status, 2);
  assert.match(err, /a\.yaml:2:1/);
  assert.match(err, /c\.yml:2:1/);
  assert.equal(manager.calls.length, 3);
  assert.ok(manager.calls.every(({ input }) => input['dryRun'] === true));
});

test('apply refuses two files that define one machine', async () => {
  using files = withFiles({ 'a.yaml': 'name: web\n', 'b.yaml': 'name: web\n' });
  await using manager = await startFakeManager({ handlers });
  const { status, err } = await cli(['apply', files.path], manager);
  assert.equal(status, 2);
  assert.match(err, /b\.yaml: defines "web", which .*a\.yaml defines too/);
  assert.ok(manager.calls.every(({ input }) => input['dryRun'] === true));
});

test('apply defines, and with --prune removes what has no file', async () => {
  using files = withFiles({ 'web.yaml': 'name: web\n' });
  await using manager = await startFakeManager({ handlers });
  const dry = await cli(['apply', '--dry-run', '--prune', files.path], manager);
  assert.equal(dry.out, 'web: would be defined\n  a note\nold: would be removed\n');
  assert.ok(manager.calls.every(({ name, input }) => name === 'list' || input['dryRun'] === true));
  assert.equal((await cli(['apply', '--prune', files.path], manager)).status, 2);
  const real = await cli(['apply', '--prune', '--yes', files.path], manager);
  assert.equal(real.out, 'web: defined\n  a note\nold: removed\n');
  assert.deepEqual(manager.calls.at(-1), {
    name: 'remove',
    input: { name: 'old', disks: false, force: false },
  });
});

test('rm keeps disks and says where they are; --disks asks', async () => {
  await using manager = await startFakeManager({ handlers });
  assert.equal((await cli(['rm', 'web'], manager)).out, 'web: removed\n  kept /images/a.qcow2\n');
  assert.equal((await cli(['rm', '--disks', 'web'], manager)).status, 2);
  assert.equal(
    (await cli(['rm', '--disks', '-y', 'web'], manager)).out,
    'web: removed\n  removed /images/a.qcow2\n',
  );
});

test('show prints the definition as it was written, or in full', async () => {
  await using manager = await startFakeManager({ handlers });
  assert.equal((await cli(['show', 'web'], manager)).out, 'name: web\n');
  assert.equal((await cli(['show', '--full', 'web'], manager)).out, 'name: web\nmemory: 1GiB\n');
});

test('set sends keys and values, and says when they apply', async () => {
  await using manager = await startFakeManager({ handlers });
  const { out } = await cli(['set', 'web', 'memory=4GiB', 'boot.cmdline=a=b', '--unset', 'tags'], manager);
  assert.match(out, /memory: applies at the next start/);
  assert.deepEqual(manager.calls[0]?.input['changes'], [
    { key: 'tags', value: null },
    { key: 'memory', value: '4GiB' },
    { key: 'boot.cmdline', value: 'a=b' },
  ]);
  assert.equal((await cli(['set', 'web', 'memory'], manager)).status, 2);
});

test('clone and rename', async () => {
  await using manager = await startFakeManager({ handlers });
  assert.equal((await cli(['clone', 'web', 'web2', '-d', 'root=/images/b'], manager)).out, 'web2: cloned\n');
  assert.deepEqual(manager.calls[0]?.input['disks'], { root: '/images/b' });
  assert.equal((await cli(['rename', 'web', 'web3'], manager)).out, 'web3: renamed\n');
});

test('edit sends what the editor wrote, guarded by the revision', async () => {
  using files = withFiles({});
  await using manager = await startFakeManager({ handlers });
  const env = { EDITOR: 'echo "# mine" >>', XDG_RUNTIME_DIR: files.path };
  const { status, out } = await cli(['edit', 'web'], { ...manager, env });
  assert.deepEqual([status, out], [0, 'web: changed\n']);
  assert.deepEqual(manager.calls.at(-1)?.input, {
    name: 'web',
    source: 'name: web\n# mine\n',
    revision: 'r1',
  });
});

test('edit of nothing changes nothing', async () => {
  using files = withFiles({});
  await using manager = await startFakeManager({ handlers });
  const { out } = await cli(['edit', 'web'], {
    ...manager,
    env: { EDITOR: 'true', XDG_RUNTIME_DIR: files.path },
  });
  assert.equal(out, 'web: unchanged\n');
  assert.deepEqual(
    manager.calls.map(({ name, input }) => [name, input['source']]),
    [
      ['definition', undefined],
      ['edit', 'name: web\n'],
    ],
    'what is there is sent, to learn whether it may be changed',
  );
});

test('edit opens no editor for those who may not change the machine', async () => {
  using files = withFiles({});
  const refused = refuse('not-allowed', 'you may not change "web"');
  await using manager = await startFakeManager({ handlers: { ...handlers, edit: () => refused } });
  const opened = join(files.path, 'opened');
  const env = { EDITOR: `touch ${opened};`, XDG_RUNTIME_DIR: files.path };
  const { status, err } = await cli(['edit', 'web'], { ...manager, env });
  assert.equal(status, 4);
  assert.match(err, /you may not change "web"/);
  assert.equal(existsSync(opened), false);
});

test('policy show of a policy with faults shows them and fails', async () => {
  const fault = {
    code: 'policy-refused',
    message: 'bridgs: unknown key',
    hint: 'did you mean "bridges"?',
    rule: null,
    ruleAt: null,
  };
  const policy: Handlers['policy'] = () =>
    ok({ path: '/etc/qward/policy.json', ok: false, faults: [fault], rows: [] });
  await using manager = await startFakeManager({ handlers: { ...handlers, policy } });
  const { status, out } = await cli(['policy', 'show'], manager);
  assert.equal(status, 1);
  assert.match(out, /bridgs: unknown key[^]*has faults/);
  assert.equal((await cli(['policy', 'show', '--json'], manager)).status, 1);
});

/** The first time it breaks the definition; the second time it does `second` to what it is shown, of which it keeps a copy. */
const editorScript = (directory: string, second: string): string => `#!/bin/sh
if [ -e ${directory}/twice ]; then cp "$1" ${directory}/shown; ${second}; else
touch ${directory}/twice; echo 'memry: 1' >> "$1"; fi
`;

test('edit opens a wrong definition again with its faults as comments, which are taken out again', async () => {
  using files = withFiles({});
  const editor = join(files.path, 'editor');
  writeFileSync(editor, editorScript(files.path, `sed -i s/memry/memory/ "$1"`), { mode: 0o755 });
  await using manager = await startFakeManager({ handlers });
  const env = { EDITOR: editor, XDG_RUNTIME_DIR: files.path };
  const { status, out } = await cli(['edit', 'web'], { ...manager, env });
  assert.deepEqual([status, out], [0, 'web: changed\n']);
  assert.match(
    readFileSync(join(files.path, 'shown'), 'utf8'),
    /#! line 2, column 1: memry: unknown key\n#! {3}Did you mean memory\?\nname: web\n/,
  );
  assert.equal(manager.calls.at(-1)?.input['source'], 'name: web\nmemory: 1\n');
});

test('edit that is given up keeps what was written', async () => {
  using files = withFiles({});
  const editor = join(files.path, 'editor');
  writeFileSync(editor, editorScript(files.path, 'true'), { mode: 0o755 });
  await using manager = await startFakeManager({ handlers });
  const env = { EDITOR: editor, XDG_RUNTIME_DIR: files.path };
  const { status, err } = await cli(['edit', 'web'], { ...manager, env });
  assert.equal(status, 2);
  const kept = /What you wrote is in (\S+)/.exec(err)?.[1] ?? '';
  assert.match(readFileSync(kept, 'utf8'), /memry: 1/);
});

test('edit does not overwrite what another changed, and keeps what was written', async () => {
  using files = withFiles({});
  const changed = refuse('definition-changed', '"web" was changed meanwhile');
  await using manager = await startFakeManager({ handlers: { ...handlers, edit: () => changed } });
  const env = { EDITOR: 'echo "# mine" >>', XDG_RUNTIME_DIR: files.path };
  const { status, err } = await cli(['edit', 'web'], { ...manager, env });
  assert.equal(status, 1);
  const kept = /What you wrote is in (\S+)/.exec(err)?.[1] ?? '';
  assert.equal(readFileSync(kept, 'utf8'), 'name: web\n# mine\n');
});
