/** The Debian package: what is in it, and that lintian says nothing beyond what packaging/debian explains. Installed it is in the lab. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { makePackage } from '../../scripts/package.ts';
import { checkout } from '../support/checkout.ts';

const directory = mkdtempSync(join(tmpdir(), 'qward-package-test-'));
let deb = '';
before(async () => {
  deb = await makePackage(directory, { plain: true });
});
after(() => rmSync(directory, { recursive: true, force: true }));

const run = (program: string, ...argv: readonly string[]): string =>
  execFileSync(program, argv, { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 });

test('lintian has nothing to say beyond the overrides, and every override is needed', () => {
  // Uncompressed for the test alone.
  const plain = 'uses-no-compression-for-control-tarball,uses-no-compression-for-data-tarball';
  const argv = [
    '--no-cfg',
    '--allow-root',
    '--tag-display-limit',
    '0',
    '--display-info',
    '--suppress-tags',
    plain,
  ];
  const { status, stdout, stderr } = spawnSync('lintian', [...argv, deb], {
    encoding: 'utf8',
    timeout: 600_000,
  });
  const tags = stdout.split('\n').filter((line) => /^[A-Z]: /.test(line) && !line.startsWith('N: '));
  assert.deepEqual(tags, [], stderr);
  assert.equal(status, 0, stderr);
});

test('each override has its reason above it, and the decision record exists', () => {
  const text = readFileSync(join(checkout, 'packaging/debian/qward.lintian-overrides'), 'utf8');
  readFileSync(join(checkout, /docs\/decisions\/[\w-]+\.md/.exec(text)?.[0] ?? 'no record is named'));
  const groups = text.trim().split('\n\n').slice(1);
  assert.ok(groups.length > 3);
  for (const group of groups) assert.match(group, /^# .+\n(?:# .+\n)*(?:qward: .+\n?)+$/);
});

test('every unit, manual page, profile and completion of the checkout is in it, owned by root', () => {
  const listing = run('dpkg-deb', '--contents', deb);
  assert.deepEqual(
    listing.split('\n').filter((line) => line !== '' && !/^\S{10} root\/root /.test(line)),
    [],
  );
  assert.deepEqual(
    listing.split('\n').filter((line) => /^[^l].......w.|^[^l]...s|^[^l]......s/.test(line)),
    [],
    'nothing is writable by all, set-uid or set-gid',
  );
  const packaged = (folder: string): string[] =>
    run('ls', join(checkout, 'packaging', folder))
      .trim()
      .split('\n');
  for (const name of packaged('man')) assert.ok(listing.includes(`/man${name.at(-1)}/${name}.gz\n`), name);
  for (const name of packaged('systemd').filter((unit) => !unit.endsWith('.conf')))
    assert.ok(listing.includes(`./usr/lib/systemd/system/${name}\n`), name);
  for (const path of ['etc/apparmor.d/qward', 'usr/share/qward/policy.json', 'usr/lib/qward/node'])
    assert.ok(listing.includes(`./${path}\n`), path);
  for (const path of [
    'bash-completion/completions/qward',
    'zsh/vendor-completions/_qward',
    'fish/vendor_completions.d/qward.fish',
  ])
    assert.ok(listing.includes(`./usr/share/${path}\n`), path);
  assert.ok(!listing.includes('./etc/qward/policy.json'), 'the policy is made by postinst');
  for (const whose of ['system', 'user'])
    assert.ok(listing.includes(`./usr/lib/systemd/${whose}/qward-.scope.d/50-qward.conf\n`), whose);
  assert.ok(listing.includes('./etc/qward/instances.json\n'));
  for (const name of packaged('systemd-user').filter((unit) => !unit.endsWith('.conf')))
    assert.ok(listing.includes(`./usr/lib/systemd/user/${name}\n`), name);
});

test('its scripts are whole, and its sums are those of what is outside of /etc', () => {
  const fields = run('dpkg-deb', '--field', deb);
  assert.match(fields, /^Version: \d+\.\d+\.\d+-1$/m);
  assert.match(fields, /^Depends: .*crun \| runc/m);
  const extracted = join(directory, 'control');
  run('dpkg-deb', '--control', deb, extracted);
  for (const script of ['config', 'postinst', 'prerm', 'postrm']) {
    const text = readFileSync(join(extracted, script), 'utf8');
    assert.doesNotMatch(text, /^ *#[A-Z]+#$|#(?:USER_)?UNITS#/m, script);
    run('sh', '-n', join(extracted, script));
  }
  const sums = readFileSync(join(extracted, 'md5sums'), 'utf8').trim().split('\n');
  assert.ok(sums.length > 20);
  for (const line of sums) assert.match(line, /^[0-9a-f]{32} {2}usr\/\S+$/);
});
