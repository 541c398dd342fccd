/** How many lines run as root, file by file: the tables of docs/architecture.md, and the ratchet of test/style/bundles.test.ts. */
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { build } from 'esbuild';

const root = resolve(import.meta.dirname, '../..');

/**
 * Lines of the broker's code by file, the path beneath src: without types, comments and blank lines, in one form however the
 * sources are laid out, and without what the broker never reaches.
 */
export async function rootLines(): Promise<ReadonlyMap<string, number>> {
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: ['src/broker/main.ts'],
    bundle: true,
    platform: 'node',
    target: 'node26',
    format: 'esm',
    legalComments: 'none',
    // What a session's broker has of its own: main.ts loads it for --session alone, and then refuses root.
    external: ['./session/*'],
    write: false,
  });
  const lines = new Map<string, number>();
  let source: string | undefined;
  for (const line of (outputFiles[0]?.text ?? '').split('\n')) {
    const [, file] = /^\/\/ (\S+)$/.exec(line) ?? [];
    if (file !== undefined) source = /^src\/(\w+\/.*\.ts)$/.exec(file)?.[1];
    else if (source !== undefined && line.trim() !== '') lines.set(source, (lines.get(source) ?? 0) + 1);
  }
  return lines;
}

export const sumOf = (lines: Iterable<number>): number => [...lines].reduce((sum, count) => sum + count, 0);

const roundedUp = (count: number, step: number): number => Math.ceil(count / step) * step;

/** The first sentence of the comment at the head of a file. */
async function purposeOf(file: string): Promise<string> {
  const text = await readFile(join(root, 'src', file), 'utf8');
  const [, comment = ''] = /^(?:#!.*\n)?\/\*\*([\s\S]*?)\*\//.exec(text) ?? [];
  const said = comment
    .replaceAll(/ \(https:[^)]*\)/g, '')
    .replaceAll(/\s*\n \*\s?/g, ' ')
    .trim();
  const [sentence = said] = /^.*?[.;](?= |$)/.exec(said) ?? [];
  if (sentence === '') throw new Error(`src/${file} does not begin with a comment that says what it is for`);
  return sentence.replace(/[.;]$/, '').replaceAll('|', '\\|');
}

const shown = 10;
const [begin, end] = ['<!-- scripts/generate.ts writes what follows -->', '<!-- and no further -->'];

/** The page with its tables anew: sizes to the next ten, so that a line here or there changes no page. */
export async function withRootLines(page: string): Promise<string> {
  const [before, rest] = page.split(begin);
  const after = rest?.split(end)[1];
  if (before === undefined || after === undefined)
    throw new Error(`docs/architecture.md: "${begin}" and "${end}" expected`);
  const lines = await rootLines();
  const layers = [...new Set([...lines.keys()].map((file) => file.split('/')[0] ?? ''))].sort();
  const ofLayer = (layer: string): number =>
    sumOf([...lines].filter(([file]) => file.startsWith(`${layer}/`)).map(([, count]) => count));
  const sized = [...lines]
    .map(([file, count]) => [file, roundedUp(count, 10)] as const)
    .sort(([file, count], [other, others]) => others - count || (file < other ? -1 : 1));
  const rows = await Promise.all(
    sized.map(async ([file, count]) => `| \`${file}\` | ${count} | ${await purposeOf(file)} |`),
  );
  const head = '| file | lines | what it is for |\n|---|---|---|';
  const made = [
    '| layer | lines |\n|---|---|',
    ...layers.map((layer) => `| ${layer} | ${roundedUp(ofLayer(layer), 50)} |`),
    `| together | ${roundedUp(sumOf(lines.values()), 50)} |`,
    `\nIts files, to the next ten lines, each as it says of itself:\n\n${head}`,
    ...rows.slice(0, shown),
    `\n<details>\n<summary>The other ${rows.length - shown}</summary>\n\n${head}`,
    ...rows.slice(shown),
    '\n</details>\n',
  ];
  return `${before}${begin}\n\n${made.join('\n')}\n${end}${after}`;
}
