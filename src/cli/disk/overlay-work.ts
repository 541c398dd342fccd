/** A snapshot of disks alone: the user makes an overlay for each, and the machine gets all of them at one moment. */
import type { CallResult } from '../../api/calls.ts';
import type { Reply } from '../../api/client.ts';
import type { CommandResult } from '../command.ts';
import type { Context } from '../context.ts';
import { interruptible } from '../interruptible.ts';
import { ownPaths, withClaims } from '../own-files.ts';
import { escapeLine } from '../render/escape.ts';
import { done, failed } from '../results.ts';
import { withNearestName } from '../select-machines.ts';
import { makeImage, nameBelow, type MadeImage } from './make-image.ts';

export interface OverlayOrder {
  readonly name: string;
  readonly snapshot: string;
  /** Where the overlays are made; undefined: beside the image that each disk has. */
  readonly directory: string | undefined;
}

export async function snapshotDisks(context: Context, order: OverlayOrder): Promise<CommandResult> {
  const { name, snapshot } = order;
  return await interruptible(async (signal) => {
    const { reply, notes } = await context.during(
      `snapshot ${snapshot} of ${name}`,
      take(context, order, signal),
    );
    const told = await withNearestName(context, name, reply);
    if (!told.ok) return failed(told.faults);
    const { disks, frozen } = told.result;
    const how = frozen ? 'its file systems were frozen' : 'as a power cut would leave it';
    const lines = [
      `${name}: snapshot ${snapshot} of its disks made, ${how}`,
      ...disks.map(({ disk, path }) => `${disk} is written to ${path} now`),
      ...notes.map((note) => `${name} ${note}`),
    ];
    return done(told.result, () => `${lines.map(escapeLine).join('\n')}\n`);
  }, 'interrupted: `qward chain` shows what the disks have');
}

interface Taken {
  readonly reply: Reply<CallResult<'overlay'>>;
  readonly notes: readonly string[];
}

async function take(
  context: Context,
  { name, snapshot, directory }: OverlayOrder,
  signal: AbortSignal,
): Promise<Taken> {
  const none = (reply: Reply<never>): Taken => ({ reply, notes: [] });
  const devices = await context.client.call('devices', { name });
  const chain = await context.client.call('chain', { name });
  if (!devices.ok) return none(devices);
  if (!chain.ok) return none(chain);
  const own = await ownPaths(context, name);
  const known = (path: string): boolean => own.has(path);
  const made: MadeImage[] = [];
  const undo = async (): Promise<void> => {
    for (const one of made) await one.undo();
  };
  const disks: { disk: string; path: string }[] = [];
  try {
    for (const { id, files } of devices.result.disks) {
      const images = chain.result.disks.find(({ disk }) => disk === id)?.images ?? [];
      const [top] = images;
      // SECURITY: promise 4. It becomes part of a file's name.
      if (!/^[a-z][a-z0-9-]{0,30}$/.test(id)) continue;
      if (top === undefined || !files.some(({ path, access }) => path === top.path && access === 'rw'))
        continue;
      const path = `${directory ?? top.path.slice(0, top.path.lastIndexOf('/'))}/${name}-${id}-${snapshot}.qcow2`;
      const image = await makeImage(context, { name, disk: id, path, format: 'qcow2' }, signal);
      if (image.ok) made.push(image.result);
      const below = image.ok
        ? await nameBelow(await context.client.disks(), { path, onto: images, known }, signal)
        : image;
      if (!below.ok) {
        await undo();
        return none(below);
      }
      disks.push({ disk: id, path });
    }
    const input = { name, disks };
    const taken = await withClaims(
      context,
      () => context.client.call('overlay', input),
      (own) => own.overlay(input),
    );
    if (!taken.reply.ok) await undo();
    return taken;
  } catch (error) {
    await undo();
    throw error;
  }
}
