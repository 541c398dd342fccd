/** Which firmware a QEMU's command line has it run: what it names, or what QEMU takes of its own accord (docs/system/firmware of QEMU). */
import { parseKeys, type Argument } from './arguments.ts';

/** Where distributions have the firmware that QEMU finds by its name alone. */
const directories = ['/usr/share/seabios', '/usr/share/qemu', '/usr/local/share/qemu'];

const uefiCode = /(?:OVMF|AAVMF|edk2|QEMU_EFI)[^/]*\.(?:fd|bin|qcow2)$/i;

/** Paths, the most likely first; one at least. */
export function firmwareFiles(args: readonly Argument[]): readonly string[] {
  const named = flashed(args) ?? args.findLast(({ name }) => name === 'bios')?.value ?? ownChoice(args);
  return named.startsWith('/') ? [named] : directories.map((directory) => `${directory}/${named}`);
}

function flashed(args: readonly Argument[]): string | undefined {
  for (const { name, value } of args) {
    if (!['blockdev', 'drive', 'pflash'].includes(name)) continue;
    const keys = parseKeys(value, 'file');
    const path = keys.get('filename') ?? keys.get('file.filename') ?? keys.get('file') ?? '';
    const inner = path.startsWith('{') ? (parseKeys(path, '').get('filename') ?? '') : path;
    if (uefiCode.test(inner) && !/VARS/.test(inner)) return inner;
  }
  return undefined;
}

function ownChoice(args: readonly Argument[]): string {
  const machine = args.findLast(({ name }) => name === 'machine' || name === 'M');
  const type = parseKeys(machine?.value ?? '', 'type').get('type') ?? '';
  return type.startsWith('microvm') ? 'bios-microvm.bin' : 'bios-256k.bin';
}
