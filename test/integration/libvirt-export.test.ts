/**
 * What is exported for libvirt is defined by libvirt 9.0 itself, held against its schema, and comes back the same. Its QEMU driver runs
 * within virsh, below a directory of the test's own, with an account that exists in the test's mount namespace alone.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, test } from 'node:test';
import { parseDefinition } from '../../src/definition/parse.ts';
import type { MachineDefinition } from '../../src/definition/schema.ts';
import { exportDomain } from '../../src/import/libvirt/export/export-domain.ts';
import { importDomains } from '../../src/import/libvirt/import-domain.ts';

const root = resolve(import.meta.dirname, '../..');
const directory = mkdtempSync(join(tmpdir(), 'qward-libvirt-'));
after(() => rmSync(directory, { recursive: true }));

mkdirSync(join(directory, 'root/etc'), { recursive: true });
writeFileSync(
  join(directory, 'root/etc/qemu.conf'),
  'user = "root"\ngroup = "root"\nsecurity_driver = "none"\nnamespaces = []\ncgroup_controllers = []\n',
);
for (const name of ['passwd', 'group'])
  writeFileSync(
    join(directory, name),
    `${readFileSync(`/etc/${name}`, 'utf8').trimEnd()}\n${name === 'passwd' ? 'libvirt-qemu:x:64055:64055::/:/usr/sbin/nologin' : 'libvirt-qemu:x:64055:'}\n`,
  );

const inside = [
  `mount --bind ${join(directory, 'passwd')} /etc/passwd`,
  `mount --bind ${join(directory, 'group')} /etc/group`,
  `exec virsh --quiet --connect 'qemu:///embed?root=${join(directory, 'root')}' "$@"`,
].join(' && ');

function virsh(...words: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(
    'unshare',
    ['--mount', 'sh', '-c', inside, 'virsh', ...words],
    { encoding: 'utf8', timeout: 120_000 },
  );
  assert.equal(error, undefined);
  assert.equal(status, 0, stdout + stderr);
  return stdout;
}

function definitionOf(yaml: string): MachineDefinition {
  const parsed = parseDefinition(yaml);
  assert.ok(parsed.ok, yaml);
  return parsed.definition;
}

const read = (file: string): string => readFileSync(join(root, file), 'utf8');
const yamlIn = (folder: string): readonly string[] =>
  readdirSync(join(root, folder))
    .filter((file) => file.endsWith('.yaml'))
    .map((file) => read(join(folder, file)));

/** Of our examples and golden files, and what comes of documents that are imported. */
const definitions = [
  ...yamlIn('resources/examples'),
  ...yamlIn('test/golden/plan'),
  ...readdirSync(join(root, 'test/golden/import'))
    .filter((file) => file.endsWith('.xml'))
    .flatMap((file) => importDomains(read(`test/golden/import/${file}`)))
    .flatMap((result) => (result.ok ? [result.source] : [])),
]
  .map(definitionOf)
  .map((definition, index) => ({ ...definition, name: `machine-${index}` }));

/** libvirt defines no domain of type kvm on a host without it; of these machines the rest is shown there. */
const kvmHere = existsSync('/dev/kvm');

const files = definitions.map((asked) => {
  const definition: MachineDefinition = kvmHere ? asked : { ...asked, accel: 'tcg' };
  const file = join(directory, `${definition.name}.xml`);
  writeFileSync(file, exportDomain(definition).xml);
  return { definition, file };
});

test('every export is a domain by the schema of libvirt', () => {
  assert.ok(files.length > 30);
  for (const { file } of files) {
    const { status, stderr } = spawnSync('virt-xml-validate', [file, 'domain'], { encoding: 'utf8' });
    assert.equal(status, 0, `${stderr}\n${readFileSync(file, 'utf8')}`);
  }
});

// libvirt 9.0 has the name microvm and no bus for its devices: "No PCI buses available".
test('libvirt defines every export but of microvm, and what it then prints is imported as the same definition', () => {
  const taken = files.filter(({ definition }) => definition.machine !== 'microvm');
  for (const { definition, file } of taken) {
    // With a uuid libvirt would take another one for another machine.
    const printed = virsh(
      `define --validate ${file}; dumpxml ${definition.name}; undefine ${definition.name} --nvram`,
    );
    const [result] = importDomains(printed.slice(printed.indexOf('<domain')));
    assert.ok(result?.ok === true, printed);
    const back = definitionOf(result.source);
    // libvirt gives every domain a uuid and the version of its board, every card an address, and a generation its number.
    const { uuid, machineVersion, nics, ...rest } = back;
    assert.deepEqual(
      {
        ...rest,
        ...(definition.generationId === 'auto' ? { generationId: 'auto' } : {}),
        ...(definition.uuid === undefined ? {} : { uuid }),
        ...(definition.machineVersion === undefined ? {} : { machineVersion }),
        nics: nics.map(({ mac, ...nic }, index) =>
          definition.nics[index]?.mac === undefined ? nic : { ...nic, mac },
        ),
      },
      definition,
      printed,
    );
  }
});
