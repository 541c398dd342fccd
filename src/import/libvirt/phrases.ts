/** What is said of many places in the same words. */
import { changed, imported, unsupported, whole, type Verdict } from '../verdict.ts';

export const noKey = 'a definition has no key for it';
export const addressesAreChosen = changed('qward chooses addresses on the buses of the guest');
export const tuning = changed('tuning of QEMU; its own value is taken');
export const liveState = changed('state of a running machine, not part of its definition');
export const nothingShares = changed('memory is QEMU’s own: no other process shares it');
export const hostPaths = changed('no path of the host: what the jail shows is made by qward');
export const wholeNotYet = (what: string, cure = '') =>
  whole(unsupported(`${what}${cure === '' ? '' : `: ${cure}`}`));
export const aliases = changed('names of devices are qward’s');
/** Of parts that have an id: an alias that a user gave is the id. */
export const alias = ({ value }: { readonly value: string }): Verdict =>
  value.startsWith('ua-') ? imported : aliases;
