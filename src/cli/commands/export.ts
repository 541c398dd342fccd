import { defineCommand } from '../command.ts';
import { oneMachine } from '../machine-arguments.ts';
import { escapeLine, escapeLines } from '../render/escape.ts';
import { done, failed, usage } from '../results.ts';
import { withNearestName } from '../select-machines.ts';

const formats = ['libvirt'] as const;

export const exportMachine = defineCommand({
  name: 'export',
  summary: 'Print a machine as another manager describes it.',
  details:
    'What libvirt has no words for is kept in the metadata of the domain, and said: importing what was exported gives the same ' +
    'definition. Nothing of the machine changes, and its images stay where they are.',
  arguments: {
    FORMAT: { help: 'libvirt: domain XML, as "virsh define" takes it.', complete: formats },
    NAME: oneMachine,
  },
  options: {},
  examples: [{ line: 'qward export libvirt web > web.xml', meaning: 'for "virsh define web.xml"' }],
  async run(context, { arguments: { FORMAT: format, NAME: name } }) {
    if (format !== 'libvirt')
      return usage(`export: "${format}" is not a format; ${formats.join(', ')} expected`);
    const reply = await withNearestName(
      context,
      name,
      await context.during(
        `asking for the definition of ${name}`,
        context.client.call('definition', { name }),
      ),
    );
    if (!reply.ok) return failed(reply.faults);
    const [{ parseDefinition }, { exportDomain }] = await Promise.all([
      import('../../definition/parse.ts'),
      import('../../import/libvirt/export/export-domain.ts'),
    ]);
    const parsed = parseDefinition(reply.result.source);
    if (!parsed.ok)
      return failed(
        parsed.faults.map(({ message, hint }) => ({ code: 'definition-invalid' as const, message, hint })),
      );
    const { xml, kept } = exportDomain(parsed.definition);
    if (kept.length > 0 && !context.json && !context.quiet)
      context.warn(
        `kept in the metadata, since libvirt has no words for them: ${escapeLine(kept.join(', '))}\n`,
      );
    return done({ name, xml, kept }, () => escapeLines(xml));
  },
});
