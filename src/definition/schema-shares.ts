/** Folders of the host that a guest mounts. */
import * as z from 'zod';
import { hostPath, textLike } from './scalars.ts';

/** The kernel of the guest takes 36 bytes. */
const tag = textLike(
  'tag',
  /^[A-Za-z0-9][A-Za-z0-9_.-]{0,35}$/,
  '1 to 36 letters, digits, and "_.-" after the first',
);

export const shareSchema = z.strictObject({
  tag: tag
    .describe('Name by which the guest mounts it: `mount -t virtiofs TAG /mnt`.')
    .meta({ examples: ['data'] }),
  path: hostPath.describe('The folder.').meta({ examples: ['/srv/data'] }),
  readonly: z.boolean().default(false).describe('The guest cannot write in it, whatever it is told.'),
});
