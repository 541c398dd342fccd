/** What a machine has once: monitor, serial console, guest agent, random numbers, balloon. */
import type { MachineDefinition } from '../definition/schema.ts';
import { boards, virtioDevice } from './boards.ts';
import type { DescriptorTable } from './descriptor-table.ts';
import { jsonOption, keyOption, type Option } from './options.ts';

const listening = { server: 'on', wait: 'off' } as const;

/** QMP, for the manager alone. */
export function monitorOptions(table: DescriptorTable): readonly Option[] {
  const fd = table.addSocket('qmp', { subject: 'monitor', reason: 'the manager steers QEMU by QMP' });
  return [
    keyOption('-chardev', 'socket', { id: 'qmp', fd, ...listening }),
    keyOption('-mon', null, { chardev: 'qmp', mode: 'control' }),
  ];
}

export function consoleOptions(definition: MachineDefinition, table: DescriptorTable): readonly Option[] {
  if (!definition.console) return [];
  const fd = table.addSocket('console', { subject: 'console', reason: 'serial console' });
  return [
    keyOption('-chardev', 'socket', { id: 'console', fd, ...listening }),
    jsonOption('-device', { driver: 'isa-serial', id: 'serial.0', index: 0, chardev: 'console' }),
  ];
}

export function agentOptions(definition: MachineDefinition, table: DescriptorTable): readonly Option[] {
  const { channels } = definition;
  if (!definition.agent && channels.length === 0) return [];
  const board = boards[definition.machine];
  const controller = jsonOption('-device', {
    ...virtioDevice(board, 'serial', { kind: 'single', device: 'serial' }),
    id: 'ctl.serial',
    // Port 0 is kept for a console, so 2 ports leave one.
    max_ports: 2 + channels.length,
  });
  if (!definition.agent) return [controller];
  const fd = table.addSocket('agent', { subject: 'agent', reason: 'channel of the guest agent' });
  return [
    keyOption('-chardev', 'socket', { id: 'agent', fd, ...listening }),
    controller,
    jsonOption('-device', {
      driver: 'virtserialport',
      id: 'agent.0',
      bus: 'ctl.serial.0',
      nr: 1,
      chardev: 'agent',
      name: 'org.qemu.guest_agent.0',
    }),
  ];
}

export function memoryDeviceOptions(definition: MachineDefinition): readonly Option[] {
  const board = boards[definition.machine];
  const { balloonOptions } = definition;
  const options: Option[] = [];
  if (definition.rng)
    options.push(
      // getrandom(2) inside QEMU: no descriptor and no device node.
      jsonOption('-object', { 'qom-type': 'rng-builtin', id: 'rng.source' }),
      jsonOption('-device', {
        ...virtioDevice(board, 'rng', { kind: 'single', device: 'rng' }),
        id: 'rng.0',
        rng: 'rng.source',
        'max-bytes': definition.rngOptions?.bytes,
        period: definition.rngOptions?.period,
      }),
    );
  if (definition.balloon)
    options.push(
      jsonOption('-device', {
        ...virtioDevice(board, 'balloon', { kind: 'single', device: 'balloon' }),
        id: 'balloon.0',
        'deflate-on-oom': balloonOptions.deflateOnOom,
        'free-page-reporting': balloonOptions.freePageReporting,
        // In whole seconds; 0 is never.
        'guest-stats-polling-interval':
          balloonOptions.statsPeriod === undefined
            ? undefined
            : Math.max(1, Math.round(balloonOptions.statsPeriod / 1000)),
      }),
    );
  return options;
}
