import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { archive } from './tar.ts';

const directory = mkdtempSync(join(tmpdir(), 'qward-tar-'));
after(() => rmSync(directory, { recursive: true, force: true }));

test('tar unpacks it: names of every length and script, modes, links, empty and large files', async () => {
  const from = join(directory, 'from');
  const long = 'deep/'.repeat(30);
  mkdirSync(join(from, long), { recursive: true });
  const files: Readonly<Record<string, string>> = {
    [`${long}${'n'.repeat(120)}`]: 'long',
    'grüße\n日本': 'unicode',
    empty: '',
    block: 'x'.repeat(512),
    large: 'y'.repeat(300_001),
  };
  for (const [name, content] of Object.entries(files)) writeFileSync(join(from, name), content);
  chmodSync(join(from, 'block'), 0o4750);
  symlinkSync('t'.repeat(150), join(from, 'long-link'));
  symlinkSync('block', join(from, 'link'));
  const parts: Buffer[] = [];
  for await (const part of archive(from)) parts.push(part);
  const to = join(directory, 'to');
  mkdirSync(to);
  execFileSync('tar', ['-x', '-f', '-', '-C', to], { input: Buffer.concat(parts) });
  execFileSync('diff', ['--no-dereference', '-r', from, to]);
  const listed = execFileSync('find', [to, '-name', 'block', '-printf', '%m %l'], { encoding: 'utf8' });
  assert.equal(listed, '750 ', 'no bit of it gives anybody more rights');
});
