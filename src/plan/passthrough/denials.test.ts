/** Denials as QEMU and the kernel word them, and the grant that each is answered with. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { definitionOf } from '../sample-facts.ts';
import { explainDenials, type Denial, type DenialSources } from './denials.ts';

const definition = definitionOf(`name: a
confinement:
  files: [{path: /srv/ro}, {path: /srv/rw, access: rw}]
`);
const why = (sources: Partial<DenialSources>): readonly Denial[] =>
  explainDenials({ log: [], kernel: [], signal: null, ...sources }, definition, ['/usr/share/qemu']);

const said: readonly (readonly [line: string, wanted: RegExp, cure: RegExp])[] = [
  [
    'qemu-system-x86_64: -chardev file,id=x,path=/srv/log/a: Unable to open logfile /srv/log/a: Read-only file system',
    /^file "\/srv\/log\/a" to be written$/,
    /files: \[\{path: "\/srv\/log\/a", access: rw\}\]/,
  ],
  [
    "qemu: could not load PC BIOS '/srv/none.bin': No such file or directory",
    /^file "\/srv\/none\.bin"$/,
    /files: \[\{path: "\/srv\/none\.bin", access: ro\}\]/,
  ],
  ["qemu: -drive file=/srv/ro/x: Could not open '/srv/ro/x': Permission denied", /x"$/, /access: rw/],
  [
    "qemu: Could not open '/srv/ro/gone': No such file or directory",
    /gone"$/,
    /granted by confinement\.files\[0\], and is not there/,
  ],
  [
    "qemu: Could not open '/srv/rw/closed': Permission denied",
    /closed"$/,
    /granted by confinement\.files\[1\]: look at its owner/,
  ],
  ["qemu: Could not open '/dev/hwrng': No such file or directory", /^device/, /devices: \["\/dev\/hwrng"\]/],
  [
    "qemu: Failed to connect to '/run/x.sock': No such file or directory",
    /^socket/,
    /sockets: \["\/run\/x\.sock"\]/,
  ],
  [
    'qemu: -gdb tcp::1: Failed to create a socket: Operation not permitted',
    /^a socket/,
    /namespaces: \{net: host\}/,
  ],
  ["qemu: could not load PC BIOS '/srv/none.bin'", /^file "\/srv\/none\.bin"$/, /access: ro\}/],
  ['qemu: something: Operation not permitted', /^a system call/, /seccomp: qemu/],
];

for (const [line, wanted, cure] of said)
  test(line, () => {
    const [denial, ...more] = why({ log: ['an ordinary line', line] });
    assert.deepEqual(more, []);
    assert.match(denial?.wanted ?? '', wanted);
    assert.match(denial?.cure ?? '', cure);
    assert.equal(denial?.said, line);
  });

const kernel: readonly (readonly [line: string, cure: RegExp])[] = [
  [
    'audit: type=1400 audit(1.2:3): apparmor="DENIED" operation="open" profile="qward-qemu" name="/srv/x" pid=1 comm="qemu" requested_mask="wc" denied_mask="wc"',
    /files: \[\{path: "\/srv\/x", access: rw\}\]/,
  ],
  [
    'audit: type=1400 audit(1.2:3): apparmor="DENIED" operation="capable" profile="qward-qemu" pid=1 comm="qemu" capability=17  capname="sys_rawio"',
    /capabilities: \[sys_rawio\]/,
  ],
  [
    'audit: type=1400 audit(1.2:3): apparmor="DENIED" operation="create" profile="qward-qemu" pid=1 comm="qemu" family="inet" sock_type="stream"',
    /namespaces: \{net: host\}/,
  ],
  [
    'audit: type=1326 audit(1.2:3): pid=9 comm="qemu" exe="/usr/bin/qemu" sig=31 arch=c000003e syscall=57 compat=0',
    /allow: \[fork\]/,
  ],
];

for (const [line, cure] of kernel)
  test(line, () => {
    const [denial, ...more] = why({ kernel: [line] });
    assert.deepEqual(more, []);
    assert.match(denial?.cure ?? '', cure);
  });

test("what another program was denied, and QEMU's ordinary lines, are no denials", () => {
  const line =
    'apparmor="DENIED" operation="open" profile="/usr/sbin/cupsd" name="/srv/x" requested_mask="r"';
  assert.deepEqual(
    why({ kernel: [line], log: ['qemu: warning: TCG does not support /x', 'KVM: entry failed'] }),
    [],
  );
});

test('an end by SIGSYS is a filter, told once', () => {
  assert.match(why({ signal: 'SIGSYS' })[0]?.wanted ?? '', /a filter kills for/);
  assert.equal(why({ signal: 'SIGSYS', kernel: [kernel[3]?.[0] ?? ''] }).length, 1);
});
