/** A machine of a checked wish: its disk, its seed, its definition; started where that is wished. All of it or nothing. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { randomUUID } from 'node:crypto';
import { dirname } from 'node:path';
import type { DiskClient } from '../../api/disk-client.ts';
import { errnoText } from '../../api/errno-text.ts';
import type { CommandFault } from '../command.ts';
import { defineSource } from '../commands/define.ts';
import type { Context } from '../context.ts';
import { placeFaults } from '../definition-faults.ts';
import { isThere, ownPlace, type StoredImage, type Stores } from '../images/image-store.ts';
import type { Progress } from '../progress.ts';
import { bar } from '../render/bar.ts';
import { formatBytes } from '../render/sizes.ts';
import { forgetLogin, keepLogin, loginPlace } from '../ssh/machine-login.ts';
import { freePort } from './free-port.ts';
import { makeSshKey } from './ssh-key.ts';
import { machineText, type Network } from './machine-text.ts';
import { seedImage } from './seed.ts';
import { Undo } from './undo.ts';
import type { Wish } from './wishes.ts';

export interface Creation {
  readonly context: Context;
  readonly wish: Wish;
  readonly stores: Stores;
  /** Where the wish names one; without a path it is not here yet. */
  readonly image?: Pick<StoredImage, 'name' | 'user' | 'memory'> & { readonly path?: string };
  readonly start: boolean;
  readonly dryRun: boolean;
  readonly signal: AbortSignal;
  readonly progress: Progress;
}

export interface Created {
  readonly name: string;
  /** The definition. */
  readonly source: string;
  readonly files: readonly string[];
  readonly notes: readonly string[];
  readonly started: boolean;
  /** Whom `qward ssh` logs in as. */
  readonly user: string | null;
}

export type CreateOutcome =
  | { readonly ok: true; readonly created: Created }
  | { readonly ok: false; readonly faults: readonly CommandFault[] };

interface Prepared {
  readonly places: Places;
  readonly created: Created;
}

interface Places {
  readonly disk: string;
  readonly seed: string;
}

const wrong = (message: string, hint = ''): CreateOutcome => ({ ok: false, faults: [{ message, hint }] });
const failedReply = (reply: { readonly faults: readonly CommandFault[] }): CreateOutcome => ({
  ok: false,
  faults: reply.faults,
});

/** What would be made, or every fault that can be known before anything is. */
async function prepare(creation: Creation): Promise<Prepared | { readonly faults: readonly CommandFault[] }> {
  const { wish, image } = creation;
  const places = await placesOf(creation);
  if ('message' in places) return { faults: [places] };
  const network = await networkOf(wish);
  if (network === undefined) {
    const hint = 'say --network none, and add a forward by "qward edit"';
    return { faults: [{ message: 'no free port was found for ssh', hint }] };
  }
  const user = 'image' in wish ? (wish.user ?? image?.user ?? null) : null;
  const source = textOf(creation, places, network);
  const faults = [...(await faultsBefore(creation, { places, source }))];
  if ('image' in wish && user === null)
    faults.push({
      message: `whom to log in as is not known of image "${wish.image}"`,
      hint: 'say it: --user NAME',
    });
  if (faults.length > 0) return { faults };
  const files = 'image' in wish ? [places.disk, places.seed] : [places.disk];
  return { places, created: { name: wish.name, source, files, notes: [], started: false, user } };
}

export async function faultsOfCreation(creation: Creation): Promise<readonly CommandFault[]> {
  const prepared = await prepare(creation);
  return 'faults' in prepared ? prepared.faults : [];
}

export async function makeMachine(creation: Creation): Promise<CreateOutcome> {
  const prepared = await prepare(creation);
  if ('faults' in prepared) return { ok: false, faults: prepared.faults };
  if (creation.dryRun) return { ok: true, created: prepared.created };
  const undo = new Undo();
  try {
    const outcome = await make(creation, { ...prepared, undo });
    if (creation.signal.aborted) return wrong('interrupted: nothing of it is left');
    if (outcome.ok) undo.keep();
    return outcome;
  } catch (error) {
    if (creation.signal.aborted || !(error instanceof Error && 'syscall' in error)) throw error;
    return wrong(`the machine's files cannot be made: ${errnoText(error)}`, 'look at the place and its room');
  } finally {
    await undo.run();
  }
}

/** Root's are beneath the storage root, those of others in a directory of the machine's own. */
async function placesOf({ context, stores, wish: { name } }: Creation): Promise<Places | CommandFault> {
  if ((await context.client.reach.uid()) === 0)
    return { disk: `${stores.own}/${name}-root.qcow2`, seed: `${stores.own}/${name}-seed.iso` };
  const data = ownPlace(context.io.env, 'DATA');
  if (typeof data !== 'string') return data;
  return { disk: `${data}/machines/${name}/root.qcow2`, seed: `${data}/machines/${name}/seed.iso` };
}

async function networkOf(wish: Wish): Promise<Network | undefined> {
  if (wish.network === 'bridge') return { kind: 'bridge', bridge: wish.bridge };
  if (wish.network === 'none' || !('image' in wish))
    return { kind: wish.network === 'none' ? 'none' : 'user' };
  const sshPort = await freePort(wish.name);
  return sshPort === undefined ? undefined : { kind: 'user', sshPort };
}

function textOf({ wish, image }: Creation, places: Places, network: Network): string {
  const { name, cpus, uefi } = wish;
  const isImage = 'image' in wish;
  return machineText({
    name,
    cpus,
    uefi,
    network,
    memory: wish.memory ?? (isImage ? (image?.memory ?? '1GiB') : '4GiB'),
    disk: places.disk,
    from: isImage ? { image: wish.image, seed: places.seed, runner: wish.runner } : { iso: wish.iso },
  });
}

/** Everything that can be known before anything is made. */
async function faultsBefore(
  { context, wish, image }: Creation,
  { places, source }: { readonly places: Places; readonly source: string },
): Promise<readonly CommandFault[]> {
  const faults: CommandFault[] = [];
  for (const path of 'image' in wish ? [places.disk, places.seed] : [places.disk])
    if (isThere(path))
      faults.push({
        message: `${path} is there already`,
        hint: 'of an earlier machine? Remove it, or choose another name',
      });
  const checked = await context.client.call('define', { source, replace: false, dryRun: true });
  if (!checked.ok) faults.push(...placeFaults(checked.faults, `${wish.name}.yaml`, source));
  if (image?.path === undefined || wish.diskBytes === undefined) return faults;
  const disks = await context.client.disks();
  const info = await disks.run(
    'diskInfo',
    { path: image.path, format: 'qcow2', shared: true },
    { files: [{ path: image.path, access: 'ro' }] },
  );
  if (!info.ok) faults.push(...info.faults);
  else if (info.result.virtualSize > wish.diskBytes)
    faults.push({
      message: `--disk: image "${image.name}" has ${formatBytes(info.result.virtualSize)} itself`,
      hint: 'a disk is not smaller than its image: say more, or leave it out',
    });
  return faults;
}

interface Making extends Prepared {
  readonly undo: Undo;
}

async function make(creation: Creation, { places, created, undo }: Making): Promise<CreateOutcome> {
  const { context, wish, signal, progress } = creation;
  const { name } = wish;
  if (mkdirSync(dirname(places.disk), { recursive: true, mode: 0o700 }) !== undefined)
    undo.push(() => rmSync(dirname(places.disk), { recursive: true, force: true }));
  const disks = await context.client.disks();
  undo.push(() => rmSync(places.disk, { force: true }));
  const disk = await makeDisk(creation, places.disk, disks);
  if (disk !== undefined) return disk;
  const made = [...created.files];
  if ('image' in wish) {
    const seeded = await writeSeed(creation, wish, { places, created, undo });
    if ('message' in seeded) return { ok: false, faults: [seeded] };
    if (seeded.ownKey !== undefined) made.push(seeded.ownKey);
  }
  progress.label(`defining ${name}`);
  const defined = await defineSource(context, created.source, false);
  if (!defined.ok) return { ok: false, faults: placeFaults(defined.faults, `${name}.yaml`, created.source) };
  undo.push(() => context.client.call('remove', { name, force: true }));
  const { notes } = defined.result;
  const whole = { ...created, files: made, notes };
  if (!creation.start || signal.aborted) return { ok: true, created: whole };
  progress.label(`starting ${name}`);
  const started = await context.client.call('start', { name });
  return started.ok ? { ok: true, created: { ...whole, started: true } } : failedReply(started);
}

async function makeDisk(
  { wish, image, signal, progress }: Creation,
  path: string,
  disks: DiskClient,
): Promise<CreateOutcome | undefined> {
  const target = { path, format: 'qcow2' as const };
  const onProgress = ({ percent }: { readonly percent: number | null }): void =>
    progress.label(`making the disk ${bar(percent ?? 0)}`);
  if (image?.path === undefined) {
    const size = wish.diskBytes ?? 0;
    const made = await disks.run(
      'diskCreate',
      { target, size, backing: [], preallocation: 'off' },
      { files: [], signal, onProgress },
    );
    return made.ok ? undefined : failedReply(made);
  }
  const copied = await disks.run(
    'diskConvert',
    { image: { path: image.path, format: 'qcow2', backing: [] }, target, compress: false },
    { files: [{ path: image.path, access: 'ro' }], signal, onProgress },
  );
  if (!copied.ok) return failedReply(copied);
  if (wish.diskBytes === undefined || wish.diskBytes === copied.result.virtualSize) return undefined;
  const resized = await disks.run(
    'diskResize',
    { image: { ...target, backing: [] }, size: wish.diskBytes, shrink: false, preallocation: 'off' },
    { files: [{ path, access: 'rw' }], signal, onProgress },
  );
  return resized.ok ? undefined : failedReply(resized);
}

/**
 * The seed, and what `qward ssh` needs: the guest's key is known before it has one. `ownKey`: the file of a private key that was made for this
 * machine, where the user has none.
 */
async function writeSeed(
  { context }: Creation,
  wish: Extract<Wish, { readonly image: string }>,
  { places, created, undo }: Making,
): Promise<CommandFault | { readonly ownKey?: string }> {
  const info = await context.client.call('info', {});
  if (!info.ok) return info.faults[0] ?? { message: 'the manager does not say what it is', hint: '' };
  const place = loginPlace(context, info.result.instance, wish.name);
  if ('message' in place) return place;
  const hostKey = makeSshKey(wish.name);
  const own = wish.keys.length === 0 ? makeSshKey(`for ${wish.name}`) : undefined;
  const seed = seedImage({
    name: wish.name,
    instanceId: randomUUID(),
    keys: own === undefined ? wish.keys.flatMap(({ lines }) => lines) : [own.publicKey],
    ...(wish.user === undefined ? {} : { user: wish.user }),
    hostKey,
    runner: wish.runner,
    at: new Date(context.io.now()),
  });
  writeFileSync(places.seed, seed, { flag: 'wx', mode: 0o600 });
  undo.push(() => rmSync(places.seed, { force: true }));
  const identity =
    own === undefined ? wish.keys.find((key) => key.identity !== undefined)?.identity : place.ownKey;
  const login = {
    ...(created.user === null ? {} : { user: created.user }),
    ...(identity === undefined ? {} : { identity }),
  };
  const fault = keepLogin(place, login, { guest: hostKey.publicKey, own: own?.privateKey });
  if (fault !== undefined) return fault;
  undo.push(() => forgetLogin(place));
  return own === undefined ? {} : { ownKey: place.ownKey };
}
