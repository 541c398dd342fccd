/** `qward status`. */
import type { CallResult } from '../../api/calls.ts';
import { roughDuration } from '../duration.ts';
import { escapeLine } from './escape.ts';
import { paintState } from './machine-state.ts';
import { formatBytes } from './sizes.ts';
import type { Style } from './style.ts';
import { renderFields } from './table.ts';

type Status = CallResult<'status'>;

function lastEndText(end: NonNullable<Status['lastEnd']>, now: number): string {
  const details = [
    end.message,
    end.signal === null || end.message.includes(end.signal) ? '' : `signal ${end.signal}`,
    end.exitCode === null ? '' : `exit code ${end.exitCode}`,
  ].filter((part) => part !== '');
  const ago = roughDuration(now - Date.parse(end.at));
  return escapeLine(`${end.how} ${ago} ago${details.length === 0 ? '' : `: ${details.join(', ')}`}`);
}

function auditText(audit: Status['audit'], style: Style, now: number): string {
  if (audit === null) return '';
  const ago = `${roughDuration(now - Date.parse(audit.at))} ago`;
  return audit.ok ? `${style.green('every wall stands')}, ${ago}` : `${style.red('a wall differs')}, ${ago}`;
}

function notAdmittedText({ notAdmittedFor }: Status): string {
  return notAdmittedFor.length === 0 ? '' : `would not be started now: ${notAdmittedFor.join('; ')}`;
}

function restartText({ restart, notRestarted }: Status, now: number): string {
  if (restart === null) return notRestarted ?? '';
  const left = Math.max(0, Math.ceil((Date.parse(restart.at) - now) / 1000));
  return `restarts in ${left} s, ${restart.attempt} of ${restart.of}`;
}

function networkText({ networks }: Status): string {
  return networks
    .map(({ nic, up, fault, forward }) => {
      const state = up ? 'up' : `down${fault === null ? '' : `: ${fault}`}`;
      return [`${nic} ${state}`, ...forward].join(', ');
    })
    .join('; ');
}

function besideText({ beside }: Status): string {
  return beside
    .map(({ name, up, fault }) => `${name} ${up ? 'up' : `down${fault === null ? '' : `: ${fault}`}`}`)
    .join('; ');
}

function savedText({ saved, progress }: Status, now: number): string {
  if (progress !== null) return `${progress.doing}, ${Math.floor(progress.percent)} % of the memory`;
  if (saved === null) return '';
  if (saved.unusable !== null) return `cannot be resumed: ${saved.unusable}`;
  const age = roughDuration(now - Date.parse(saved.at));
  return `${age} ago by ${saved.by}, ${formatBytes(saved.bytes)}; the next start goes on there`;
}

function movedText({ name, moved }: Status): string {
  if (moved === null) return '';
  const { kind, peer, at, by } = moved;
  const text = {
    given: `given to ${peer}; whether it runs there was not heard: qward migrate ${name} ${peer}`,
    gone: `to ${peer}`,
    arriving: `was to come from ${peer}, and that was cut off`,
    arrived: `from ${peer}`,
    unreadable: 'what was noted of its move cannot be read',
  }[kind];
  return kind === 'unreadable' ? text : `${text}, at ${at} by ${by}`;
}

/** `now` in milliseconds since the epoch: ages are counted from it. */
export function renderMachineStatus(machine: Status, style: Style, now: number): string {
  const state = paintState(machine.state, machine.state, style);
  const age = roughDuration(now - Date.parse(machine.since));
  const fields = renderFields(
    [
      ['description', escapeLine(machine.description)],
      ['size', `${machine.cpus} CPU${machine.cpus === 1 ? '' : 's'}, ${formatBytes(machine.memory)}`],
      ['owner', escapeLine(machine.owner)],
      ['tags', escapeLine(machine.tags.join(', '))],
      ['pid', String(machine.pid ?? '')],
      ['uid', String(machine.uid ?? '')],
      ['cgroup', escapeLine(machine.cgroup ?? '')],
      ['accelerator', machine.accel ?? ''],
      ['audit', auditText(machine.audit, style, now)],
      ['address', escapeLine(machine.addresses.join(', '))],
      ['network', escapeLine(networkText(machine))],
      ['beside it', escapeLine(besideText(machine))],
      ['console', machine.consoleWriter === null ? '' : `written by ${escapeLine(machine.consoleWriter)}`],
      ['definition', machine.changed ? style.yellow('changed since the start; applies at the next one') : ''],
      ['autostart', machine.autostart ? 'starts with the host' : ''],
      ['policy', style.yellow(escapeLine(notAdmittedText(machine)))],
      ['beyond walls', style.yellow(escapeLine(machine.beyond.join(', ')))],
      ['saved', escapeLine(savedText(machine, now))],
      ['moved', escapeLine(movedText(machine))],
      ['restart', style.yellow(escapeLine(restartText(machine, now)))],
      ['last end', machine.lastEnd === null ? '' : lastEndText(machine.lastEnd, now)],
    ],
    style,
  );
  const showsLog = machine.state === 'crashed' || machine.state === 'failed';
  const log = showsLog ? (machine.lastEnd?.log ?? []) : [];
  const logText = log.map((line) => `    ${style.dim('|')} ${escapeLine(line)}\n`).join('');
  return `${style.bold(escapeLine(machine.name))}  ${state}  ${style.dim(`for ${age}`)}\n${fields}${logText}`;
}
