/** Names of throwaway machines: no definition may have one, so that what is left of one is known by it. */
import { randomInt } from 'node:crypto';

const prefix = 'throwaway-';
const letters = 'abcdefghijklmnopqrstuvwxyz0123456789';
const length = 10;

export const isThrowawayName = (machine: string): boolean => machine.startsWith(prefix);

export function newThrowawayName(): string {
  return prefix + Array.from({ length }, () => letters[randomInt(letters.length)]).join('');
}
