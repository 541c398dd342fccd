/** What tests of disks that change while their guest counts look at: the numbers it has said, the images that are open, their health. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { parseDefinition } from '../../src/definition/parse.ts';
import { consoleShows, done, statusOf } from './driver.ts';
import type { Instance } from './instance.ts';

/** Numbers of a guest with the switch `qward.synced`. */
export async function counted(instance: Instance, machine: string): Promise<number[]> {
  const text = await done(instance, `console ${machine} --log`);
  return [...text.matchAll(/synced (\d+)/g)].map(([, number]) => Number(number));
}

/** Waits until it has counted so far. */
export async function untilCounts(instance: Instance, machine: string, more: number): Promise<void> {
  const last = (await counted(instance, machine)).at(-1) ?? 0;
  await consoleShows(instance, machine, new RegExp(`synced ${last + more}\\b`));
}

/** The number in the first sector of an image with what its header names below it. */
export function counterIn({ directory }: Instance, path: string): number {
  const raw = `${directory}/counter.raw`;
  const format = path.endsWith('.raw') ? 'raw' : 'qcow2';
  execFileSync('qemu-img', ['convert', '-f', format, '-O', 'raw', path, raw], { timeout: 30_000 });
  const number = Number(readFileSync(raw).subarray(0, 512).toString('latin1').trim());
  rmSync(raw);
  return number;
}

/** Leaks cost room and no data: a QEMU that is killed may leave them. */
export function checkImage(path: string): void {
  if (path.endsWith('.raw')) return;
  const { status, stdout, stderr } = spawnSync('qemu-img', ['check', '-f', 'qcow2', path], {
    encoding: 'utf8',
  });
  assert.ok(status === 0 || status === 3, `${path}: ${stdout}${stderr}`);
}

/** Names of the images that QEMU has open, once for each descriptor. */
export async function openImages(instance: Instance, machine: string): Promise<string[]> {
  const { pid } = await statusOf(instance, machine);
  const links = readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${fd}`)];
    } catch {
      return [];
    }
  });
  return links.filter((path) => /\.(?:qcow2|raw)$/.test(path)).map((path) => path.split('/').at(-1) ?? '');
}

/** As the definition has them, the topmost first. */
export async function definedImages(instance: Instance, machine: string, disk: string): Promise<string[]> {
  const reply = await instance.client.call('definition', { name: machine });
  assert.ok(reply.ok, JSON.stringify(reply));
  const parsed = parseDefinition(reply.result.source);
  assert.ok(parsed.ok, JSON.stringify(parsed));
  const found = parsed.definition.disks.find(({ id }) => id === disk);
  return found === undefined ? [] : [found.path, ...found.backing.map(({ path }) => path)];
}
