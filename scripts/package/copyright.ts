/** debian/copyright (https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/), from what the bundles contain. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Packages of npm in the bundles, by esbuild's metafiles. */
export function bundledPackages(library: string): string[] {
  const names = readdirSync(library)
    .filter((name) => name.endsWith('.meta.json'))
    .flatMap((name) => {
      const { inputs }: { inputs: object } = JSON.parse(readFileSync(join(library, name), 'utf8'));
      return Object.keys(inputs).flatMap(
        (input) => /^node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(input)?.[1] ?? [],
      );
    });
  return [...new Set(names)].sort();
}

interface Licensed {
  readonly name: string;
  readonly version: string;
  readonly license: string;
  readonly text: string;
}

function licenseOf(root: string, name: string): Licensed {
  const directory = join(root, 'node_modules', name);
  const { version, license }: { version: string; license: string } = JSON.parse(
    readFileSync(join(directory, 'package.json'), 'utf8'),
  );
  const file = readdirSync(directory).find((entry) => /^licen[cs]e/i.test(entry));
  return {
    name,
    version,
    license,
    text: file === undefined ? '' : readFileSync(join(directory, file), 'utf8'),
  };
}

/** Debian's names of licences. */
const debianName = (spdx: string): string => (spdx === 'MIT' ? 'Expat' : spdx);

/** The licences of all packages in full. */
export function bundledLicences(root: string, names: readonly string[]): string {
  return names
    .map((name) => licenseOf(root, name))
    .map(({ version, license, text, name }) => `${name} ${version} (${license})\n\n${text.trim()}\n`)
    .join(`\n${'-'.repeat(72)}\n\n`);
}

function holders({ name, text }: Licensed): string {
  const line = /^\W*copyright\b.*$/im.exec(text)?.[0].trim();
  return ` ${name}: ${line ?? 'its authors'}`;
}

export function copyright(root: string, names: readonly string[]): string {
  const packages = names.map((name) => licenseOf(root, name));
  const licences = [...new Set(packages.map(({ license }) => debianName(license)))].sort();
  return `Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: qward

Files: *
Copyright: 2026 The qward authors
License: Apache-2.0

Files: usr/lib/qward/*.js usr/lib/qward/bin/qward
Copyright: 2026 The qward authors
${packages.map(holders).join('\n')}
License: Apache-2.0 and ${licences.join(' and ')}
Comment: These are bundles of qward's sources with the packages above, each under its own licence, whose text is in
 /usr/share/doc/qward/LICENSES.npm.gz. bin/qward also contains the runtime Bun (Copyright Oven, Expat), which links
 JavaScriptCore (Apple and others, LGPL-2+) and the libraries that https://bun.sh/docs/project/licensing lists.

Files: usr/lib/qward/node
Copyright: Node.js contributors, Joyent Inc., and those named in the licence
License: Node.js
 Expat, and for the libraries in it the licences that /usr/share/doc/qward/LICENSE.node.gz has in full: V8, libuv, OpenSSL,
 ICU, zlib and others.

License: Apache-2.0
 On Debian systems the full text is in /usr/share/common-licenses/Apache-2.0.

${licences.map((name) => `License: ${name}\n The text is in /usr/share/doc/qward/LICENSES.npm.gz.`).join('\n\n')}
`;
}
