/**
 * Runs the stages of scripts/test one after the other, whatever becomes of each, and sums them up. Fails on a failed test,
 * on a skip that test/allowed-skips.json does not list, and on anything that is left on the machine.
 */
import { spawn } from 'node:child_process';
import { existsSync, globSync, mkdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { checkout } from './checkout.ts';
import { buildDemoGuest } from './demo-guest.ts';
import { leftovers, takeInventory } from './leftovers.ts';
import type { LedgerLine } from './ledger.ts';
import { sweepAbandoned } from './sweep.ts';

const testTimeoutMs = 180_000;
/** Machines boot under TCG: two files at a time keep two cores busy, more only make boots slower. */
const filesAtOnce = 2;
/** A stage that hangs is ended, so that the others run and the summary says which one it was. */
const stageDeadlineMs = 40 * 60_000;

interface Stage {
  readonly name: string;
  readonly argv: readonly string[];
  readonly ledger?: string;
  readonly env?: Readonly<Record<string, string>>;
}

interface StageResult {
  readonly name: string;
  readonly ok: boolean;
  readonly seconds: number;
  readonly lines: readonly LedgerLine[];
}

/** Of lab/suites; `npm run lab -- --all` has the others. */
const labSuites = ['package', 'boot', 'sysvinit', 'openrc'];

const say = (line: string): void => void process.stdout.write(`${line}\n`);

function testStage(name: string, files: readonly string[]): Stage {
  const ledger = join(checkout, '.cache/test', `${name}.jsonl`);
  const options = [
    `--test-timeout=${testTimeoutMs}`,
    `--test-concurrency=${filesAtOnce}`,
    '--test-reporter=spec',
    '--test-reporter-destination=stdout',
    `--test-reporter=${join(import.meta.dirname, 'ledger.ts')}`,
    `--test-reporter-destination=${ledger}`,
  ];
  const node = [process.execPath, '--disable-warning=ExperimentalWarning', '--test'];
  return { name, argv: [...node, ...options, ...files], ledger };
}

function folderStage(folder: string): Stage {
  return testStage(
    folder,
    globSync(join(checkout, 'test', folder, '**/*.test.ts'))
      // Those of long duration are run by hand.
      .filter((path) => !path.endsWith('.long.test.ts'))
      .sort(),
  );
}

function stagesFor(wanted: readonly string[]): Stage[] {
  const files = wanted.filter((word) => word.endsWith('.ts'));
  if (files.length > 0) return [testStage('chosen', files)];
  const check: Stage = { name: 'check', argv: [join(checkout, 'scripts/check')] };
  const build: Stage = { name: 'build', argv: [process.execPath, join(checkout, 'scripts/build.ts')] };
  const all = [
    check,
    build,
    folderStage('integration'),
    folderStage('security'),
    // What is shipped is what these run: the bundles, and the compiled CLI.
    { ...folderStage('system'), env: { QWARD_TEST_PROGRAMS: 'dist' } },
    // A host with systemd, crun, KVM and AppArmor, in a virtual machine: the part that is quick.
    { name: 'lab', argv: [join(checkout, 'lab/run'), ...labSuites] },
  ];
  const unknown = wanted.filter((word) => !all.some((stage) => stage.name === word));
  if (unknown.length > 0)
    throw new Error(
      `${unknown.join(', ')}: a test file or a stage (${all.map(({ name }) => name).join(', ')}) expected`,
    );
  return wanted.length === 0 ? all : all.filter((stage) => wanted.includes(stage.name));
}

function readLedger(path: string | undefined): LedgerLine[] {
  if (path === undefined || !existsSync(path)) return [];
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as LedgerLine);
}

function runStage(stage: Stage): Promise<StageResult> {
  say(`\n=== ${stage.name}`);
  const started = performance.now();
  const [program = '', ...args] = stage.argv;
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      stdio: ['ignore', 'inherit', 'inherit'],
      cwd: checkout,
      env: { ...process.env, ...stage.env },
    });
    const deadline = setTimeout(() => {
      say(`test: ${stage.name} did not end within ${stageDeadlineMs / 60_000} minutes`);
      child.kill('SIGTERM');
    }, stageDeadlineMs);
    child.once('error', reject);
    child.once('close', (status) => {
      clearTimeout(deadline);
      const seconds = (performance.now() - started) / 1000;
      resolve({ name: stage.name, ok: status === 0, seconds, lines: readLedger(stage.ledger) });
    });
  });
}

function unexpectedSkips(lines: readonly LedgerLine[]): LedgerLine[] {
  const list = JSON.parse(readFileSync(join(checkout, 'test/allowed-skips.json'), 'utf8')) as {
    skips: readonly { readonly test: string }[];
  };
  return lines.filter(
    ({ outcome, name }) => outcome === 'skipped' && !list.skips.some(({ test }) => test === name),
  );
}

function summarise(results: readonly StageResult[], left: readonly string[]): boolean {
  const lines = results.flatMap((result) => result.lines);
  const of = (outcome: LedgerLine['outcome']): LedgerLine[] =>
    lines.filter((line) => line.outcome === outcome);
  const where = (line: LedgerLine): string => `${relative(checkout, line.file)}: ${line.name}`;
  const forbidden = unexpectedSkips(lines);
  say('\n=== summary');
  for (const { name, ok, seconds } of results)
    say(`${ok ? 'ok    ' : 'FAILED'} ${name.padEnd(12)} ${seconds.toFixed(1)} s`);
  for (const line of of('skipped')) say(`skipped ${where(line)}: ${line.reason}`);
  for (const line of forbidden) say(`NOT ALLOWED TO SKIP (test/allowed-skips.json): ${where(line)}`);
  for (const line of of('failed')) say(`failed ${where(line)}`);
  for (const line of left) say(`LEFT BEHIND ${line}`);
  const failedStages = results.filter(({ ok }) => !ok).length;
  say(
    `${of('passed').length} passed, ${of('failed').length} failed, ${of('skipped').length} skipped; ` +
      `${results.length - failedStages} of ${results.length} stages ok; ${left.length} things left behind`,
  );
  return failedStages === 0 && forbidden.length === 0 && left.length === 0;
}

async function main(): Promise<void> {
  const stages = stagesFor(process.argv.slice(2));
  mkdirSync(join(checkout, '.cache/test'), { recursive: true });
  for (const directory of await sweepAbandoned()) say(`test: swept ${directory}, left by an earlier run`);
  if (stages.some(({ name }) => name !== 'check'))
    buildDemoGuest({ progress: (line) => say(`test: ${line}`) });
  const before = takeInventory();
  // Ctrl-C reaches the stage too; the summary still says what it left.
  process.on('SIGINT', () => {});
  const results: StageResult[] = [];
  for (const stage of stages) results.push(await runStage(stage));
  process.exitCode = summarise(results, leftovers(before)) ? 0 : 1;
}

await main();
