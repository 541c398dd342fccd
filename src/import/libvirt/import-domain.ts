/** A domain of libvirt to a definition, with the account of every piece of the document. */
import { definitionKeys, type DefinitionKey } from '../../definition/definition-keys.ts';
import { accountOf, type Account, type Entry, type ImportFault } from '../account.ts';
import { definitionText } from '../definition-text.ts';
import { settle } from '../settle.ts';
import { unsupported, whole } from '../verdict.ts';
import { parseXml } from '../xml/parse-xml.ts';
import { attributeOf, childOf, textOf, type XmlElement, type XmlNode } from '../xml/xml-node.ts';
import { DomainDraft } from './domain-draft.ts';
import { finishDomain } from './finish-domain.ts';
import { noKey } from './phrases.ts';
import { RuleTable } from './rule-table.ts';
import { rulesOfBooting, variablesOf } from './rules-of-booting.ts';
import { rulesOfDevices } from './rules-of-devices.ts';
import { rulesOfDisks } from './rules-of-disks.ts';
import { rulesOfHostDevices } from './rules-of-host-devices.ts';
import { rulesOfNics } from './rules-of-nics.ts';
import { rulesOfPorts } from './rules-of-ports.ts';
import { rulesOfQemu } from './rules-of-qemu.ts';
import { rulesOfScreens } from './rules-of-screens.ts';
import { rulesOfTheCpu } from './rules-of-the-cpu.ts';
import { rulesOfTheDomain } from './rules-of-the-domain.ts';
import { rulesOfTuning } from './rules-of-tuning.ts';
import { nameInRules, Walk, type Judgement } from './walk-domain.ts';

export interface ImportedDomain {
  readonly ok: true;
  readonly root: XmlElement;
  readonly name: string;
  /** The definition as YAML. */
  readonly source: string;
  readonly account: Account;
  /** The raw file of its UEFI variables, where the document names one. */
  readonly variables?: string;
  /** What became of each piece; for tests that nothing is forgotten. */
  readonly judgements: ReadonlyMap<XmlNode, Judgement>;
}

export type DomainImport = ImportedDomain | { readonly ok: false; readonly faults: readonly ImportFault[] };

export interface ImportOptions {
  /** Another name than that of the document. */
  readonly name?: string;
  /** Every key of definitions, where the caller has them already: they take 20 ms. */
  readonly keys?: readonly DefinitionKey[];
  /** Bridges of networks of libvirt, by the names of the networks. */
  readonly bridges?: ReadonlyMap<string, string>;
}

export const domainRules = (): RuleTable =>
  new RuleTable(
    rulesOfTheDomain,
    rulesOfBooting,
    rulesOfTheCpu,
    rulesOfTuning,
    rulesOfDisks,
    rulesOfNics,
    rulesOfPorts,
    rulesOfScreens,
    rulesOfDevices,
    rulesOfHostDevices,
    rulesOfQemu,
  );

function fault(line: number, message: string, hint: string): ImportFault {
  return { message, hint, line };
}

/** Why the document is no machine that QEMU for x86-64 runs. */
function refusal(root: XmlElement): ImportFault | undefined {
  if (root.name !== 'domain' || root.uri !== '') {
    const within = childOf(root, 'domain');
    const hint =
      within === undefined
        ? 'Give what "virsh dumpxml NAME" prints.'
        : `The domain within it begins in line ${within.line}: give it alone, as "virsh dumpxml NAME" prints it.`;
    return fault(root.line, `the document is a <${root.name.slice(0, 40)}>; a <domain> is expected`, hint);
  }
  const type = attributeOf(root, 'type');
  if (type !== 'kvm' && type !== 'qemu')
    return fault(
      root.line,
      `a domain of type ${type ?? '(none)'}; kvm or qemu is expected`,
      'qward runs QEMU only.',
    );
  const os = childOf(root, 'os', 'type');
  const arch = attributeOf(os, 'arch') ?? 'x86_64';
  if (arch !== 'x86_64' && arch !== 'i686')
    return fault(
      os?.line ?? root.line,
      `a machine of architecture ${arch}; x86_64 is expected`,
      'qward runs x86-64 machines only.',
    );
  if (os !== undefined && textOf(os) !== 'hvm')
    return fault(
      os.line,
      `a machine of kind "${textOf(os).slice(0, 40)}"; hvm is expected`,
      'qward runs fully virtualised machines only.',
    );
  return undefined;
}

/** `disk vda/driver@queues` */
function subjectOf(node: XmlNode): string {
  const steps: string[] = [];
  let here: XmlElement | undefined = node.kind === 'element' ? node : node.parent;
  for (; here?.parent !== undefined; here = here.parent) {
    if (here.name === 'devices' && here.parent.parent === undefined) break;
    const device = attributeOf(childOf(here, 'target'), 'dev');
    steps.unshift(
      `${nameInRules(here)}${here.name === 'disk' && device !== undefined ? ` ${device.slice(0, 20)}` : ''}`,
    );
  }
  const path = steps.join('/') || 'domain';
  return node.kind === 'attribute' ? `${path}@${nameInRules(node)}` : path;
}

function entriesOf(walk: Walk, draft: DomainDraft): readonly Entry[] {
  const ofNodes = [...walk.judgements].map(([node, { verdict, quiet }]): Entry => {
    // Without a reason of its own, each thing is said by itself.
    const alone = verdict.is !== 'imported' && verdict.note === noKey;
    return { verdict, subject: subjectOf(node), line: node.line, quiet, alone };
  });
  const remarks = draft.remarks.map(({ line, subject, message }): Entry => ({
    verdict: { is: 'changed', note: message },
    subject,
    line,
  }));
  return [...ofNodes, ...remarks];
}

/** Each domain of a text, in its order; one fault where it is no XML. Never throws. */
export function importDomains(xml: string, options: ImportOptions = {}): readonly DomainImport[] {
  const reading = parseXml(xml);
  if (!reading.ok) return [{ ok: false, faults: [reading.fault] }];
  const { name, keys = definitionKeys(), bridges = new Map<string, string>() } = options;
  return reading.roots.map((root) => importRoot(new DomainDraft(root, keys, bridges), name, keys));
}

function importRoot(
  draft: DomainDraft,
  called: string | undefined,
  keys: readonly DefinitionKey[],
): DomainImport {
  const { root } = draft;
  const refused = refusal(root);
  if (refused !== undefined) return { ok: false, faults: [refused] };
  const walk = new Walk(draft, domainRules());
  if (called !== undefined) draft.set(draft.machine, 'name', called, root);
  finishDomain(draft);
  const { left, faults } = settle(draft);
  for (const { key, source, message } of left)
    walk.overrule(source, key === '' ? whole(unsupported(message)) : unsupported(message));
  if (faults.length > 0)
    return {
      ok: false,
      faults: faults.map(({ message, hint, path }) =>
        fault(
          root.line,
          `${path.join('.')}: ${message}`,
          path[0] === 'name' ? 'Give one with --name.' : hint,
        ),
      ),
    };
  const { name } = draft.machine.values;
  const variables = variablesOf(root);
  return {
    ok: true,
    root,
    name: typeof name === 'string' ? name : '',
    source: definitionText(draft.value(), keys),
    account: accountOf(entriesOf(walk, draft)),
    judgements: walk.judgements,
    ...(variables === undefined ? {} : { variables }),
  };
}
