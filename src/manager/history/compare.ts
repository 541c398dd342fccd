/**
 * The manager's record of what it asked of the broker against the broker's own log, which the manager cannot alter. What
 * the broker did and the manager did not ask for was somebody else's doing with the manager's rights.
 */
import type { BrokerAction } from './messages.ts';
import { recordedCalls } from './recorded-broker.ts';

export interface BrokerEntry {
  readonly at: number;
  readonly uid: number | null;
  readonly call: string;
  readonly machine: string;
  /** What was no request, by whom the log does not say more: `connection`, `crowd`, `slow`, `protocol`. */
  readonly refused: string | null;
  /** Whether it did what was asked for; null: the line does not say. */
  readonly ok: boolean | null;
  /** For how many refusals of this kind and user the line stands, which does not say of which machines; null: for what it says. */
  readonly times: number | null;
}

export interface Difference {
  readonly at: number;
  /** not-asked: the broker did it unasked. not-seen: the broker's log lacks it. intruder: no request at all. */
  readonly kind: 'not-asked' | 'not-seen' | 'intruder';
  readonly call: string;
  readonly machine: string;
  readonly message: string;
}

/** A launch and a kill take this long at most, with the time that a broker needs to begin. */
const longestMs = 120_000;
/** Both read the same clock, the broker after its work is done: no more than the grain of it. */
const slackMs = 1000;

/** The first field of the name in a line, which may be cut. */
export const fieldIn = (line: string, name: string): string | undefined =>
  new RegExp(`[,{]"${name}":"?([^",}]*)`).exec(line)?.[1];

/** Fields of the beginning of a line; undefined where it is cut or about something else. */
export function parseBrokerLine(line: string): BrokerEntry | undefined {
  const field = (name: string): string | undefined => fieldIn(line, name);
  const at = Date.parse(/^\{"at":"([^"]*)"/.exec(line)?.[1] ?? '');
  const [call, refused, uid] = [field('call') ?? '', field('refused') ?? null, field('uid')];
  if (Number.isNaN(at) || (call === '' && refused === null)) return undefined;
  const number = (text: string | undefined): number | null => (text === undefined ? null : Number(text));
  return {
    at,
    call,
    refused,
    machine: field('machine') ?? '',
    ok: { true: true, false: false }[field('ok') ?? ''] ?? null,
    uid: number(uid),
    times: number(field('times')),
  };
}

/** Both from the same time on; oldest first. */
export function compareWithBroker(
  actions: readonly BrokerAction[],
  entries: readonly BrokerEntry[],
): readonly Difference[] {
  const asked = actions.filter(({ phase }) => phase === 'asked');
  const recorded = entries.filter(({ call }) => recordedCalls.some((one) => one === call));
  const done = recorded.filter(({ times }) => times === null);
  const unasked = unmatched(done, asked, (entry, action) => {
    const late = entry.at - action.at;
    return late >= -slackMs && late <= longestMs;
  });
  const answered = actions.filter(({ phase }) => phase !== 'asked');
  const unseen = unmatched(
    answered,
    done,
    (action, entry) => isOutcome(action, entry) && Math.abs(entry.at - action.at) <= longestMs,
  );
  const counted = recorded.map((entry) => ({ ...entry, left: entry.times ?? 0 }));
  return [
    ...unasked.map((entry) => difference('not-asked', entry, unaskedText(entry))),
    ...unseen
      .filter((action) => !isCounted(action, counted))
      .map((action) =>
        difference('not-seen', action, `the broker's log has no "${action.call}" that it answered then`),
      ),
    ...entries.flatMap((entry) =>
      entry.refused === null ? [] : [difference('intruder', entry, intruderText(entry))],
    ),
  ].toSorted((left, right) => left.at - right.at);
}

/** SECURITY: promise 4. What was refused stands for nothing that was done. */
const isOutcome = ({ phase }: BrokerAction, { ok }: Pick<BrokerEntry, 'ok'>): boolean =>
  ok === null || ok === (phase === 'answered');

/** What the broker only counted, in a line that comes within the minute and a half. */
function isCounted(
  action: BrokerAction,
  counted: readonly (Pick<BrokerEntry, 'at' | 'call' | 'ok'> & { left: number })[],
): boolean {
  const line = counted.find(
    (entry) =>
      entry.call === action.call &&
      entry.left > 0 &&
      isOutcome(action, entry) &&
      Math.abs(entry.at - action.at) <= longestMs,
  );
  if (line !== undefined) line.left -= 1;
  return line !== undefined;
}

interface Doing {
  readonly at: number;
  readonly call: string;
  readonly machine: string;
}

/** Those without a partner of the same call and machine; each partner counts once, the earliest that fits. */
function unmatched<Wanted extends Doing, Partner extends Doing>(
  wanted: readonly Wanted[],
  partners: readonly Partner[],
  fits: (one: Wanted, partner: Partner) => boolean,
): readonly Wanted[] {
  const open = new Map<string, Partner[]>();
  const key = ({ call, machine }: Doing): string => `${call} ${machine}`;
  for (const partner of partners) open.set(key(partner), [...(open.get(key(partner)) ?? []), partner]);
  return wanted.filter((one) => {
    const candidates = open.get(key(one)) ?? [];
    const index = candidates.findIndex((partner) => fits(one, partner));
    if (index >= 0) candidates.splice(index, 1);
    return index < 0;
  });
}

function difference(kind: Difference['kind'], { at, call, machine }: Doing, message: string): Difference {
  return { at, kind, call, machine, message };
}

function unaskedText({ call, uid }: BrokerEntry): string {
  const who = uid === null ? '' : uid === 0 ? ' of root' : ` of uid ${uid}`;
  return `the broker had a "${call}"${who} that the manager's history does not know of`;
}

/** What the broker ended a connection for. */
const intrusions: Readonly<Record<string, string>> = {
  connection: ', who is not the manager, connected to the broker and was turned away',
  crowd: ' had more connections to the broker than it may',
  slow: ' was connected to the broker and neither asked in time nor took its answer',
  protocol: ' sent the broker what is no request of its protocol',
};

function intruderText({ refused, uid, times }: BrokerEntry): string {
  const who = uid === null ? 'somebody' : `uid ${uid}`;
  const what = intrusions[refused ?? ''] ?? ' and others did one of these';
  return `${who}${what}${times === null ? '' : `, ${times} times more`}`;
}
