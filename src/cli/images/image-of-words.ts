/** What `qward image add` and `qward create` are told of an image that is to be fetched, checked by itself. */
import { resolve } from 'node:path';
import { parseByteSize } from '../../definition/byte-size.ts';
import type { CommandFault } from '../command.ts';
import { DiskUsage, formatOf, sourceFormats } from '../disk/disk-input.ts';
import type { NewImage } from './add-image.ts';
import type { CatalogueImage } from './catalogue.ts';
import { parseChecksum } from './checksum.ts';
import { imageName, imageNameExpected, loginName } from './image-name.ts';
import { parseImageUrl } from './image-url.ts';

export interface AddOptions {
  readonly sha256: string | undefined;
  readonly sha512: string | undefined;
  readonly format: string | undefined;
  readonly user: string | undefined;
  readonly limit: string | undefined;
}

const defaultLimit = 16 * 1024 ** 3;

/** What the catalogue says of the name, or every fault. */
export function imageFromCatalogue(
  name: string,
  known: readonly CatalogueImage[],
  options: AddOptions,
): NewImage | CommandFault[] {
  const found = known.find((one) => one.name === name);
  const faults = strayFaults(options);
  if (found === undefined)
    faults.push({
      message: `"${name}" is not in the catalogue (${known.map((one) => one.name).join(', ')})`,
      hint: `name its source: qward image add ${name} URL --sha256 HEX`,
    });
  userFault(options.user, faults);
  const most = limitOf(options.limit, faults);
  if (found === undefined || faults.length > 0) return faults;
  const image = imageOfCatalogue(found);
  return { ...image, user: options.user ?? image.user, most };
}

export function imageOfCatalogue({
  name,
  url,
  checksums,
  algorithm,
  format,
  user,
  memory,
}: CatalogueImage): NewImage {
  const checksum = { list: new URL(checksums), algorithm };
  return { name, from: { url: new URL(url) }, checksum, format, user, memory, most: defaultLimit };
}

function strayFaults({ sha256, sha512, format }: AddOptions): CommandFault[] {
  return Object.entries({ sha256, sha512, format })
    .filter(([, value]) => value !== undefined)
    .map(([key]) => ({ message: `image add: --${key} is for a SOURCE: the catalogue says it`, hint: '' }));
}

function userFault(user: string | undefined, faults: CommandFault[]): void {
  if (user !== undefined && !loginName.test(user))
    faults.push({ message: `--user: a name to log in with expected, not "${user}"`, hint: '' });
}

function limitOf(text: string | undefined, faults: CommandFault[]): number {
  const bytes = text === undefined ? defaultLimit : parseByteSize(text);
  if (bytes === undefined)
    faults.push({ message: `--limit: a size such as 4GiB is expected, not "${text ?? ''}"`, hint: '' });
  return bytes ?? 0;
}

export function imageFromSource(
  name: string,
  source: string,
  options: AddOptions,
): NewImage | CommandFault[] {
  const faults: CommandFault[] = [];
  const wrong = (message: string, hint = ''): undefined => void faults.push({ message, hint });
  if (!imageName.test(name)) wrong(`"${name}" is not a name for an image: ${imageNameExpected}`);
  const url = /^[a-z][a-z0-9+.-]*:\/\//i.test(source) ? parseImageUrl(source) : undefined;
  if (typeof url === 'string') wrong(url);
  const { sha256, sha512, user = null } = options;
  const given = sha256 === undefined ? sha512 : sha256;
  if (given === undefined || (sha256 !== undefined && sha512 !== undefined))
    wrong('image add: one checksum is needed', 'name it: --sha256 HEX, or --sha512 HEX');
  const checksum = parseChecksum(sha256 === undefined ? 'sha512' : 'sha256', given ?? '');
  if (typeof checksum === 'string' && given !== undefined) wrong(checksum);
  if (user !== null && !loginName.test(user)) wrong(`--user: a name to log in with expected, not "${user}"`);
  const most = limitOf(options.limit, faults);
  try {
    const path = url instanceof URL ? url.pathname : source;
    const format = formatOf(path, options.format, sourceFormats);
    if (faults.length > 0 || typeof checksum === 'string' || typeof url === 'string') return faults;
    const from = url === undefined ? { file: resolve(source) } : { url };
    return { name, from, checksum, format, user, memory: null, most };
  } catch (error) {
    if (!(error instanceof DiskUsage)) throw error;
    wrong(error.message);
    return faults;
  }
}
