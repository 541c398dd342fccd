/** The generated reference pages say everything, and their links lead somewhere. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apiPage } from '../../scripts/generate/api-page.ts';
import { cliPage } from '../../scripts/generate/cli-page.ts';
import { errorPage } from '../../scripts/generate/error-page.ts';
import { routes } from '../../src/api/contract.ts';
import { errorKinds } from '../../src/api/errors.ts';
import { commandNames } from '../../src/cli/command-table.ts';

test('the pages name every call, every error and every command', async () => {
  const api = apiPage();
  for (const name of Object.keys(routes)) assert.ok(api.includes(`\n### ${name}\n`), name);
  const errors = errorPage();
  for (const code of Object.keys(errorKinds)) assert.ok(errors.includes(`| \`${code}\` |`), code);
  const cli = await cliPage();
  for (const name of commandNames) assert.ok(cli.includes(`\n### qward ${name}\n`), name);
});

test('links of the API page lead to a heading of it', () => {
  const api = apiPage();
  const links = [...api.matchAll(/\]\(#([^)]+)\)/g)];
  assert.ok(links.length > 10);
  for (const [, anchor] of links) assert.match(api, new RegExp(`^### ${anchor}$`, 'im'));
});
