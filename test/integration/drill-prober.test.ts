/** The prober and what it loads: its bytes are its listing, and its filter is the one that QEMU gives itself. */
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { test } from 'node:test';
import prober from '../../resources/drill/prober.json' with { type: 'json' };
import { call } from '../../src/audit/drill/calls.ts';
import { compileQemuDenials, denialOf } from '../../src/audit/drill/qemu-denials.ts';
import { compileScript, markBytes, room } from '../../src/audit/drill/script.ts';

const elf = Buffer.from(prober.elf, 'base64');
/** ELF header and three program headers of elf(5). */
const headerBytes = 64 + 3 * 56;

function inDirectory<Result>(work: (directory: string) => Result): Result {
  const directory = mkdtempSync(join(tmpdir(), 'qward-prober-'));
  try {
    return work(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

test('the prober is the bytes of its listing behind the headers that it names', () => {
  const code = Buffer.concat(prober.listing.map(({ bytes }) => Buffer.from(bytes, 'hex')));
  assert.deepEqual(elf.subarray(headerBytes), code);
  assert.equal(elf.readUInt16LE(56), 3);
  assert.equal(elf.readBigUInt64LE(24), BigInt(prober.loadAddress + headerBytes));
  const segments = [0, 1, 2].map((index) => {
    const at = 64 + index * 56;
    return [
      elf.readUInt32LE(at + 4),
      Number(elf.readBigUInt64LE(at + 16)),
      Number(elf.readBigUInt64LE(at + 40)),
    ];
  });
  // Read and execute; read and write; a stack that is read and written.
  assert.deepEqual(segments, [
    [5, prober.loadAddress, elf.length],
    [6, prober.memoryAddress, prober.memoryBytes],
    [6, 0, 0],
  ]);
});

test('the listing assembles to those bytes', () => {
  // A host without binutils has the bytes of each line in the listing; the test above holds them together.
  if (spawnSync('as', ['--version']).status !== 0) return;
  inDirectory((directory) => {
    const [source, object, binary] = ['p.S', 'p.o', 'p.bin'].map((name) => join(directory, name)) as [
      string,
      string,
      string,
    ];
    writeFileSync(source, `${prober.listing.map(({ assembly }) => assembly).join('\n')}\n`);
    execFileSync('as', ['--64', source, '-o', object]);
    execFileSync('objcopy', ['-O', 'binary', '-j', '.text', object, binary]);
    assert.deepEqual(readFileSync(binary), elf.subarray(headerBytes));
  });
});

const ptrace = { call: 101, seize: 0x4206, interrupt: 0x4207, detach: 17, filter: 0x420c };
const waitAll = 0x4000_0000;
const filterBytes = 4096 * 8;

/** The only filter of a process, read by a prober that traces it as root (ptrace(2), PTRACE_SECCOMP_GET_FILTER). */
function filterOf(pid: number): Buffer {
  const filter = room(filterBytes);
  const trace = (request: number, data: Parameters<typeof call>[1] = 0) => ({
    call: ptrace.call,
    arguments: [request, pid, 0, data],
  });
  const script = compileScript([
    [
      trace(ptrace.seize),
      trace(ptrace.interrupt),
      { call: 61, arguments: [pid, 0, waitAll, 0] },
      trace(ptrace.filter, filter),
      trace(ptrace.detach),
      call('write', 1, filter, filterBytes),
    ],
  ]);
  return inDirectory((directory) => {
    const program = join(directory, 'prober');
    writeFileSync(program, elf);
    chmodSync(program, 0o700);
    const { stdout } = spawnSync(program, script, { maxBuffer: 1024 * 1024 });
    const records = stdout.subarray(markBytes + filterBytes);
    const length = Number(records.readBigInt64LE(3 * 80 + 64));
    assert.ok(length > 0, `PTRACE_SECCOMP_GET_FILTER: ${length}`);
    return stdout.subarray(markBytes, markBytes + length * 8);
  });
}

interface Data {
  readonly number: number;
  readonly architecture?: number;
  readonly arguments?: readonly bigint[];
}

/** What a classic BPF program answers (linux/filter.h): the instructions that libseccomp uses. */
function answer(
  filter: Buffer,
  { number, architecture = 0xc000_003e, arguments: values = [] }: Data,
): number {
  const data = Buffer.alloc(64);
  data.writeUInt32LE(number, 0);
  data.writeUInt32LE(architecture, 4);
  for (const [index, value] of values.entries())
    data.writeBigUInt64LE(BigInt.asUintN(64, value), 16 + index * 8);
  const scratch: number[] = [];
  for (let at = 0, accumulator = 0; ; at++) {
    const code = filter.readUInt16LE(at * 8);
    const [yes, no, k] = [
      filter.readUInt8(at * 8 + 2),
      filter.readUInt8(at * 8 + 3),
      filter.readUInt32LE(at * 8 + 4),
    ];
    const jump = (taken: boolean): void => void (at += taken ? yes : no);
    if (code === 0x20) accumulator = data.readUInt32LE(k);
    else if (code === 0x15) jump(accumulator === k);
    else if (code === 0x25) jump(accumulator > k);
    else if (code === 0x35) jump(accumulator >= k);
    else if (code === 0x45) jump((accumulator & k) !== 0);
    else if (code === 0x54) accumulator = (accumulator & k) >>> 0;
    else if (code === 0x02) scratch[k] = accumulator;
    else if (code === 0x60) accumulator = scratch[k] ?? 0;
    else if (code === 0x05) at += k;
    else if (code === 0x06) return k;
    else throw new Error(`instruction ${code.toString(16)}`);
  }
}

test('the denials that the prober loads are those that a live QEMU has loaded', async () => {
  const denials = 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny';
  const argv = ['-S', '-M', 'none', '-nodefaults', '-display', 'none', '-sandbox', denials];
  const qemu = spawn('qemu-system-x86_64', argv, { stdio: 'ignore' });
  try {
    await once(qemu, 'spawn');
    const filtered = (): boolean => /^Seccomp:\t2$/m.test(readFileSync(`/proc/${qemu.pid}/status`, 'latin1'));
    for (const giveUpAt = performance.now() + 20_000; !filtered(); await wait(10))
      assert.ok(performance.now() < giveUpAt, 'QEMU loads no filter');
    const [theirs, ours] = [filterOf(qemu.pid ?? 0), compileQemuDenials()];
    const thread = 0x3d_0f00n;
    const first = [0n, -1n, thread, ...Array.from({ length: 33 }, (_, bit) => thread ^ (1n << BigInt(bit)))];
    const second = [...Array.from({ length: 8 }, (_, policy) => BigInt(policy)), (1n << 32n) | 5n];
    const differing: string[] = [];
    for (const number of [...Array(1024).keys(), 0x4000_0000, 0x4000_0038, 0x4fff_ffff])
      for (const left of number === 56 ? first : [0n, -1n])
        for (const right of number === 144 ? second : [0n]) {
          const data = { number, arguments: [left, right] };
          const [wanted, got] = [answer(theirs, data), answer(ours, data)];
          if (wanted !== got) differing.push(`${number}(${left}, ${right}): ${wanted}, not ${got}`);
        }
    assert.deepEqual(differing, []);
    assert.equal(
      answer(ours, { number: 0, architecture: 0x4000_0003 }),
      answer(theirs, { number: 0, architecture: 0x4000_0003 }),
    );
  } finally {
    const gone = once(qemu, 'exit');
    if (qemu.kill('SIGKILL')) await gone;
  }
});

test('what the judge takes for deadly is what the filter kills', () => {
  const filter = compileQemuDenials();
  const kills = [0, 0x8000_0000];
  for (const number of Array(512).keys())
    for (const first of [0, 17, 0x3d_0f00, 0x1000_0011])
      assert.equal(
        denialOf({ call: number, arguments: [first, 3] })?.startsWith('kill') === true,
        kills.includes(answer(filter, { number, arguments: [BigInt(first), 3n] })),
        `call ${number} of ${first}`,
      );
});
