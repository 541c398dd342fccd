/** A line of the broker's log of what users said to it themselves: claims, what was taken back, what starts with the host. Pure. */
import { fieldIn, parseBrokerLine } from './compare.ts';

export interface ClaimEntry {
  /** ISO 8601. */
  readonly at: string;
  /** Null: the log does not say. */
  readonly uid: number | null;
  /** `claim`, `unclaim`, `autostart-on`; `refused` for what was no request. */
  readonly call: string;
  readonly machine: string;
  readonly ok: boolean;
  /** The rest of the line, as far as the broker gives it. A user chose it: whoever prints it escapes it. */
  readonly details: string;
}

/** Who did what stands before all that the user chose. Undefined where not even that is there. */
export function parseClaimLine(line: string): ClaimEntry | undefined {
  const entry = parseBrokerLine(line);
  if (entry === undefined) return undefined;
  const { at, uid, machine, call, refused, times } = entry;
  const [head = ''] = /^.*?"ok":(?:true|false),?/.exec(line) ?? [];
  const rest = head === '' ? '' : line.slice(head.length).replace(/\}$/, '');
  return {
    at: new Date(at).toISOString(),
    uid,
    call: refused === null ? call : 'refused',
    machine,
    ok: refused === null && fieldIn(line, 'ok') === 'true',
    details: refused === null ? rest : times === null ? refused : `${refused}, ${times} times more`,
  };
}
