/**
 * qward from another host, over the host's own sshd as Debian configures it and the snippet that the package brings: for a user with a
 * shell, and for one that has qward and nothing else.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { installedHost } from '../suite-host.ts';
import { bringProgram, quoted } from '../world.ts';

/** As the head of the snippet says it, with keys of root, who asks. */
const accounts = `ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519
useradd --create-home --shell /bin/bash vera
install -d -o vera -g vera -m 0700 /home/vera/.ssh
install -o vera -g vera -m 0600 /root/.ssh/id_ed25519.pub /home/vera/.ssh/authorized_keys
cp /usr/share/doc/qward/examples/qward-remote.conf /etc/ssh/sshd_config.d/
addgroup --system qward-remote
useradd --shell /bin/sh --home-dir /nonexistent --no-create-home --groups qward-remote remo
install -d -m 0755 /etc/ssh/qward-remote && install -m 0644 /root/.ssh/id_ed25519.pub /etc/ssh/qward-remote/remo
sed -i 's/"define": {}/"define": {"users": ["vera", "remo"]}/' /etc/qward/policy.json
qward policy check
systemctl unmask ssh.service && systemctl start ssh.service && sshd -t
ssh-keyscan -t ed25519 127.0.0.1 >/root/.ssh/known_hosts
install -o vera -g vera -m 0600 /lab/vmlinuz /lab/initrd.cpio /home/vera/`;

const host = await installedHost({
  bring: (directory) => bringProgram(directory, 'see-screen'),
  prepare: `mkdir -p -m 0700 /root/.ssh\n${accounts}`,
});
const at = (user: string): string => `ssh://${user}@127.0.0.1`;
/** Of its own accord the qward there would mean the session of who has a home. */
const as = (user: string, words: string): string => `qward -H ${at(user)} --system ${words}`;

test('a machine of a user there, with files in a home that nobody else reads: defined, started, watched, ended', async () => {
  assert.match(await host.demand(as('vera', 'info')), /vera \(uid \d+\), owner/);
  await host.demand(as('vera', 'disk create /home/vera/web.qcow2 64MiB'), 120_000);
  const definition = `name: web
accel: tcg
memory: 128MiB
disks: [{id: root, path: /home/vera/web.qcow2, format: qcow2}]
boot: {kernel: /home/vera/vmlinuz, initrd: /home/vera/initrd.cpio, cmdline: console=ttyS0 quiet panic=-1}`;
  await host.demand(`chmod 0700 /home/vera\n${as('vera', 'define -')} <<'END'\n${definition}\nEND`);
  await host.demand(as('vera', 'start web'), 120_000);
  await host.demand(as('vera', 'audit web'));
  const typed = `for i in $(seq 60); do ${as('vera', 'console --log web')} | grep -q 'qward-demo: ready' && break; sleep 1; done
(sleep 3; printf 'echo $((40 + 2))-seen\\n'; sleep 10) | timeout 60 ${as('vera', 'console web')} >/run/console 2>&1
cat /run/console`;
  assert.match(await host.demand(typed, 240_000), /42-seen/);
  assert.match(await host.demand('qward history web'), /vera/);
  assert.equal(
    (await host.demand('stat -c %U:%a /home/vera/web.qcow2 /home/vera')).trim(),
    'vera:600\nvera:700',
  );
  assert.match(await host.demand(as('vera', 'stop web'), 120_000), /shut down/);
  assert.match(await host.demand(as('vera', 'list')), /web +stopped/);
});

test('what needs more of the host than its sockets runs there for who has a shell, and is refused to who has not', async () => {
  assert.match(await host.demand(as('vera', 'image list')), /[Nn]o image/);
  const { status, output } = await host.run(as('remo', 'image list'));
  assert.notEqual(status, 0);
  assert.match(output, /has the sockets alone/);
});

test('a viewer here sees the screen of a machine there', async () => {
  await host.demand(
    `${as('remo', 'define -')} <<'END'\nname: screen\naccel: tcg\nmemory: 32MiB\nvnc: true\nEND\n${as('remo', 'start screen')}`,
    120_000,
  );
  const seen = await host.demand(
    `${as('remo', 'vnc --no-viewer screen')} >/run/vnc 2>&1 & job=$!
for i in $(seq 60); do grep -q vnc:// /run/vnc && break; sleep 1; done
timeout 60 /usr/lib/qward/node /lab/see-screen.js "$(grep -o 'vnc://[0-9.:]*' /run/vnc)"; status=$?
kill $job; wait $job; cat /run/vnc; exit $status`,
    180_000,
  );
  assert.match(seen, /^\d+x\d+, [1-9]\d* bytes lit$/m);
  assert.match(await host.demand('qward history screen'), /vnc/);
  await host.demand(`${as('remo', 'kill screen')} && ${as('remo', 'rm screen')}`);
});

test('the account with the sockets alone has no shell, no command, no sftp, no terminal, no forwarding', async () => {
  for (const command of ['id', "/bin/sh -c 'id'", 'qward list', '-s sftp', '']) {
    const { output } = await host.run(
      command.startsWith('-s')
        ? `ssh -s remo@127.0.0.1 sftp`
        : `ssh remo@127.0.0.1 ${command && quoted(command)}`,
    );
    assert.match(output, /^qward-dial 1 \{"uid":\d+,"files":false\}$/m, command);
    assert.doesNotMatch(output, /uid=/);
  }
  assert.match((await host.run('ssh -tt remo@127.0.0.1 id')).output, /PTY allocation request failed/);
  const forward = await host.run(
    `timeout 20 ssh -o ExitOnForwardFailure=yes -N -R 127.0.0.1:7000:127.0.0.1:22 remo@127.0.0.1`,
  );
  assert.match(forward.output, /remote port forwarding failed/);
  assert.match(await host.demand('ssh vera@127.0.0.1 id -un'), /^vera$/m);
});

test('an account that the policy gives nothing is refused as on the host itself, and others’ machines are absent', async () => {
  const { status, output } = await host.run(as('remo', 'start web'));
  assert.equal(status, 3, output);
  assert.match(output, /web/);
});
