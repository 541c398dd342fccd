/** How many lines run as root, file by file: the tables of docs/architecture.md, and the ratchet of test/style/bundles.test.ts. */
import { globSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { build, transform } from 'esbuild';

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

/** What root runs of the package beside the broker: its own hand starts it, or the host's init does. */
const besides: readonly (readonly [pattern: string, when: string])[] = [
  ['src/host/*.ts', 'by `qward host` and `doctor`, as who calls them: root where daemons are begun or ended'],
  ['src/cli/commands/host*.ts', '`qward host up`, `down`, `start-machines`, `stop-machines`'],
  ['packaging/systemd/qward-machines.service', 'with the host: `qward host start-machines`, `stop-machines`'],
  ['packaging/sysvinit/qward', 'with the host, where sysvinit is the init'],
  ['packaging/openrc/qward', 'with the host, where OpenRC is the init'],
  ['packaging/debian/config', "dpkg's: what is asked before the package is there"],
  ['packaging/debian/postinst', "dpkg's: after it is there"],
  ['packaging/debian/prerm', "dpkg's: before it goes"],
  ['packaging/debian/postrm', "dpkg's: after it went"],
  ['packaging/debian/names.sh', 'a part of those four'],
];

/** Lines that say something to whoever runs them. */
async function linesIn(file: string): Promise<number> {
  const text = await readFile(join(root, file), 'utf8');
  const code = file.endsWith('.ts') ? (await transform(text, { loader: 'ts', target: 'node26' })).code : text;
  return code.split('\n').filter((line) => /^\s*[^\s#/*]/.test(line)).length;
}

async function besidesTheBroker(): Promise<string> {
  const rows = await Promise.all(
    besides.map(async ([pattern, when]) => {
      const files = globSync(pattern, { cwd: root }).filter((file) => !file.endsWith('.test.ts'));
      if (files.length === 0) throw new Error(`${pattern}: nothing is there`);
      const lines = sumOf(await Promise.all(files.map(linesIn)));
      return `| \`${pattern}\` | ${roundedUp(lines, 10)} | ${when} |`;
    }),
  );
  return `| files | lines | when root runs them |\n|---|---|---|\n${rows.join('\n')}`;
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
    'Beside the broker root runs, for moments, what begins and ends it and what dpkg calls; none of it hears requests:\n',
    `${await besidesTheBroker()}\n`,
  ];
  return `${before}${begin}\n\n${made.join('\n')}\n${end}${after}`;
}
