/** The cloud images that are known by name: resources/images.json, or a file of the same shape. */
import { readFileSync, statSync } from 'node:fs';
import { errnoText } from '../../api/errno-text.ts';
import { parseByteSize } from '../../definition/byte-size.ts';
import { sourceFormats, type SourceFormat } from '../disk/disk-input.ts';
import known from '../../../resources/images.json' with { type: 'json' };
import type { CommandFault } from '../command.ts';
import { algorithms, type Algorithm } from './checksum.ts';
import { imageName, loginName } from './image-name.ts';
import { parseImageUrl } from './image-url.ts';

export interface CatalogueImage {
  readonly name: string;
  readonly title: string;
  readonly url: string;
  /** URL of the list that has the image's checksum. */
  readonly checksums: string;
  readonly algorithm: Algorithm;
  readonly format: SourceFormat;
  /** Whom cloud-init gives the keys to. */
  readonly user: string;
  readonly memory: string;
}

const maxCatalogueBytes = 256 * 1024;
const maxImages = 1000;
const keys = ['name', 'title', 'url', 'checksums', 'algorithm', 'format', 'user', 'memory'] as const;

/** Every image, or all that is wrong, a line each. */
export function parseCatalogue(
  data: unknown,
): readonly CatalogueImage[] | { readonly wrong: readonly string[] } {
  const list = isRecord(data) ? data['images'] : undefined;
  if (!Array.isArray(list) || list.length > maxImages)
    return { wrong: [`{"images": […]} expected, with ${maxImages} images at most`] };
  const images: CatalogueImage[] = [];
  const wrong: string[] = [];
  for (const [at, one] of list.entries()) {
    const faults = faultsOf(one);
    wrong.push(...faults.map((fault) => `images[${at}]: ${fault}`));
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- every key was looked at
    if (faults.length === 0) images.push(one as CatalogueImage);
  }
  const names = images.map(({ name }) => name);
  const twice = names.find((name, at) => names.indexOf(name) !== at);
  if (twice !== undefined) wrong.push(`"${twice}" is there twice`);
  return wrong.length > 0 ? { wrong } : images;
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function faultsOf(image: unknown): readonly string[] {
  if (!isRecord(image)) return ['an object expected'];
  const text = (key: (typeof keys)[number]): string => {
    const value = image[key];
    return typeof value === 'string' && value.length <= 2000 && !/[\u0000-\u001f\u007f]/.test(value)
      ? value
      : '';
  };
  const strange = Object.keys(image).filter((key) => !keys.some((one) => one === key));
  const rules: readonly (readonly [boolean, string])[] = [
    [strange.length === 0, `there is no key ${strange.join(', ')}`],
    [imageName.test(text('name')), 'name: lower-case letters, digits, "-" and "." expected'],
    [text('title') !== '', 'title: a line expected'],
    [typeof parseImageUrl(text('url')) !== 'string', 'url: an http or https URL expected'],
    // SECURITY: rule download. The checksum is what the image is held against: it comes over nothing but https.
    [
      text('checksums').startsWith('https://') && URL.canParse(text('checksums')),
      'checksums: an https URL expected',
    ],
    [algorithms.some((one) => one === text('algorithm')), `algorithm: ${algorithms.join(' or ')} expected`],
    [sourceFormats.some((one) => one === text('format')), `format: ${sourceFormats.join(', ')} expected`],
    [loginName.test(text('user')), 'user: a name to log in with expected'],
    [parseByteSize(text('memory')) !== undefined, 'memory: a size such as 1GiB expected'],
  ];
  return rules.flatMap(([right, fault]) => (right ? [] : [fault]));
}

/** The catalogue of qward's, or that of a file. */
export function readCatalogue(
  file?: string,
): readonly CatalogueImage[] | { readonly faults: readonly CommandFault[] } {
  const data = file === undefined ? { data: known } : readJson(file);
  if ('message' in data) return { faults: [data] };
  const parsed = parseCatalogue(data.data);
  return 'wrong' in parsed
    ? { faults: parsed.wrong.map((message) => ({ message, hint: '', file: file ?? 'images.json' })) }
    : parsed;
}

function readJson(file: string): { readonly data: unknown } | CommandFault {
  try {
    if (statSync(file).size > maxCatalogueBytes)
      return { message: `${file} is larger than 256 KiB`, hint: 'name a catalogue of images' };
    return { data: JSON.parse(readFileSync(file, 'utf8')) };
  } catch (error) {
    const reason = error instanceof SyntaxError ? 'it is no JSON' : errnoText(error);
    return { message: `${file} cannot be read: ${reason}`, hint: '' };
  }
}
