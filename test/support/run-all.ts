/**
 * Runs the stages of scripts/test one after the other, whatever becomes of each, and sums them up. Fails on a failed test,
 * on a skip that test/allowed-skips.json does not list, and on anything that is left on the machine.
 */
import { spawn } from 'node:child_process';
import { existsSync, globSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, join, relative } from 'node:path';
import { checkout } from './checkout.ts';
import { buildDemoGuest } from './demo-guest.ts';
import { leftovers, takeInventory } from './leftovers.ts';
import type { LedgerLine } from './ledger.ts';
import { sweepAbandoned } from './sweep.ts';

const testTimeoutMs = 300_000;
/** Machines boot under TCG: two files at a time keep two cores busy, more only make boots slower. */
const filesAtOnce = 2;
/** A stage that hangs is ended, so that the others run and the summary says which one it was. */
const stageDeadlineMs = 40 * 60_000;
/** Where more files than this fail, it is no accident of a machine that stood still. */
const mostFilesAgain = 5;
const mostLeftTold = 30;

interface Stage {
  readonly name: string;
  readonly argv: readonly string[];
  readonly ledger?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** The same with these of its files only, one at a time. */
  readonly again?: (files: readonly string[]) => Stage;
}

interface StageResult {
  readonly name: string;
  readonly ok: boolean;
  readonly seconds: number;
  readonly lines: readonly LedgerLine[];
  /** What failed, and passed when its file ran once more by itself. */
  readonly unsteady: readonly LedgerLine[];
}

/** Of lab/suites; `npm run lab -- --all` has the others. */
const labSuites = ['package', 'boot', 'sysvinit', 'openrc'];

const say = (line: string): void => void process.stdout.write(`${line}\n`);

const ledgerOf = (name: string): string => join(checkout, '.cache/test', `${name}.jsonl`);

function testStage(
  name: string,
  files: readonly string[],
  env: Stage['env'] = {},
  concurrency = filesAtOnce,
): Stage {
  const ledger = ledgerOf(name);
  const options = [
    `--test-timeout=${testTimeoutMs}`,
    `--test-concurrency=${concurrency}`,
    '--test-reporter=spec',
    '--test-reporter-destination=stdout',
    `--test-reporter=${join(import.meta.dirname, 'ledger.ts')}`,
    `--test-reporter-destination=${ledger}`,
  ];
  const node = [process.execPath, '--disable-warning=ExperimentalWarning', '--test'];
  const again = (failed: readonly string[]): Stage => testStage(`${name}-again`, failed, env, 1);
  return { name, argv: [...node, ...options, ...files], ledger, env, again };
}

function folderStage(folder: string, env: Stage['env'] = {}): Stage {
  const files = globSync(join(checkout, 'test', folder, '**/*.test.ts'))
    // Those of long duration are run by hand.
    .filter((path) => !path.endsWith('.long.test.ts'))
    .sort();
  return testStage(folder, files, env);
}

/** A host with systemd, crun, KVM and AppArmor, in a virtual machine: the part that is quick. */
function labStage(suites: readonly string[], name = 'lab'): Stage {
  const again = (files: readonly string[]): Stage =>
    labStage(
      files.map((file) => basename(file, '.test.ts')),
      'lab-again',
    );
  const ledger = ledgerOf(name);
  return { name, argv: [join(checkout, 'lab/run'), '--ledger', ledger, ...suites], ledger, again };
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
    folderStage('system', { QWARD_TEST_PROGRAMS: 'dist' }),
    labStage(labSuites),
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

function runOnce(stage: Stage): Promise<StageResult> {
  say(`\n=== ${stage.name}`);
  const started = performance.now();
  if (stage.ledger !== undefined) rmSync(stage.ledger, { force: true });
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
      const lines = readLedger(stage.ledger);
      resolve({ name: stage.name, ok: status === 0, seconds, lines, unsteady: [] });
    });
  });
}

/**
 * A file that failed runs once more, by itself: a machine that stands still for a minute fails what waits for a time, and
 * nothing else does twice (docs/decisions/0071). What passes then is told in the summary, so that it is looked at.
 */
async function runStage(stage: Stage): Promise<StageResult> {
  const first = await runOnce(stage);
  const failed = first.lines.filter(({ outcome }) => outcome === 'failed');
  const files = [...new Set(failed.map(({ file }) => file))];
  if (first.ok || stage.again === undefined || files.length === 0 || files.length > mostFilesAgain)
    return first;
  for (const directory of await sweepAbandoned()) say(`test: swept ${directory}, left by what failed`);
  const again = await runOnce(stage.again(files));
  const others = first.lines.filter(({ file }) => !files.includes(file));
  return {
    name: stage.name,
    ok: again.ok,
    seconds: first.seconds + again.seconds,
    lines: [...others, ...again.lines],
    unsteady: failed.filter(
      (line) => !again.lines.some(({ outcome, name }) => outcome === 'failed' && name === line.name),
    ),
  };
}

function unexpectedSkips(lines: readonly LedgerLine[]): LedgerLine[] {
  const list = JSON.parse(readFileSync(join(checkout, 'test/allowed-skips.json'), 'utf8')) as {
    skips: readonly { readonly test: string }[];
  };
  return lines.filter(
    ({ outcome, name }) => outcome === 'skipped' && !list.skips.some(({ test }) => test === name),
  );
}

const indented = (text: string): string => text.replaceAll(/^/gm, '    ');

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
  // The end of a log is what is looked at: why something failed stands there, and no thousand mounts.
  for (const line of left.slice(0, mostLeftTold)) say(`LEFT BEHIND ${line}`);
  if (left.length > mostLeftTold) say(`LEFT BEHIND ${left.length - mostLeftTold} more`);
  const unsteady = results.flatMap((result) => result.unsteady);
  for (const line of unsteady) say(`FAILED AT FIRST ${where(line)}\n${indented(line.reason)}`);
  for (const line of of('failed')) say(`failed ${where(line)}\n${indented(line.reason)}`);
  const failedStages = results.filter(({ ok }) => !ok).length;
  say(
    `${of('passed').length} passed, ${of('failed').length} failed, ${of('skipped').length} skipped, ` +
      `${unsteady.length} failed at first; ` +
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
