/**
 * How much of a directory of libvirt XML files can be imported: `node scripts/measure-import.ts [--top N] PATH…`. Prints the
 * share without loss, what is left out most often, and every crash or definition that is none. Exits with 1 if there is one.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { definitionKeys } from '../src/definition/definition-keys.ts';
import { parseDefinition } from '../src/definition/parse.ts';
import { importDomains, type DomainImport } from '../src/import/libvirt/import-domain.ts';
import { nodesOf } from '../src/import/xml/xml-node.ts';

const { values, positionals } = parseArgs({
  options: {
    top: { type: 'string', default: '25' },
    changed: { type: 'boolean', default: false },
    files: { type: 'string' },
  },
  allowPositionals: true,
});

function filesBelow(path: string): string[] {
  if (!statSync(path).isDirectory()) return [path];
  return readdirSync(path, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.xml'))
    .sort()
    .map((file) => join(path, file));
}

const keys = definitionKeys();
const counts = { domains: 0, refused: 0, exact: 0, lossless: 0, nodes: 0, lost: 0 };
const reasons = new Map<string, string[]>();
const broken: string[] = [];
let slowestMs = 0;

function say(reason: string, file: string): void {
  const words = reason.replaceAll(/"[^"]*"/g, '"…"');
  reasons.set(words, [...(reasons.get(words) ?? []), file]);
}

function count(file: string, result: DomainImport): void {
  if (!result.ok) {
    counts.refused += 1;
    say(`refused: ${result.faults[0]?.message ?? ''}`, file);
    return;
  }
  const { account, judgements, source, root } = result;
  const parsed = parseDefinition(source);
  if (!parsed.ok) broken.push(`${file}: no definition: ${parsed.faults[0]?.message ?? ''}`);
  const there = [...nodesOf(root)].length;
  const said = account.imported + account.changed + account.unsupported;
  if (judgements.size !== there || said < there)
    broken.push(`${file}: ${judgements.size} of ${there} pieces are accounted for`);
  counts.domains += 1;
  counts.nodes += there;
  counts.lost += account.unsupported;
  if (account.unsupported === 0) counts.lossless += 1;
  if (account.unsupported === 0 && account.changed === 0) counts.exact += 1;
  for (const { kind, subject, message } of account.notes)
    if ((kind === 'changed') === values.changed)
      say(`${subject.replaceAll(/(disk) \S+?(?=\/|@|$)/g, '$1')}: ${message}`, file);
}

for (const file of positionals.flatMap(filesBelow)) {
  const xml = readFileSync(file, 'utf8');
  if (!/<domain[\s>]/.test(xml)) continue;
  const started = performance.now();
  try {
    const results = importDomains(xml, { keys });
    slowestMs = Math.max(slowestMs, performance.now() - started);
    for (const result of results) count(file, result);
  } catch (error) {
    broken.push(`${file}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  }
}

const share = (part: number, all: number): string => `${((100 * part) / Math.max(all, 1)).toFixed(1)} %`;
console.log(
  `${counts.domains} domains imported, ${counts.refused} documents refused; the slowest took ${slowestMs.toFixed(0)} ms`,
);
console.log(
  `without loss: ${counts.lossless} (${share(counts.lossless, counts.domains)}), of them exactly: ${counts.exact}`,
);
console.log(`pieces: ${counts.nodes}, left out: ${counts.lost} (${share(counts.lost, counts.nodes)})`);
const rows = [...reasons].sort((a, b) => b[1].length - a[1].length).slice(0, Number(values.top));
for (const [reason, files] of rows) {
  console.log(`${String(files.length).padStart(5)}  ${reason}`);
  if (values.files !== undefined && reason.includes(values.files))
    for (const file of files) console.log(`         ${file}`);
}
for (const line of broken) console.log(`BROKEN ${line}`);
process.exitCode = broken.length > 0 ? 1 : 0;
