/** Names that are looked up for a guest, so many at once: a lookup cannot be taken back, and its connection may be over long before it. */
import type { LookupFunction } from 'node:net';
import { ClosedPlace, lookUpPlace, type Place } from './places.ts';

export class Lookups {
  readonly #most: number;
  readonly #onClosed: (message: string) => void;
  readonly #told = new Set<string>();
  #pending = 0;

  /** `onClosed` is told of each name once that leads to nothing that it may lead to. */
  constructor(most: number, onClosed: (message: string) => void = () => undefined) {
    this.#most = most;
    this.#onClosed = onClosed;
  }

  of(place: Place): LookupFunction {
    const lookUp = lookUpPlace(place);
    return (host, options, callback) => {
      // SECURITY: rule guest. A guest that begins connections and lets them go again fills no queue: what is beyond fails.
      if (this.#pending >= this.#most) {
        const busy = new Error(`${this.#most} names are being looked up already`);
        callback(Object.assign(busy, { code: 'EBUSY' }), '', 0);
        return;
      }
      this.#pending += 1;
      lookUp(host, options, (...answer) => {
        this.#pending -= 1;
        this.#tell(host, answer[0]);
        callback(...answer);
      });
    };
  }

  #tell(host: string, error: Error | null): void {
    if (!(error instanceof ClosedPlace) || this.#told.has(host)) return;
    this.#told.add(host);
    this.#onClosed(error.message);
  }
}
