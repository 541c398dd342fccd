/**
 * Golden pairs in test/golden/plan: NAME.yaml (and NAME.facts, what differs from the host of sample-facts.ts) beside NAME.argv, the
 * exact command line with an option on a line, and NAME.plan.json, the rest of the plan. After a wanted change:
 * UPDATE_GOLDEN=1 node --test src/plan/golden.test.ts
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { HostFacts } from './launch-plan.ts';
import { argvLines } from './options.ts';
import { planOf } from './sample-facts.ts';

const directory = join(import.meta.dirname, '../../test/golden/plan');
const names = readdirSync(directory)
  .filter((file) => file.endsWith('.yaml'))
  .map((file) => file.slice(0, -'.yaml'.length));

function hold(file: string, text: string): void {
  const path = join(directory, file);
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(path, text);
  assert.equal(text, existsSync(path) ? readFileSync(path, 'utf8') : '', file);
}

assert.ok(names.length >= 8, 'golden definitions');

for (const name of names)
  test(`${name}.yaml gives ${name}.argv and ${name}.plan.json`, () => {
    const yaml = readFileSync(join(directory, `${name}.yaml`), 'utf8');
    const facts = join(directory, `${name}.facts`);
    const overrides = existsSync(facts)
      ? (JSON.parse(readFileSync(facts, 'utf8')) as Partial<HostFacts>)
      : {};
    const plan = planOf(yaml, overrides);
    hold(`${name}.argv`, `${argvLines(plan.launch).join('\n')}\n`);
    const { argv: _, ...launch } = plan.launch;
    hold(`${name}.plan.json`, `${JSON.stringify({ ...plan, launch }, null, 2)}\n`);
  });
