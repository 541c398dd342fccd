/**
 * From nothing to a prompt, by the package: on a host that has never seen qward an administrator installs it, and an ordinary user says one
 * command, with the catalogue's own name of an image. The image is of Debian's own packages, its boot loader, kernel, systemd and cloud-init run under KVM.
 * Where Debian's server would be, the host has one of its own. Some twenty minutes, as KVM itself is emulated.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import images from '../../resources/images.json' with { type: 'json' };
import { cloudImage } from '../../test/support/cloud-image.ts';
import { asUser, suiteHost } from '../suite-host.ts';
import { bringProgram, worldScript } from '../world.ts';

const listed = images.images.find(({ name }) => name === 'debian-12');
assert.ok(listed !== undefined);
const { url, checksums, algorithm } = listed;
const server = new URL(url).hostname;
/** Of anything that waits for the guest. */
const limitMs = 2_400_000;

/** What Debian's server has of the image, with a certificate of the lab's. */
async function bring(directory: string): Promise<void> {
  const mirror = join(directory, 'mirror');
  mkdirSync(mirror);
  const name = url.split('/').at(-1) ?? '';
  copyFileSync(await cloudImage((line) => console.log(line)), join(mirror, name));
  const sum = createHash(algorithm)
    .update(readFileSync(join(mirror, name)))
    .digest('hex');
  writeFileSync(join(mirror, checksums.split('/').at(-1) ?? ''), `${sum}  ${name}\n`);
  const options = `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=lab -addext subjectAltName=DNS:${server}`;
  const files = ['-keyout', join(mirror, 'key.pem'), '-out', join(mirror, 'cert.pem')];
  execFileSync('openssl', [...options.split(' '), ...files], { stdio: 'pipe' });
  await bringProgram(directory, 'image-mirror');
}

const prepare = `${worldScript}
useradd --create-home --shell /bin/bash ann
chmod 0700 /home/ann
usermod --append --groups kvm ann
loginctl enable-linger ann
echo '127.0.0.1 ${server}' >>/etc/hosts
# What is brought is root's alone.
install -m 0644 /lab/mirror/cert.pem /etc/ssl/lab.pem
modprobe kvm_amd
# The translator's SVM brings the host's kernel down where two CPUs run guests at the same time.
systemctl set-property user.slice AllowedCPUs=1`;

const host = await suiteHost({ bring, prepare, diskMib: 8192 });
const asAnn = (script: string): Promise<string> => host.demand(asUser('ann', script), limitMs);
const tls = 'export NODE_EXTRA_CA_CERTS=/etc/ssl/lab.pem';

/** What stays on a terminal: without colours, and each line as it was written last. */
const lastSeen = (output: string): string =>
  stripVTControlCharacters(output)
    .split(/\r*\n/)
    .map((line) => line.slice(line.lastIndexOf('\r') + 1))
    .join('\n');

test('the first command, the administrator’s: the package is installed', async () => {
  assert.notEqual((await host.run('command -v qward')).status, 0);
  await host.demand('DEBIAN_FRONTEND=noninteractive apt-get install --yes /lab/qward.deb', limitMs);
  assert.equal((await host.demand('systemctl --failed --no-legend --plain')).trim(), '');
  await host.demand('systemd-run --unit=mirror /usr/lib/qward/node /lab/image-mirror.js /lab/mirror');
});

test('the second, an ordinary user’s: from nothing to a prompt in a guest whose key is known', async () => {
  assert.equal((await asAnn('ls -A ~/.ssh ~/.cache ~/.local 2>/dev/null || true')).trim(), '');
  // On a terminal, as a person would: what is typed comes when the prompt is there.
  const typed = `${tls}
mkfifo keys
script --quiet --return --flush --command 'qward create web --image debian-12 --login' screen <keys >/dev/null &
exec 3>keys
until grep -aq 'debian@web:' screen; do kill -0 $! 2>/dev/null || break; sleep 2; done
echo 'echo I am $(id -un) of $(hostname), $(cat /sys/class/dmi/id/sys_vendor)' >&3
echo exit >&3
status=0; wait $! || status=$?
cat screen
exit $status`;
  const began = performance.now();
  const screen = lastSeen(await asAnn(typed));
  console.log(
    `from the command to the end of the login: ${Math.round((performance.now() - began) / 1000)} s`,
  );
  assert.match(screen, /web: created and started/);
  assert.match(screen, /debian@web:\S*\$ /);
  assert.match(screen, /\nI am debian of web, QEMU/);
  assert.doesNotMatch(screen, /authenticity|not known|Warning|password/i);
});

test('the guest is one of cloud-init’s, and its machine stands behind every wall that a user can have', async () => {
  // While the guest comes up, its sshd may close a connection before a word was said.
  const settled = `for i in $(seq 20); do
  qward ssh --wait 20m web 'cloud-init status --wait --long' && exit; sleep 5
done; exit 1`;
  assert.match(await asAnn(settled), /status: done[^]*DataSourceNoCloud/);
  const audit = JSON.parse(await asAnn('qward audit web --json')) as {
    readonly ok: boolean;
    readonly pid: number;
    readonly helpers?: readonly { readonly ok: boolean }[];
  };
  assert.ok(audit.ok);
  assert.deepEqual(
    (audit.helpers ?? []).map(({ ok }) => ok),
    [true],
  );
  const status = await host.demand(`cat /proc/${audit.pid}/status`);
  for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
    assert.match(status, new RegExp(`${set}:\\s0+\\n`));
  assert.match(await asAnn('qward list'), /^web +running/m);
  assert.match(await asAnn("qward ssh web 'curl -sS http://192.0.2.1/'"), /^a page of the world$/m);
  // Nothing of qward's on the host is root for it.
  assert.equal(
    (await host.demand(`ps -eo user=,args= | awk '$1 == "root" && $2 ~ /qward-(session|manager)/'`)).trim(),
    '',
  );
});
