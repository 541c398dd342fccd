/** `qward image`: the store and the catalogue. */
import type { CatalogueImage } from '../images/catalogue.ts';
import type { StoredImage } from '../images/image-store.ts';
import { escapeLine } from './escape.ts';
import { formatBytes } from './sizes.ts';
import type { Style } from './style.ts';
import { renderFields, renderTable } from './table.ts';

export function renderImages(images: readonly StoredImage[], style: Style): string {
  if (images.length === 0) return 'No images yet. Those that are known by name: qward image catalogue\n';
  return renderTable(
    images,
    [
      { title: 'IMAGE', cell: ({ name }) => name },
      { title: 'ON DISK', cell: ({ size }) => formatBytes(size), align: 'right' },
      { title: 'USER', cell: ({ user }) => user ?? '' },
      { title: 'ADDED', cell: ({ addedAt }) => addedAt.slice(0, 10) },
      { title: 'FROM', cell: ({ source }) => source, fold: true },
    ],
    style,
  );
}

export function renderStored(image: StoredImage, style: Style): string {
  return renderFields(
    [
      ['image', escapeLine(image.name)],
      ['file', escapeLine(image.path)],
      ['on disk', formatBytes(image.size)],
      ['from', escapeLine(image.source)],
      [image.algorithm, escapeLine(image.checksum)],
      ['was', escapeLine(image.sourceFormat)],
      ['user', image.user ?? ''],
      ['memory', escapeLine(image.memory ?? '')],
      ['added', escapeLine(image.addedAt)],
      ['whose', image.own ? 'your own' : "the host's"],
    ],
    style,
  );
}

export function renderCatalogue(images: readonly CatalogueImage[], style: Style): string {
  return renderTable(
    images,
    [
      { title: 'NAME', cell: ({ name }) => name },
      { title: 'SYSTEM', cell: ({ title }) => title },
      { title: 'USER', cell: ({ user }) => user },
      { title: 'FROM', cell: ({ url }) => url, fold: true },
    ],
    style,
  );
}
