/** Virtual CPUs and memory that come to a running guest and go again, with every wall up throughout and in the room of its start alone. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { startWithAccounts } from '../support/accounts.ts';
import { agentShell, untilAgentAnswers } from '../support/agent-shell.ts';
import { demoMachine } from '../support/demo-machine.ts';
import { consoleShows, define, defineBare, done, processesOf, refused } from '../support/driver.ts';
import { addGuestAgent } from '../support/guest-agent.ts';

const alice = 910_000_033;
const instance = await startWithAccounts([{ name: 'alice', uid: alice }]);
after(() => instance[Symbol.asyncDispose]());
const room = ['cpu: { count: 1, maximum: 4 }', 'memoryMaximum: 1GiB', 'memorySlots: 2'];
const guest = addGuestAgent(instance.guest, join(instance.paths.images, 'initrd-agent.cpio'));

/** A request that cannot be right, or a definition that would not be. */
const wrong = { status: 2 };
const shell = (script: string): Promise<string> => agentShell(instance, 'shop', script);
const audited = (name = 'shop'): Promise<string> => done(instance, `audit ${name}`);
const cpusInUse = (): Promise<string> => shell('nproc');
/** In blocks of 128 MiB. */
const blocks = async (): Promise<number> =>
  Number(await shell('ls -d /sys/devices/system/memory/memory[0-9]* | wc -l'));
const inUse = 'grep -l online /sys/devices/system/memory/memory*/state | wc -l';

/** Processors of the host that the thread of a virtual CPU may run on. */
function allowedCpus(machine: string, cpu: number): string | undefined {
  const [thread = ''] = processesOf(instance, machine).flatMap((pid) =>
    readdirSync(`/proc/${pid}/task`)
      .map((tid) => `/proc/${pid}/task/${tid}`)
      .filter((path) => readFileSync(`${path}/comm`, 'utf8').startsWith(`CPU ${cpu}/`)),
  );
  return /^Cpus_allowed_list:\t(.*)$/m.exec(readFileSync(`${thread}/status`, 'utf8'))?.[1];
}

before(async () => {
  const more = ['agent: true', ...room].join('\n');
  await define(
    instance,
    demoMachine({ name: 'shop', guest, memory: '256MiB', switches: 'qward.qemu-ga', more }),
  );
  await done(instance, 'start shop');
  await consoleShows(instance, 'shop');
  await untilAgentAnswers(instance, 'shop');
});

test('the guest uses CPUs that came, and under TCG they stay', async () => {
  assert.equal(await cpusInUse(), '1');
  assert.match(await done(instance, 'attach shop cpus 2'), /^shop: 2 CPUs are attached, until the machine/);
  await shell('for cpu in /sys/devices/system/cpu/cpu[1-9]/online; do echo 1 >$cpu; done');
  assert.equal(await cpusInUse(), '3');
  // Nested virtualisation is off on what came as well.
  assert.equal(await shell("grep -c -w -E 'vmx|svm' /proc/cpuinfo || true"), '0');
  assert.match(await audited(), /seccomp +ok .*filters on each of \d+ threads/);
  assert.match(await done(instance, 'attach shop'), /^CPUs: 3 of 4, cpu\.1, cpu\.2$/m);
  assert.match(await done(instance, 'status shop'), /3 CPUs/);
  assert.match(
    await refused(instance, 'attach shop cpus 2', wrong),
    /3 of 4 virtual CPUs: there is room for 1 more/,
  );
  assert.match(
    await refused(instance, 'detach shop cpu.1', wrong),
    /cpu "cpu\.1" of machine "shop" stays[^]*damages the memory of QEMU/,
  );
  await done(instance, 'attach shop cpus 1');
  assert.match(await done(instance, 'attach shop'), /^CPUs: 4, cpu\.1, cpu\.2, cpu\.3$/m);
  await audited();
});

test('the guest uses memory that came, the next manager knows of it, and the guest gives it back', async () => {
  const before = await blocks();
  await shell('echo online_movable >/sys/devices/system/memory/auto_online_blocks');
  const online = Number(await shell(inUse));
  assert.match(await done(instance, 'attach shop memory 256MiB'), /^shop: 256MiB of memory is attached/);
  assert.equal(await blocks(), before + 2);
  assert.equal(Number(await shell(inUse)), online + 2);
  assert.match(await done(instance, 'attach shop'), /^memory: 512MiB of 1GiB, memory\.0 \(256MiB\)$/m);
  assert.match(await done(instance, 'list'), /512MiB/);
  assert.match(await refused(instance, 'attach shop memory 100MiB', wrong), /multiple of 128MiB/);
  assert.match(await refused(instance, 'attach shop memory 1GiB', wrong), /room for 512MiB more at most/);
  await audited();
  process.kill(instance.daemon('manager'), 'SIGKILL');
  await instance.up();
  assert.match(await done(instance, 'attach shop'), /memory\.0 \(256MiB\)/);
  await done(instance, 'attach shop memory 128MiB');
  assert.match(await refused(instance, 'attach shop memory 128MiB', wrong), /all 2 places are taken/);
  assert.match(
    await refused(instance, 'save shop'),
    /CPUs or memory were attached.*\n.*`qward attach` shows/,
  );
  for (const id of ['memory.1', 'memory.0']) {
    await done(instance, `detach shop ${id} --timeout 60s`);
    await audited();
  }
  assert.equal(await blocks(), before);
  assert.match(await done(instance, 'monitor shop info memdev'), /^(?!.*hot\.)/s);
});

test('with --persist the definition has as much as the machine has then, or nothing is attached', async () => {
  await done(instance, 'attach shop memory 128MiB --persist');
  assert.match(await done(instance, 'show shop'), /^memory: 384MiB$/m);
  assert.match(await refused(instance, 'attach shop memory 640MiB --persist', wrong), /leaves no room/);
  assert.match(await done(instance, 'attach shop'), /^memory: 384MiB of 1GiB/m);
  await done(instance, 'detach shop memory.0 --persist --timeout 60s');
  assert.match(await done(instance, 'show shop'), /^memory: 256MiB$/m);
});

test('a guest that does not answer keeps what came, and is told of', async () => {
  await defineBare(instance, 'deaf', ...room);
  await done(instance, 'start deaf');
  await done(instance, 'attach deaf cpus 1');
  await done(instance, 'attach deaf memory 128MiB');
  assert.match(
    await refused(instance, 'detach deaf memory.0 --timeout 300ms'),
    /the guest of machine "deaf" did not let go of memory "memory\.0" within 0\.3 s; it stays attached/,
  );
  assert.match(await done(instance, 'attach deaf'), /cpu\.1$.*memory\.0/ms);
  await audited('deaf');
  await done(instance, 'kill deaf');
});

test('where the second of two CPUs does not come, the first is told of, pinned and audited', async () => {
  const pinning = "{ vcpus: [{ vcpu: 1, cpus: '0' }] }";
  // Another device has the name that the second is to have.
  await defineBare(
    instance,
    'half',
    `cpu: { count: 1, maximum: 3, pinning: ${pinning} }`,
    "qemu: { args: ['-device', 'virtio-rng-pci,id=cpu.2'] }",
  );
  await done(instance, 'start half');
  const words = await refused(instance, 'attach half cpus 2');
  assert.match(words, /^cpu\.1 attached, but machine "half": cpu\.2 was not attached: Duplicate device ID/m);
  assert.equal(allowedCpus('half', 1), '0');
  await audited('half');
  await done(instance, 'kill half');
});

test('the thread of a CPU that came runs where the definition says, and the drill finds no way out', async () => {
  const pinning = "{ vcpus: [{ vcpu: 1, cpus: '0' }] }";
  await defineBare(
    instance,
    'pinned',
    `cpu: { count: 1, maximum: 2, pinning: ${pinning} }`,
    ...room.slice(1),
  );
  await done(instance, 'start pinned');
  await done(instance, 'attach pinned cpus 1');
  await done(instance, 'attach pinned memory 128MiB');
  assert.equal(allowedCpus('pinned', 1), '0');
  await audited('pinned');
  await done(instance, 'kill pinned');
  assert.match(await done(instance, 'drill pinned'), /^pinned +all \d+ attempts blocked/);
});

test('without room nothing comes', async () => {
  await defineBare(instance, 'small');
  await done(instance, 'start small');
  assert.match(
    await refused(instance, 'attach small cpus 1', wrong),
    /1 of 1 virtual CPUs[^]*cpu: \{maximum: 2\}/,
  );
  assert.match(
    await refused(instance, 'attach small memory 128MiB', wrong),
    /without room for more[^]*memorySlots/,
  );
  await done(instance, 'kill small');
});

test('what there is room for counts in the quota of the owner from the definition on', async () => {
  const quota = (most: object): void =>
    instance.writePolicy({
      define: { users: ['alice'], groups: [] },
      quotas: [{ who: { users: ['alice'], groups: [] }, ...most }],
    });
  quota({ cpus: 3 });
  const stdin = ['name: hers', 'accel: tcg', 'memory: 64MiB', ...room, ''].join('\n');
  assert.match(
    await refused(instance, 'define -', { uid: alice, stdin, status: 4 }),
    /quota of user alice is 3 virtual CPUs; .* 4 virtual CPUs would be needed/,
  );
  quota({ memory: 512 * 1024 ** 2 });
  assert.match(
    await refused(instance, 'define -', { uid: alice, stdin, status: 4 }),
    /1024 MiB of memory would be needed/,
  );
});
