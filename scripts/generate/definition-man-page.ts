/** packaging/man/qward.yaml.5: the definition of a machine, its keys from the schema. */
import { qwardVersion } from '../../src/cli/version.ts';
import { definitionKeys, type DefinitionKey } from '../../src/definition/definition-keys.ts';
import { defaultOf, examplesOf, rules, typeOf } from './definition-page.ts';
import { entry, example, heading, manPage, paragraph, subheading } from './roff.ts';

/** The page for the web writes code in backquotes and bold in asterisks. */
const unmarked = (text: string): string => text.replaceAll(/`|\*\*/g, '');

function keyEntry(key: DefinitionKey): string {
  const kind = unmarked(typeOf(key.schema));
  const byDefault = unmarked(defaultOf(key));
  const examples = unmarked(examplesOf(key));
  const parts = [
    key.schema.description ?? '',
    byDefault === '' || key.required ? '' : `Default: ${byDefault}.`,
    examples === '' ? '' : `Examples: ${examples}.`,
  ];
  const text = parts.filter((part) => part !== '').join(' ');
  return entry(`${key.name} (${kind}${key.required ? ', required' : ''})`, text === '' ? 'See below.' : text);
}

function reference(): string[] {
  const keys = definitionKeys();
  return [...new Set(keys.map(({ parent }) => parent))].flatMap((group) => [
    subheading(group === '' ? 'Top level' : group),
    ...keys.filter(({ parent }) => parent === group).map(keyEntry),
  ]);
}

const ruleParagraphs = (): string[] =>
  rules
    .split(/^- /m)
    .slice(1)
    .map((rule) => paragraph(rule.trim()));

export function definitionManPage(fullExample: string): string {
  return manPage({
    name: 'qward.yaml',
    section: 5,
    version: qwardVersion,
    summary: 'definition of a qward machine',
    body: [
      heading('Description'),
      paragraph(
        'One YAML file describes one machine. `qward define FILE` checks it and hands it over; a file is taken as a whole, ' +
          'or every fault is reported with line and column and nothing is defined. Comments stay as they were written.',
      ),
      paragraph(
        'YAML 1.2: true and false are the only booleans. Anchors, aliases, tags, directives and merge keys are refused, and ' +
          'so is a key that is there twice. A definition has 256 KiB at most.',
      ),
      paragraph(
        'A size is written 512M, 2GiB or 1.5G; K, M, G and T count in steps of 1024. A duration is 500ms, 30s, 2m or 1h. A path ' +
          'is absolute, without . and .. parts; whether the machine may have the file is up to qward-policy.json(5).',
      ),
      heading('Keys'),
      ...reference(),
      heading('What keys demand of each other'),
      ...ruleParagraphs(),
      heading('Example'),
      example(fullExample.trimEnd().split('\n')),
      heading('Files'),
      entry('/usr/share/qward/definition.schema.json', 'JSON Schema, for completion in editors.'),
      heading('See also'),
      paragraph('qward(1), qward-policy.json(5)'),
    ],
  });
}
