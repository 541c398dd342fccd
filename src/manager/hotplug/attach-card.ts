/** A network card on a bridge or in a managed network is given to a machine that runs: planned as for a start, its TAP device made by the broker. */
import { randomBytes } from 'node:crypto';
import { closeSync, readFileSync } from 'node:fs';
import type { NicDefinition } from '../../definition/schema.ts';
import { optionsOf, type Options } from '../../plan/launched-options.ts';
import type { CommandResult } from '../../qmp/command-result.ts';
import { commands } from '../../qmp/commands.ts';
import { monitorFailure } from '../lifecycle/give-file.ts';
import { lookAtWalls } from '../lifecycle/look-at-walls.ts';
import type { Machine } from '../lifecycle/machine.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import { whenFree } from '../handed-sockets.ts';
import { beyondRun } from './beyond-run.ts';
import { dropParts, settleDisks } from './drop-disk.ts';
import type { Attached } from './hotplug.ts';
import { planAlone, placeIn } from './plan-alone.ts';
import { workAlone, type HotplugServices, type Work } from './hotplug-services.ts';

export async function attachCard(
  services: HotplugServices,
  machine: Machine,
  nic: NicDefinition,
): Promise<Outcome<Attached>> {
  if (nic.kind !== 'bridge' && nic.kind !== 'network')
    return failure(
      'request-invalid',
      `card "${nic.id}" was not attached to machine "${machine.name}": one of \`kind: ${nic.kind ?? 'default'}\` is made with a start`,
      'attach one of `kind: bridge` or `network`, or name it in the definition and start the machine anew',
    );
  if ((nic.queues ?? 1) > 1)
    return failure(
      'request-invalid',
      `card "${nic.id}" was not attached to machine "${machine.name}": one with several queues is made with a start`,
      'attach one without `queues`, or start the machine anew',
    );
  return await workAlone(services, machine, (work) => attach(work, nic));
}

async function attach(work: Work, nic: Attachable): Promise<Outcome<Attached>> {
  const { services, machine } = work;
  if (await settleDisks(work, work.session)) await machine.life.keepNote();
  const planned = await planCard(work, nic);
  if (!planned.ok) return planned;
  const given = await give(work, nic, planned.value);
  await machine.life.keepNote();
  if (!given.ok) return given;
  // SECURITY: promise 2. Just what was planned is open.
  const walls = await lookAtWalls(services, machine, `card "${nic.id}" was attached`);
  return walls.ok ? given : walls;
}

type Attachable = Extract<NicDefinition, { readonly kind: 'bridge' | 'network' }>;

/** The device in the place that it gets. */
async function planCard(work: Work, nic: Attachable): Promise<Outcome<Options>> {
  const { machine, run } = work;
  if (run.hotplug.devices.some((device) => device['id'] === nic.id))
    return failure(
      'request-invalid',
      `machine "${machine.name}" has a device "${nic.id}" already`,
      'choose another id',
    );
  const planned = await planAlone(work, { nics: [nic] });
  if (!planned.ok) return planned;
  const { launch } = planned.value.plan;
  const beyond = beyondRun({ what: 'card', id: nic.id }, launch, run.launched.launch);
  if (beyond.length > 0) return { ok: false, faults: beyond };
  const device = optionsOf(launch, '-device').find(({ id }) => id === nic.id);
  if (device === undefined) throw new TypeError(`no card was planned for ${nic.id}`);
  if (run.hotplug.devices.some(({ mac }) => mac === device['mac']))
    return failure(
      'request-invalid',
      `machine "${machine.name}" has a card of that MAC address already`,
      'choose another',
    );
  return placeIn(work, `card "${nic.id}"`, device);
}

/** It is noted before QEMU hears of it: whatever is open then is expected by whoever looks. */
async function give(work: Work, nic: Attachable, device: Options): Promise<Outcome<Attached>> {
  const { services, run, session, machine } = work;
  const [bridge, network] = nic.kind === 'bridge' ? [nic.bridge, ''] : ['', nic.network];
  const netdev = `net.${nic.id}`;
  const wanted: Attached = {
    id: nic.id,
    device,
    nodes: [],
    groups: [],
    netdevs: [netdev],
    files: [],
    card: { bridge, network, tap: '' },
    layers: [],
  };
  run.hotplug.attach(wanted);
  const kept = await machine.life.keepNote();
  if (!kept.ok) {
    run.hotplug.detach(wanted.id);
    return kept;
  }
  const opened = await services.broker.open({
    machine: machine.name,
    descriptor:
      network === ''
        ? { kind: 'tap', bridge }
        : { kind: 'card', network, nic: nic.id, mac: String(device['mac']) },
  });
  if (!opened.ok) {
    run.hotplug.detach(nic.id);
    return opened;
  }
  const { descriptor } = opened.value;
  const card = { ...wanted, card: { bridge, network, tap: tapOf(descriptor) } };
  run.hotplug.attach(card);
  const name = `hot.${randomBytes(4).toString('hex')}`;
  const handed = await whenFree(() => commands.getDescriptor(session, { name }, { descriptor })).finally(() =>
    closeSync(descriptor),
  );
  // The server knows the card before the guest asks it.
  const served =
    network === '' ? success(undefined) : await services.networks.join(run, { nic: nic.id, network });
  if (!served.ok) {
    run.hotplug.detach(nic.id);
    if (handed.ok) await commands.closeDescriptor(session, { name });
    return served;
  }
  const made = handed.ok ? await make(work, nic, { device, name, netdev }) : handed;
  if (made.ok) return success(card);
  await dropParts(session, card);
  // Refused where the card has taken it.
  await commands.closeDescriptor(session, { name });
  run.hotplug.detach(nic.id);
  return monitorFailure(machine, { ...made, message: `card "${nic.id}" was not attached: ${made.message}` });
}

async function make(
  { session }: Work,
  { id, link }: Attachable,
  { device, name, netdev }: { readonly device: Options; readonly name: string; readonly netdev: string },
): Promise<CommandResult<unknown>> {
  const added = await commands.netdevAdd(session, { type: 'tap', id: netdev, fd: name });
  const plugged = added.ok ? await commands.deviceAdd(session, device) : added;
  return plugged.ok && link === 'down' ? await commands.setLink(session, { id, up: false }) : plugged;
}

/** The name of the device, as the kernel tells whoever holds it (fdinfo); empty: it does not. */
function tapOf(descriptor: number): string {
  return /^iff:\s+(\S+)$/m.exec(readFileSync(`/proc/self/fdinfo/${descriptor}`, 'utf8'))?.[1] ?? '';
}
