import { changeDevice } from '../change-device.ts';
import { defineCommand } from '../command.ts';
import { oneMachine } from '../machine-arguments.ts';

export const detach = defineCommand({
  name: 'detach',
  summary: 'Take a disk, or what else was attached, from a running machine.',
  details:
    'The guest is asked to let go of it; a guest that does not answer in time keeps it, and is told of. Then everything that QEMU had\n' +
    'open of it is closed, which is looked at. Unmount its file systems first: QEMU cannot know whether they are in use.\n' +
    'The definition keeps it for the next start, but with --persist.\n' +
    'CPUs and modules of memory go by the ids that `qward attach NAME` shows; a guest gives memory back only where nothing of the kernel lies in it.',
  arguments: {
    NAME: oneMachine,
    ID: {
      help: 'Id of the disk, card, USB device, CPU or memory; `qward attach NAME` shows them.',
      complete: 'none',
    },
  },
  options: {
    persist: { kind: 'flag', short: 'p', help: 'Take it out of the definition too.' },
    timeout: {
      kind: 'duration',
      short: 't',
      value: 'TIME',
      help: 'How long the guest may take; 20s unless told.',
    },
  },
  examples: [
    { line: 'qward detach web data', meaning: 'until the next start' },
    { line: 'qward detach web memory.0', meaning: 'a module of memory' },
    { line: 'qward detach web data --persist --timeout 1m', meaning: 'for good' },
  ],
  async run(context, { arguments: { NAME: name, ID: id }, options: { persist, timeout } }) {
    const input = { name, id, persist, ...(timeout === undefined ? {} : { timeoutMs: timeout }) };
    return await changeDevice(context, name, {
      doing: `detaching ${id} from ${name}`,
      done: `${id} is detached`,
      call: () => context.client.call('detach', input),
      withFiles: (files) => files.detach(input),
    });
  },
});
