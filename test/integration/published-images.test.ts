/** For promise 7: an image that has its name is on disk, and so is the name, before anybody is told. strace(1) sees the calls. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { partPath } from '../../src/protocol/disk-job.ts';

/** What a program did to names and what of it was synced, in order, without the directory. */
function traced(directory: string, program: string): readonly string[] {
  const trace = join(directory, 'trace');
  const calls = 'trace=fsync,fdatasync,link,linkat,unlink,unlinkat,rename,renameat,renameat2,mkdir,mkdirat';
  const words = ['--disable-warning=ExperimentalWarning', '--input-type=module', '--eval', program];
  execFileSync('strace', ['-f', '-y', '-q', '-e', calls, '-o', trace, process.execPath, ...words]);
  return readFileSync(trace, 'utf8')
    .split('\n')
    .flatMap((line) => {
      const [, name = '', rest = ''] = /^\d+ +(\w+)\((.*)/.exec(line) ?? [];
      return rest.includes(directory)
        ? [`${name.replace(/at2?$/, '')} ${rest}`.replaceAll(directory, '')]
        : [];
    })
    .map((line) => line.replaceAll(/AT_FDCWD(?:<[^>]*>)?, |\d+(?=<)|, 0[0-7]*\b|\).*$/g, ''));
}

const source = (path: string): string => JSON.stringify(new URL(`../../src/${path}`, import.meta.url).href);

test('an image that a user makes', () => {
  const directory = mkdtempSync(join(tmpdir(), 'qward-published-'));
  try {
    const job = 'qward-disk-abcdefghijkl';
    const path = join(directory, 'backup.qcow2');
    const part = partPath(path, job);
    writeFileSync(part, 'an image');
    const made = traced(
      directory,
      `const { localTargetFiles } = await import(${source('api/target-files.ts')});
       const fault = await localTargetFiles.publish(${JSON.stringify(path)}, ${JSON.stringify(job)});
       if (fault !== null) throw new Error(fault.message);`,
    );
    const name = part.slice(directory.length);
    assert.deepEqual(made, [
      `fsync <${name}>`,
      `link "${name}", "/backup.qcow2"`,
      `unlink "${name}"`,
      'fsync <>',
    ]);
    assert.deepEqual(readdirSync(directory).toSorted(), ['backup.qcow2', 'trace']);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('what the manager keeps of the first backup, with the directory that is made for it', () => {
  const directory = mkdtempSync(join(tmpdir(), 'qward-published-'));
  try {
    const backup = { id: 'a', at: '2026-01-01T00:00:00.000Z', by: 'me', frozen: false, disks: [] };
    const made = traced(
      directory,
      `const { BackupRegister } = await import(${source('manager/blocks/backup-register.ts')});
       const kept = await new BackupRegister(${JSON.stringify(directory)}).add('web', ${JSON.stringify(backup)});
       if (!kept.ok) throw new Error(JSON.stringify(kept));`,
    );
    assert.deepEqual(made, [
      'mkdir "/backups"',
      'fsync <>',
      'fsync </backups/web.json.new>',
      'rename "/backups/web.json.new", "/backups/web.json"',
      'fsync </backups>',
    ]);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
