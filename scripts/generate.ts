/**
 * Writes every file that is made from another: `node scripts/generate.ts`. With `--check` it writes nothing and fails
 * where a file is not what it would write. A new generated file is one more row of the table.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { definitionJsonSchema } from '../src/definition/json-schema.ts';
import { openApiDocument } from '../src/api/openapi.ts';
import { loadCommands } from '../src/cli/command-table.ts';
import { completionScript } from '../src/cli/complete/script.ts';
import { qwardVersion } from '../src/cli/version.ts';
import { apiPage } from './generate/api-page.ts';
import { cliManPage } from './generate/cli-man-page.ts';
import { cliPage } from './generate/cli-page.ts';
import { definitionManPage } from './generate/definition-man-page.ts';
import { errorPage } from './generate/error-page.ts';
import { definitionPage } from './generate/definition-page.ts';
import { rolesPage } from './generate/roles-page.ts';
import { withRootLines } from './generate/root-lines.ts';

interface GeneratedFile {
  /** Path from the root of the repository. */
  readonly file: string;
  readonly content: () => string | Promise<string>;
}

const root = resolve(import.meta.dirname, '..');

export const generatedFiles: readonly GeneratedFile[] = [
  {
    file: 'resources/definition.schema.json',
    content: () => `${JSON.stringify(definitionJsonSchema(), null, 2)}\n`,
  },
  {
    file: 'docs/definition.md',
    content: async () =>
      definitionPage(await readFile(join(root, 'resources/examples/minimal.yaml'), 'utf8')),
  },
  { file: 'docs/api.md', content: apiPage },
  { file: 'docs/roles.md', content: rolesPage },
  { file: 'docs/openapi.json', content: () => `${JSON.stringify(openApiDocument(qwardVersion), null, 2)}\n` },
  {
    file: 'docs/architecture.md',
    content: async () => withRootLines(await readFile(join(root, 'docs/architecture.md'), 'utf8')),
  },
  { file: 'docs/errors.md', content: errorPage },
  { file: 'docs/cli.md', content: cliPage },
  { file: 'packaging/man/qward.1', content: cliManPage },
  {
    file: 'packaging/man/qward.yaml.5',
    content: async () =>
      definitionManPage(await readFile(join(root, 'resources/examples/server.yaml'), 'utf8')),
  },
  {
    file: 'packaging/completions/qward.bash',
    content: async () => completionScript('bash', await loadCommands()),
  },
  {
    file: 'packaging/completions/_qward',
    content: async () => completionScript('zsh', await loadCommands()),
  },
  {
    file: 'packaging/completions/qward.fish',
    content: async () => completionScript('fish', await loadCommands()),
  },
];

async function isStale({ file, content }: GeneratedFile): Promise<boolean> {
  const written = await readFile(join(root, file), 'utf8').catch(() => undefined);
  return written !== (await content());
}

export async function staleFiles(): Promise<readonly string[]> {
  const stale = await Promise.all(generatedFiles.map(isStale));
  return generatedFiles.filter((_, index) => stale[index]).map(({ file }) => file);
}

async function main(check: boolean): Promise<void> {
  const stale = await staleFiles();
  if (check) {
    for (const file of stale) console.error(`${file} is stale: run "node scripts/generate.ts"`);
    process.exitCode = stale.length === 0 ? 0 : 1;
    return;
  }
  for (const { file, content } of generatedFiles.filter((row) => stale.includes(row.file))) {
    await mkdir(dirname(join(root, file)), { recursive: true });
    await writeFile(join(root, file), await content());
    console.log(`wrote ${file}`);
  }
}

if (import.meta.main) await main(process.argv.includes('--check'));
