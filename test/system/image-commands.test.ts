/** `qward image` as users type it: from the catalogue, from a server that is hostile, from a file; and nothing half-done stays. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
  chownSync,
  statSync,
} from 'node:fs';
import { after, test } from 'node:test';
import { imageServer, serve } from '../support/image-server.ts';
import { startInstance, type CommandOutcome } from '../support/instance.ts';
import { sessionUser } from '../support/session.ts';

const user = await sessionUser();
after(() => user[Symbol.asyncDispose]());
const store = `${user.home}/.local/share/qward/images`;
const downloads = `${user.home}/.cache/qward/downloads`;
const work = `${user.home}/work`;
mkdirSync(work, { recursive: true });

const picture = `${work}/picture.qcow2`;
execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', picture, '32M']);
execFileSync('qemu-io', ['-c', 'write -P 5 0 2M', picture]);
const bytes = readFileSync(picture);
const hex = (algorithm: string): string => createHash(algorithm).update(bytes).digest('hex');

async function image(words: string, expected = 0, env = {}): Promise<CommandOutcome> {
  const outcome = await user.qward(['image', ...words.split(' ')], { env });
  assert.equal(outcome.status, expected, `${words}: ${outcome.stdout}${outcome.stderr}`);
  return outcome;
}

function nothingHalfDone(): void {
  for (const directory of [store, downloads].filter((one) => existsSync(one)))
    assert.deepEqual(
      readdirSync(directory).filter((name) => name.startsWith('.') || directory === downloads),
      [],
    );
}

test('an image is fetched from a server that breaks off and sends on, checked, imported and listed', async () => {
  await using server = await imageServer((request, response, count) => {
    if (request.url === '/moved.qcow2') response.writeHead(302, { Location: '/image.qcow2' }).end();
    else serve(bytes, '"x"', bytes.length / 2)(request, response, count);
  });
  const { stdout } = await image(`add one ${server.url('/moved.qcow2')} --sha512 ${hex('sha512')} --user me`);
  assert.match(stdout, /one\.qcow2/);
  execFileSync('qemu-img', ['compare', `${store}/one.qcow2`, picture]);
  assert.deepEqual([statSync(store).mode & 0o777, statSync(`${store}/one.qcow2`).uid], [0o700, user.uid]);
  const shown = JSON.parse((await image('show one --json')).stdout) as Record<string, unknown>;
  assert.deepEqual(
    [shown['user'], shown['algorithm'], shown['checksum'], shown['sourceFormat'], shown['source']],
    ['me', 'sha512', hex('sha512'), 'qcow2', server.url('/moved.qcow2')],
  );
  assert.match((await image('list')).stdout, /^one .*me/m);
  assert.match(
    (await image(`add one ${server.url('/x.qcow2')} --sha256 ${hex('sha256')}`, 1)).stderr,
    /image "one" is there already/,
  );
  nothingHalfDone();
  await image('rm one');
  assert.deepEqual(readdirSync(store), []);
  assert.match((await image('show one', 3)).stderr, /no image "one"/);
});

test('wrong bytes are refused before anything looks into them, and do not stay', async () => {
  await using server = await imageServer(serve(Buffer.concat([bytes.subarray(1), Buffer.of(0)])));
  const { stderr } = await image(`add bad ${server.url('/x.qcow2')} --sha256 ${hex('sha256')}`, 1);
  assert.match(stderr, /wrong bytes: sha256 [0-9a-f]{64} expected, [0-9a-f]{64} found/);
  nothingHalfDone();
  assert.deepEqual(readdirSync(store), []);
});

test('an image that names other files is refused in spite of its checksum', async () => {
  const evil = `${work}/evil.qcow2`;
  execFileSync('qemu-img', [
    'create',
    '-q',
    '-u',
    '-f',
    'qcow2',
    '-F',
    'raw',
    '-b',
    '/etc/shadow',
    evil,
    '1M',
  ]);
  const evilBytes = readFileSync(evil);
  await using server = await imageServer(serve(evilBytes));
  const sum = createHash('sha256').update(evilBytes).digest('hex');
  assert.match((await image(`add evil ${server.url('/x.qcow2')} --sha256 ${sum}`, 1)).stderr, /shadow/);
  nothingHalfDone();
  assert.deepEqual(readdirSync(store), []);
});

test('an endless server is left at the limit', async () => {
  await using server = await imageServer((_, response) => {
    const piece = Buffer.alloc(256 * 1024);
    const pour = (): void => {
      while (!response.destroyed && response.write(piece));
    };
    response.on('drain', pour);
    pour();
  });
  const words = `add endless ${server.url('/x.qcow2')} --sha256 ${hex('sha256')} --limit 4MiB`;
  assert.match((await image(words, 1)).stderr, /sends more than 4MiB/);
  nothingHalfDone();
});

test('a file is copied, checked and imported; every fault of the words is said at once', async () => {
  chownSync(picture, user.uid, user.uid);
  chownSync(work, user.uid, user.uid);
  await image(`add local ${picture} --sha256 ${hex('sha256').toUpperCase()}`);
  execFileSync('qemu-img', ['compare', `${store}/local.qcow2`, picture]);
  assert.match((await image(`add other ${picture} --sha256 ${'0'.repeat(64)}`, 1)).stderr, /wrong bytes/);
  const { stderr } = await image('add -- Bad! ftp://x/y.bin', 2);
  for (const fault of [
    /not a name for an image/,
    /http or https expected/,
    /one checksum is needed/,
    /does not tell a format/,
  ])
    assert.match(stderr, fault);
  assert.match((await image('add nonesuch', 2)).stderr, /not in the catalogue \(debian-12/);
  await image('rm local');
  nothingHalfDone();
});

test('a name of the catalogue is enough: image and checksums come over TLS, and no other certificate will do', async () => {
  const [key, cert] = [`${work}/key.pem`, `${work}/cert.pem`];
  const openssl = [
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-days',
    '2',
  ];
  execFileSync(
    'openssl',
    [...openssl, '-subj', '/CN=x', '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', cert],
    { stdio: 'ignore' },
  );
  chownSync(cert, user.uid, user.uid);
  let sums = `${hex('sha256')}  small.img\n`;
  await using server = await imageServer(
    (request, response, count) => {
      if (request.url === '/SUMS') response.end(sums);
      else serve(bytes)(request, response, count);
    },
    { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') },
  );
  const catalogue = `${work}/catalogue.json`;
  const listed = {
    name: 'small',
    title: 'A small one',
    url: server.url('/small.img'),
    checksums: server.url('/SUMS'),
    algorithm: 'sha256',
    format: 'qcow2',
    user: 'small',
    memory: '128MiB',
  };
  writeFileSync(catalogue, JSON.stringify({ images: [listed] }));
  assert.match((await image(`catalogue --catalogue ${catalogue}`)).stdout, /A small one/);
  assert.match(
    (await image(`add small --catalogue ${catalogue}`, 1)).stderr,
    /no list of checksums: .*certificate/i,
  );
  const env = { NODE_EXTRA_CA_CERTS: cert };
  sums = `${hex('sha256')}  large.img\n`;
  assert.match(
    (await image(`add small --catalogue ${catalogue}`, 1, env)).stderr,
    /has no sha256 of small\.img/,
  );
  sums = `${hex('sha256')} *small.img\n`;
  await image(`add small --catalogue ${catalogue}`, 0, env);
  const shown = JSON.parse((await image('show small --json')).stdout) as Record<string, unknown>;
  assert.deepEqual([shown['user'], shown['memory']], ['small', '128MiB']);
  nothingHalfDone();
});

test('root fetches nothing, and takes a file into a storage root', async () => {
  await using instance = await startInstance();
  const { images } = instance.paths;
  const add = async (source: string, expected: number): Promise<string> => {
    const outcome = await instance.qward(['image', 'add', 'one', source, '--sha256', hex('sha256')]);
    assert.equal(outcome.status, expected, outcome.stderr);
    return outcome.stderr;
  };
  assert.match(await add('http://127.0.0.1:1/x.qcow2', 1), /root fetches nothing from the network/);
  await add(picture, 0);
  execFileSync('qemu-img', ['compare', `${images}/one.qcow2`, picture]);
  assert.deepEqual(readdirSync(images).sort(), ['one.json', 'one.qcow2']);
  assert.equal((await instance.qward(['image', 'rm', 'one'])).status, 0);
  assert.deepEqual(readdirSync(images), []);
});
