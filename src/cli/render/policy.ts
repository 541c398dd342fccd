/** `qward policy`. */
import type { CallResult } from '../../api/calls.ts';
import type { CommandFault } from '../command.ts';
import { escapeLine } from './escape.ts';
import { renderFaults } from './faults.ts';
import { formatBytes } from './sizes.ts';
import type { Style } from './style.ts';
import { renderTable } from './table.ts';

type Report = CallResult<'policy'>;
type Admission = CallResult<'policyExplain'>;

export function renderCheck(path: string, warnings: readonly CommandFault[], style: Style): string {
  if (warnings.length === 0) return `${style.green(`${escapeLine(path)}: no faults`)}\n`;
  const count = warnings.length === 1 ? 'one thing' : `${warnings.length} things`;
  return `${renderFaults(warnings, style)}${escapeLine(path)}: no faults, ${count} to look at\n`;
}

/** Keys of sizes in bytes. */
const isSize = (key: string): boolean => /(?:^|\.)(?:memory|fileSize|disk)$/.test(key);

function valueText(key: string, value: unknown): string {
  if (typeof value === 'number') return isSize(key) ? formatBytes(value) : String(value);
  if (Array.isArray(value) && value.length === 0) return 'none';
  if (Array.isArray(value)) return value.map((item) => valueText(key, item)).join(', ');
  if (typeof value !== 'object' || value === null) return String(value);
  return Object.entries(value)
    .map(([name, part]: [string, unknown]) => `${name} ${valueText(name, part)}`)
    .join('; ');
}

export function renderPolicy({ path, ok, faults, rows }: Report, style: Style): string {
  const verdict = ok
    ? ''
    : `${style.red(`${escapeLine(path)} has faults: nothing is started until it can be read.`)}\n`;
  if (!ok) return `${renderFaults(faults.map(plain), style)}${verdict}`;
  const table = renderTable(
    rows,
    [
      { title: 'KEY', cell: ({ key }) => key, paint: (text) => style.bold(text) },
      { title: 'SAID', cell: ({ line }) => (line === null ? 'default' : `line ${line}`) },
      { title: 'VALUE', cell: ({ key, value }) => valueText(key, value), fold: true },
    ],
    style,
  );
  return `${escapeLine(path)}\n\n${table}`;
}

function plain({ message, hint, ruleAt }: Report['faults'][number]): CommandFault {
  return { message, hint, ...(ruleAt === null ? {} : { ruleAt }) };
}

export function renderAdmission({ name, admitted, grants, others }: Admission, style: Style): string {
  const table = renderTable(
    grants,
    [
      {
        title: 'ADMITTED',
        cell: (grant) => (grant.admitted ? 'yes' : 'no'),
        paint: (text, grant) => (grant.admitted ? style.green(text) : style.red(text)),
      },
      { title: 'WHAT', cell: ({ what }) => what },
      { title: 'RESOURCE', cell: resourceText, fold: true },
      { title: 'DECIDED BY', cell: ruleText, fold: true },
    ],
    style,
  );
  const refused = grants.filter((grant) => !grant.admitted).map(plain);
  const faults = [...refused, ...others.map(plain)];
  const verdict = admitted
    ? style.green(`The policy admits ${escapeLine(name)}.`)
    : style.red(`The policy does not admit ${escapeLine(name)}.`);
  const also = admitted && others.length > 0 ? ' Something else stands in the way of a start.' : '';
  return `${table}\n${renderFaults(faults, style)}${verdict}${also}\n`;
}

/** Without the path of the file, which is the same for all: `line 12 (storageRoots[1])`, `default (bridges)`. */
function ruleText({ ruleAt }: Admission['grants'][number]): string {
  return ruleAt?.replace(/^default of \S+/, 'default').replace(/^\S+ (?=line \d)/, '') ?? "qward's own";
}

function resourceText({ what, resource }: Admission['grants'][number]): string {
  return what.startsWith('limit ') && isSize(what.slice('limit '.length))
    ? formatBytes(Number(resource))
    : resource;
}
