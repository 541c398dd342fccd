/** The machines of foreign files, each format by its reader. */
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { errnoText } from '../../api/errno-text.ts';
import type { ImportFault } from '../../import/account.ts';
import type { CommandFault } from '../command.ts';
import type { Io } from '../io.ts';
import { filesOfWord, readForeign } from './foreign-files.ts';
import type { Foreign } from './take-in.ts';

export interface Found {
  readonly machines: readonly Foreign[];
  readonly faults: readonly CommandFault[];
  /** What else is to be said, a line each. */
  readonly remarks: readonly string[];
}

export interface Wanted {
  readonly words: readonly string[];
  readonly name: string | undefined;
  readonly io: Pick<Io, 'readInput'>;
}

type Result =
  | ({ readonly ok: true } & Pick<Foreign, 'name' | 'source' | 'account' | 'variables'>)
  | { readonly ok: false; readonly faults: readonly ImportFault[] };

/** Collects machines and faults. */
class Collection implements Found {
  readonly machines: Foreign[] = [];
  readonly faults: CommandFault[] = [];
  readonly remarks: string[] = [];

  add(file: string, result: Result, places: Foreign['places'] = 'line'): void {
    if (!result.ok)
      this.faults.push(
        ...result.faults.map((fault) => ({ ...fault, code: 'definition-invalid' as const, file })),
      );
    else {
      const { name, source, account, variables } = result;
      this.machines.push({
        file,
        name,
        source,
        account,
        places,
        ...(variables === undefined ? {} : { variables }),
      });
    }
  }
}

const loadKeys = async () => (await import('../../definition/definition-keys.ts')).definitionKeys();
const named = (name: string | undefined) => (name === undefined ? {} : { name });

export async function libvirtMachines({ words, name, io }: Wanted): Promise<Found> {
  const { importDomains } = await import('../../import/libvirt/import-domain.ts');
  const keys = await loadKeys();
  const found = new Collection();
  for (const word of words) {
    const files = filesOfWord(word, '.xml');
    if ('message' in files) found.faults.push(files);
    else
      for (const path of files) {
        const read = readForeign(io, path);
        if ('message' in read) found.faults.push(read);
        else for (const one of importDomains(read.text, { keys, ...named(name) })) found.add(read.file, one);
      }
  }
  return found;
}

export async function xlMachines({ words, name, io }: Wanted): Promise<Found> {
  const { importXl } = await import('../../import/xen/import-xl.ts');
  const keys = await loadKeys();
  const found = new Collection();
  for (const word of words) {
    const files = filesOfWord(word, '.cfg');
    if ('message' in files) found.faults.push(files);
    else
      for (const path of files) {
        const read = readForeign(io, path);
        if ('message' in read) found.faults.push(read);
        else
          found.add(
            read.file,
            importXl(read.text, { keys, cwd: path === '-' ? '/' : dirname(resolve(path)), ...named(name) }),
          );
      }
  }
  return found;
}

export async function qemuMachine(
  words: readonly string[],
  { name, pid }: { readonly name: string | undefined; readonly pid: number | undefined },
): Promise<Found> {
  const { importCommandLine } = await import('../../import/qemu/import-command-line.ts');
  const found = new Collection();
  if (pid === undefined) {
    found.add('', importCommandLine(words, { cwd: process.cwd(), ...named(name) }), 'argument');
    return found;
  }
  try {
    const argv = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1);
    const cwd = readlinkSync(`/proc/${pid}/cwd`);
    found.add(`pid ${pid}`, importCommandLine(argv, { cwd, ...named(name) }), 'argument');
  } catch (error) {
    const hint = 'Its command line and directory are to be read by its own user and by root alone.';
    found.faults.push({ message: `process ${pid} cannot be looked at: ${errnoText(error)}`, hint });
  }
  return found;
}

/** `NAME-qemud.rc` files of a directory, and of those that its `registered` names. */
function rcFiles(directory: string): readonly string[] {
  const etc = [directory, join(directory, 'etc')].find((one) => existsSync(join(one, 'registered')));
  const registered =
    etc === undefined
      ? []
      : readFileSync(join(etc, 'registered'), 'utf8')
          .split('\n')
          .map((line) => line.trim().split(/[\s:=]+/))
          .flatMap(([name = '', path = '']) =>
            name === '' || name.startsWith('#') ? [] : [join(path, `${name}-qemud.rc`)],
          );
  const here = readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('-qemud.rc') && file.split('/').length <= 3)
    .sort()
    .map((file) => join(directory, file));
  return [...new Set([...registered, ...here])];
}

function autostarted(directory: string): readonly string[] {
  const file = [directory, join(directory, 'etc')]
    .map((one) => join(one, 'autostart'))
    .find((one) => existsSync(one));
  if (file === undefined) return [];
  return readFileSync(file, 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/[\s:=]+/)[0] ?? '')
    .filter((name) => name !== '' && !name.startsWith('#'));
}

export async function qemuInitMachines({ words, name, io }: Wanted): Promise<Found> {
  const { importQemuInit } = await import('../../import/qemu-init/import-qemu-init.ts');
  const { machineNameOf } = await import('../../import/machine-name.ts');
  const keys = await loadKeys();
  const found = new Collection();
  for (const directory of words)
    try {
      const files = rcFiles(resolve(directory));
      if (files.length === 0)
        found.faults.push({
          message: `${directory}: no NAME-qemud.rc is there`,
          hint: 'Give the directory of a machine, or the one with "registered".',
        });
      for (const file of files) {
        const rc = readForeign(io, file);
        const cfgPath = file.replace(/-qemud\.rc$/, '-qemu.cfg');
        const cfg = existsSync(cfgPath) ? readForeign(io, cfgPath) : { file: cfgPath, text: '' };
        const wrong = [rc, cfg].find((one) => 'message' in one);
        if (wrong !== undefined && 'message' in wrong) found.faults.push(wrong);
        else if ('text' in rc && 'text' in cfg)
          found.add(
            file,
            importQemuInit(
              { rc: rc.text, cfg: cfg.text, directory: dirname(file) },
              { keys, name: name ?? basename(file, '-qemud.rc') },
            ),
          );
      }
      for (const one of autostarted(resolve(directory)))
        found.remarks.push(
          `qemud starts "${one}" with the host; here an administrator does: qward autostart on ${machineNameOf(one) ?? one}`,
        );
    } catch (error) {
      found.faults.push({ message: `${directory} cannot be read: ${errnoText(error)}`, hint: '' });
    }
  return found;
}
