/** qward on another host, through Debian's sshd: every kind of call, as the user that ssh let in; and accounts that have this alone. */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { join, resolve } from 'node:path';
import { after, test } from 'node:test';
import { startWithAccounts } from '../support/accounts.ts';
import { demoMachine } from '../support/demo-machine.ts';
import { done, refused, remains } from '../support/driver.ts';
import { run, type CommandOutcome } from '../support/instance.ts';
import { RfbViewer } from '../support/rfb.ts';
import { addGuestRunner } from '../support/guest-runner.ts';
import { startSshd } from '../support/sshd.ts';
import { makeImage } from '../support/test-launch.ts';
import { throwawaysLeft } from '../support/throwaways.ts';

const [vera, remo, fred, anna] = [910_000_021, 910_000_022, 910_000_023, 910_000_024];
const instance = await startWithAccounts([
  { name: 'vera', uid: vera },
  { name: 'remo', uid: remo },
  { name: 'fred', uid: fred },
  { name: 'anna', uid: anna, groups: ['qward-admin'] },
]);
after(() => instance[Symbol.asyncDispose]());
instance.writePolicy({ define: { users: ['vera', 'remo'], groups: [] } });
const snippet = resolve(import.meta.dirname, '../../packaging/ssh/qward-remote.conf');
const restricted = { shell: '/bin/sh', groups: ['qward-remote'] };
const sshd = await startSshd(instance, {
  accounts: [
    { name: 'vera', uid: vera, shell: '/bin/sh' },
    { name: 'remo', uid: remo, ...restricted },
    { name: 'fred', uid: fred, ...restricted },
    { name: 'anna', uid: anna, ...restricted },
  ],
  snippet: readFileSync(snippet, 'utf8'),
});
after(() => sshd[Symbol.asyncDispose]());

const home = (user: string): string => join(instance.directory, 'home', user);
mkdirSync(join(instance.directory, 'home'), { mode: 0o755 });
for (const [user, uid] of [
  ['vera', vera],
  ['remo', remo],
] as const) {
  mkdirSync(home(user));
  chownSync(home(user), uid, uid);
  chmodSync(home(user), 0o700);
}

const env = { PATH: sshd.clientPath };
const at = (user: string): string => `ssh://${user}@127.0.0.1:${sshd.port}`;
const as = (user: string, words: string, stdin?: string): Promise<string> =>
  done(instance, `-H ${at(user)} ${words}`, { env, ...(stdin === undefined ? {} : { stdin }) });
const refusedAs = (user: string, words: string, status: number): Promise<string> =>
  refused(instance, `-H ${at(user)} ${words}`, { env, status });
const ssh = (...words: string[]): Promise<CommandOutcome> =>
  run([sshd.ssh, '-p', String(sshd.port), ...words], instance.environment);

function ownImage(user: string, uid: number, file: string): string {
  const path = join(home(user), file);
  makeImage(path, 'qcow2', '64M');
  chownSync(path, uid, uid);
  chmodSync(path, 0o600);
  return path;
}

/** A command that goes on, and what it has printed. */
class Running implements AsyncDisposable {
  readonly child: ChildProcess;
  readonly ended: Promise<number | null>;
  text = '';
  #wake = (): void => undefined;
  constructor(user: string, words: string) {
    const [program = '', ...first] = instance.program;
    this.child = spawn(program, [...first, '-H', at(user), ...words.split(' ')], {
      env: { ...instance.environment, ...env },
    });
    for (const stream of [this.child.stdout, this.child.stderr])
      stream?.on('data', (piece: Buffer) => {
        this.text += piece.toString('latin1');
        this.#wake();
      });
    this.ended = new Promise((settle) => {
      this.child.once('close', (status) => {
        settle(status);
        this.#wake();
      });
    });
  }
  async says(wanted: RegExp, limitMs = 90_000): Promise<void> {
    const timer = setTimeout(() => this.child.kill('SIGKILL'), limitMs);
    while (!wanted.test(this.text)) {
      if (this.child.exitCode !== null || this.child.signalCode !== null)
        throw new Error(`it ended without ${String(wanted)}: ${this.text}`);
      await new Promise<void>((settle) => (this.#wake = settle));
    }
    clearTimeout(timer);
  }
  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill('SIGKILL');
    await this.ended;
  }
}

for (const user of ['vera', 'remo'] as const) {
  const uid = user === 'vera' ? vera : remo;
  const name = `web-${user}`;

  test(`${user}: define with an own file, start, console both ways, events, logs, stop: as that user`, async () => {
    const disk = ownImage(user, uid, 'root.qcow2');
    for (const file of ['vmlinuz', 'initrd'] as const) {
      copyFileSync(
        file === 'vmlinuz' ? instance.guest.kernel : instance.guest.initrd,
        join(home(user), file),
      );
      chownSync(join(home(user), file), uid, uid);
    }
    const guest = {
      ...instance.guest,
      kernel: join(home(user), 'vmlinuz'),
      initrd: join(home(user), 'initrd'),
    };
    const defined = await as(user, 'define -', demoMachine({ name, guest, disk }));
    assert.match(defined, /may read and write .*root\.qcow2 with your rights/);
    assert.match(
      await as(user, 'info'),
      new RegExp(`host +${at(user)}[\\s\\S]*${user} \\(uid ${uid}\\), owner`),
    );
    await using events = new Running(user, 'events');
    // Nothing says that the stream is open: something happens until it is seen.
    for (let times = 0; !events.text.includes('changed'); times += 1) {
      assert.ok(times < 50, events.text);
      await as(user, `set ${name} description=${times}`);
    }
    await as(user, `start ${name}`);
    await events.says(new RegExp(`${name}[^\\n]*started|started[^\\n]*${name}`));
    await using console = new Running(user, `console ${name}`);
    await console.says(/ready[\s\S]*# /);
    console.child.stdin?.write('echo $((40 + 2))-seen; seq 100000; echo all-$((1 + 1))\n');
    await console.says(/42-seen[\s\S]*99999[\s\S]*all-2/);
    await using logs = new Running(user, `logs -f ${name}`);
    await logs.says(/started|start/);
    assert.equal((JSON.parse(await as(user, 'claims --json')) as unknown[]).length, 3);
    await as(user, `unclaim ${name} ${disk}`);
    assert.match(await as(user, `claim ${name} ${disk} --rw`), /claimed/);
    const history = await done(instance, `history ${name}`);
    assert.match(history, new RegExp(user));
    await as(user, `stop ${name}`);
    assert.equal(await console.ended, 0);
    assert.match(await as(user, 'list'), new RegExp(`${name} +stopped`));
    assert.deepEqual(remains(instance, name), []);
    assert.equal(statSync(disk).uid, uid);
  });
}

test('a user whom the policy gives nothing is refused as on the host itself', async () => {
  assert.match(await refusedAs('fred', 'list', 4), /./);
  assert.match(await refusedAs('fred', 'start web-vera', 4), /./);
  // remo owns another machine, and vera's is absent.
  assert.match(await refusedAs('remo', 'start web-vera', 3), /web-vera/);
});

test('an administrator lets a machine start with the other host, its owner alone cannot, and takes it back', async () => {
  const register = join(instance.paths.brokerState, 'autostart.json');
  for (const user of ['vera', 'remo'] as const)
    assert.match(await refusedAs(user, `autostart on web-${user}`, 4), /administrators/);
  assert.equal(existsSync(register), false);
  // An account that has no shell there, and the broker's socket through ssh.
  assert.match(await as('anna', 'autostart on web-vera'), /web-vera: starts with the host/);
  assert.match(await as('vera', 'autostart list'), /web-vera/);
  assert.match(readFileSync(register, 'utf8'), new RegExp(`"web-vera"[^}]*${anna}`));
  assert.match(await as('vera', 'autostart off web-vera'), /no longer starts/);
  assert.doesNotMatch(readFileSync(register, 'utf8'), /web-vera/);
});

test('many calls side by side are one ssh process', async () => {
  const before = connections();
  await as('vera', 'list');
  assert.equal(connections() - before, 1);
  const names = Array.from({ length: 20 }, (_, index) => `many-${index}`);
  for (const name of names) await as('vera', 'define -', `name: ${name}\naccel: tcg\nmemory: 32MiB\n`);
  const start = connections();
  await as('vera', 'rm --yes many-*');
  assert.equal(connections() - start, 1);
});

const connections = (): number => readFileSync(sshd.log, 'utf8').match(/Accepted publickey/g)?.length ?? 0;

test('a viewer of this host sees the screen of a machine there', async () => {
  await as('remo', 'define -', 'name: screen\naccel: tcg\nmemory: 32MiB\nvnc: true\n');
  await as('remo', 'start screen');
  await using shown = new Running('remo', 'vnc screen');
  await shown.says(/vnc:\S+\n/);
  for (let times = 0; times < 2; times += 1) {
    using viewer = await RfbViewer.open(shown.text.trim());
    for (let lit = 0; lit === 0; lit = (await viewer.screen()).lit)
      assert.equal(viewer.socket.destroyed, false);
    viewer.socket.destroy();
    await new Promise((settle) => setTimeout(settle, 300));
  }
  await as('remo', 'kill screen');
});

test('paths are of the other host: relative ones are refused, files that define names are read here', async () => {
  assert.match(await refusedAs('vera', 'claim web-vera root.qcow2', 2), /is relative.*absolute/);
  assert.match(await refusedAs('vera', 'disk info root.qcow2', 2), /is relative.*absolute/);
  assert.match(await refusedAs('vera', 'define /nonexistent/web.yaml', 1), /cannot be read/);
});

test('an image is made there, as a file of the user; with --sockets-only none is', async () => {
  const path = join(home('vera'), 'new.qcow2');
  await as('vera', `disk create ${path} 10MiB`);
  const { uid, mode } = statSync(path);
  assert.deepEqual([uid, mode & 0o777], [vera, 0o600]);
  assert.match(await refusedAs('vera', `disk create ${path} 10MiB`, 1), /is there already/);
  assert.match(await as('vera', `disk info ${path}`), /10/);
  const other = join(home('remo'), 'new.qcow2');
  await refusedAs('remo', `disk create ${other} 10MiB`, 4);
  assert.equal(existsSync(other), false);
  assert.deepEqual(JSON.parse(await as('remo', 'claims --json')).length, 3);
});

test('a command runs in a throwaway machine there, as the user that ssh let in', async () => {
  const path = ownImage('vera', vera, 'base.qcow2');
  const { kernel, initrd, cmdline } = addGuestRunner(
    instance.guest,
    join(instance.paths.images, 'initrd-runner.cpio'),
  );
  const words = ['run', path, '--kernel', kernel, '--initrd', initrd, '--cmdline', cmdline];
  const outcome = await instance.qward(
    ['-H', at('vera'), ...words, '--memory', '144MiB', '--', 'sh', '-c', 'cat; exit 6'],
    { env, stdin: 'over ssh\n', timeoutMs: 150_000 },
  );
  assert.deepEqual([outcome.status, outcome.stdout], [6, 'over ssh\n'], outcome.stderr);
  assert.deepEqual(await throwawaysLeft(instance), []);
  assert.match(await refusedAs('vera', 'run debian-12 true', 2), /"debian-12" is relative.*absolute/);
});

test('what needs more of the host than its sockets runs there, with the files of the account there', async () => {
  const store = join(home('vera'), '.local/share/qward/images');
  assert.match(await as('vera', 'image list'), /[Nn]o image/);
  const source = ownImage('vera', vera, "it's $HOME.qcow2");
  const sha256 = createHash('sha256').update(readFileSync(source)).digest('hex');
  const added = await instance.qward(['-H', at('vera'), 'image', 'add', 'mine', source, '--sha256', sha256], {
    env,
    timeoutMs: 120_000,
  });
  assert.equal(added.status, 0, added.stderr);
  assert.equal(statSync(join(store, 'mine.qcow2')).uid, vera);
  assert.deepEqual(
    (JSON.parse(await as('vera', 'image list --json')) as { name: string }[]).map(({ name }) => name),
    ['mine'],
  );
  assert.match(
    await as('vera', 'create made --image mine --user root --network none --no-start'),
    /made: created/,
  );
  assert.match(await as('vera', 'list -q'), /^made$/m);
  assert.match(await refusedAs('vera', 'ssh made', 1), /machine "made" is stopped/);
  await as('vera', 'rm made');
  assert.match(await as('vera', 'image rm mine'), /mine: removed/);
  const draft = join(home('vera'), 'draft.json');
  writeFileSync(draft, '{ "nonsense": 1 }');
  assert.match(await refusedAs('vera', `policy check ${draft}`, 1), /nonsense/);
});

test('an account with the sockets alone is told so, and nothing runs there', async () => {
  for (const words of [
    'image list',
    'create web --image x',
    'ssh web',
    'host status',
    'policy check',
    'list --all-instances',
  ])
    assert.match(
      await refusedAs('remo', words, 4),
      /needs more of ssh:\S+ than its sockets[\s\S]*has the sockets alone/,
      words,
    );
  assert.doesNotMatch(readFileSync(sshd.log, 'utf8'), /remo[^\n]*image list/);
});

test('the restricted account has no shell, no command, no sftp, no terminal', async () => {
  for (const words of [['id'], ['/bin/sh', '-c', 'id'], ['qward', 'list'], ['-s', 'sftp'], []]) {
    const flags = words.filter((word) => word.startsWith('-') && word !== '-c');
    const command = words.filter((word) => !flags.includes(word));
    const { stdout } = await ssh(...flags, 'remo@127.0.0.1', ...command);
    // What it gets instead, whatever it asked for.
    assert.match(stdout, /^qward-dial 1 \{"uid":910000022,"files":false\}\n$/, words.join(' '));
  }
  const terminal = await ssh('-tt', 'remo@127.0.0.1', 'id');
  assert.match(terminal.stderr, /PTY allocation request failed/);
  assert.doesNotMatch(terminal.stdout, /uid=/);
  const open = await ssh('vera@127.0.0.1', 'id', '-u');
  assert.equal(open.stdout, `${vera}\n`);
});

test('the restricted account forwards nothing, in either direction', async () => {
  const socket = join(instance.directory, 'ssh/forward.sock');
  const local = spawn(sshd.ssh, [
    '-p',
    String(sshd.port),
    '-o',
    'ExitOnForwardFailure=yes',
    '-N',
    '-L',
    `${socket}:${instance.paths.apiSocket}`,
    'remo@127.0.0.1',
  ]);
  try {
    while (!existsSync(socket)) await new Promise((settle) => setTimeout(settle, 20));
    const bytes = await new Promise<string>((settle) => {
      let text = '';
      const peer = connect(socket, () => peer.write('GET /v1/info HTTP/1.1\r\nHost: qward\r\n\r\n'));
      peer.on('data', (piece: Buffer) => (text += piece.toString()));
      peer.on('error', () => settle(text));
      peer.on('close', () => settle(text));
    });
    assert.equal(bytes, '');
  } finally {
    local.kill();
  }
  const stdio = await ssh('-W', '127.0.0.1:22', 'remo@127.0.0.1');
  assert.notEqual(stdio.status, 0);
  assert.match(stdio.stderr, /prohibited/);
  const remote = await ssh('-o', 'ExitOnForwardFailure=yes', '-N', '-R', '0:127.0.0.1:1', 'remo@127.0.0.1');
  assert.notEqual(remote.status, 0);
  assert.match(remote.stderr, /remote port forwarding failed/);
});

test("ssh's own words come through, with exit status 5", async () => {
  const unknown = await refused(instance, `-H ssh://nobody@127.0.0.1:${sshd.port} list`, { env, status: 5 });
  assert.match(unknown, /Permission denied[\s\S]*ssh could not connect/);
  assert.match(
    await refused(instance, '-H ssh://127.0.0.1:1 list', { env, status: 5 }),
    /Connection refused/,
  );
  const noKey = await refused(instance, `-H ${at('vera').replace('127.0.0.1', 'localhost')} list`, {
    env,
    status: 5,
  });
  assert.match(noKey, /Host key verification failed/);
  const noSsh = { PATH: '/nonexistent' };
  assert.match(await refused(instance, `-H ${at('vera')} list`, { env: noSsh, status: 5 }), /openssh-client/);
});

test('QWARD_HOST names the host; a socket that is named here wins', async () => {
  const here = { env: { ...env, QWARD_HOST: at('vera') } };
  assert.match(await done(instance, 'info', here), /vera \(uid/);
  assert.match(await done(instance, `--socket ${instance.paths.apiSocket} info`, here), /root \(uid 0/);
  assert.match(await done(instance, 'version', here), /^qward /);
  assert.match(await refused(instance, `-H x --socket /y list`, { env, status: 2 }), /together/);
  assert.equal(await done(instance, '__complete machines', here), 'web-vera');
});

test('no word of the host becomes an option of ssh, or anything of a shell', async () => {
  for (const host of [
    '-oProxyCommand=touch',
    'ssh://-oProxyCommand=x',
    'ssh://a@-x',
    'a;id',
    '$(id)',
    'ssh://a b',
    "a'b",
    'h/`id`',
  ])
    assert.match(await refused(instance, ['-H', host, 'list'], { env, status: 2 }), /is not a host/, host);
});

test('when ssh is killed in the middle of a console, the command ends with status 5', async () => {
  await as('vera', 'start web-vera');
  await using console = new Running('vera', 'console web-vera');
  await console.says(/ready[\s\S]*# /);
  const children = readFileSync(`/proc/${console.child.pid}/task/${console.child.pid}/children`, 'utf8');
  process.kill(Number(children.trim().split(' ')[0]), 'SIGKILL');
  assert.equal(await console.ended, 5);
  assert.match(await as('vera', 'list'), /web-vera +running/);
  await as('vera', 'kill web-vera');
});
