/** QMP commands that a definition may not give: they take the machine out of qward's hands. */
import type { RefusedOption } from './refused-options.ts';

type RefusedCommand = Omit<RefusedOption, 'options' | 'when'>;

const lifecycle: RefusedCommand = {
  rule: 'own-lifecycle',
  reason: 'the manager starts, stops and resets the guest, and would take it for the end of the machine',
  cure: 'leave it out: `qward start --paused`, `stop` and `reset` do it',
};
const descriptors: RefusedCommand = {
  rule: 'own-descriptors',
  reason: 'descriptors and their sets are numbered by qward',
  cure: 'name the file in confinement.files',
};
const leaving: RefusedCommand = {
  rule: 'one-host',
  reason: "the guest's memory would leave the jail, or come from elsewhere",
  cure: 'leave it out',
};

export const refusedCommands: Readonly<Record<string, RefusedCommand>> = {
  quit: lifecycle,
  cont: lifecycle,
  stop: lifecycle,
  system_reset: lifecycle,
  system_powerdown: lifecycle,
  'set-action': lifecycle,
  'x-exit-preconfig': lifecycle,
  'add-fd': descriptors,
  'remove-fd': descriptors,
  getfd: descriptors,
  closefd: descriptors,
  migrate: leaving,
  'migrate-incoming': leaving,
  'human-monitor-command': {
    rule: 'seen-arguments',
    reason: 'it is a second language, in which all of the others could be said',
    cure: 'use the QMP command that does it',
  },
};
