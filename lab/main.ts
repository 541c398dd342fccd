/** `npm run lab`: makes the image where it is missing, then runs the suites in lab/suites one after the other. */
import { spawn } from 'node:child_process';
import { globSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { LabHost } from './host.ts';
import { labImage } from './image.ts';

const say = (line: string): void => void process.stdout.write(`lab: ${line}\n`);

/** Suites that take more than two minutes say so by their name. */
const suites = globSync(join(import.meta.dirname, 'suites/*.test.ts')).sort();
const isLong = (file: string): boolean => file.endsWith('.long.test.ts');
const nameOf = (file: string): string => basename(file).replace(/(\.long)?\.test\.ts$/, '');

function chosen(words: readonly string[], all: boolean): string[] {
  const unknown = words.filter((word) => !suites.some((file) => nameOf(file) === word));
  if (unknown.length > 0)
    throw new Error(`${unknown.join(', ')}: one of ${suites.map(nameOf).join(', ')} expected`);
  if (words.length > 0) return suites.filter((file) => words.includes(nameOf(file)));
  return all ? suites : suites.filter((file) => !isLong(file));
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      all: { type: 'boolean', default: false },
      shell: { type: 'string' },
      ledger: { type: 'string' },
    },
  });
  if (process.getuid?.() !== 0) throw new Error('must be started as root: debootstrap makes device nodes');
  const files = chosen(positionals, values.all);
  if (values.shell !== undefined) {
    await using host = LabHost.create(await labImage(say));
    await host.boot();
    const { status, output } = await host.run(values.shell);
    process.stdout.write(output);
    process.exitCode = status;
    return;
  }
  const reporter = join(import.meta.dirname, '../test/support/ledger.ts');
  const ledger =
    values.ledger === undefined
      ? []
      : ['spec', 'stdout', reporter, values.ledger].map(
          (value, at) => `--test-reporter${at % 2 === 0 ? '' : '-destination'}=${value}`,
        );
  const options = [
    '--disable-warning=ExperimentalWarning',
    '--test',
    '--test-concurrency=1',
    '--test-timeout=1200000',
    ...ledger,
  ];
  const child = spawn(process.execPath, [...options, ...files], { stdio: 'inherit' });
  process.exitCode = await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status) => resolve(status ?? 1));
  });
}

await main();
