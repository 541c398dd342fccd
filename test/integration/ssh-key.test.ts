/** Host keys that `qward create` makes, as OpenSSH reads them. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeSshKey } from '../../src/cli/create/ssh-key.ts';

test('ssh-keygen reads the host key, and gives the public key that we gave', () => {
  const directory = mkdtempSync(join(tmpdir(), 'qward-key-'));
  try {
    for (const name of ['a', 'ab', 'abc', 'x'.repeat(63)]) {
      const { privateKey, publicKey } = makeSshKey(name);
      const path = join(directory, name);
      writeFileSync(path, privateKey, { mode: 0o600 });
      const read = execFileSync('ssh-keygen', ['-y', '-f', path], { encoding: 'utf8' });
      assert.equal(read.trim(), `${publicKey} ${name}`);
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
});
