/**
 * A program that makes system calls and writes down what each returned: a static ELF file of a few hundred bytes, so that
 * it runs in a jail that has nothing else. It needs write and exit_group itself.
 */

/** A call: its number and up to six arguments. */
export type Call = readonly [number: number, ...args: number[]];

/*
 * Assembled with `as --64` from:
 *           leaq table(%rip), %rbx          movl count(%rip), %r12d
 *   next:   movq (%rbx), %rax               movq 8(%rbx), %rdi      movq 16(%rbx), %rsi     movq 24(%rbx), %rdx
 *           movq 32(%rbx), %r10             movq 40(%rbx), %r8      movq 48(%rbx), %r9      syscall
 *           movq %rax, (%rbx)               addq $56, %rbx          decl %r12d              jnz next
 *           movl $1, %eax                   movl $1, %edi           leaq table(%rip), %rsi  movq %rbx, %rdx
 *           subq %rsi, %rdx                 syscall
 *           movl $231, %eax                 xorl %edi, %edi         syscall
 *   count:  .long 0
 *   table:
 */
const code =
  '488d1d56000000448b254b000000488b03488b7b08488b7310488b53184c8b53204c8b43284c8b4b300f054889034883c33841ffcc75d7b801000000bf01000000488d35150000004889da4829f20f05b8e700000031ff0f0500000000';

const loadAddress = 0x40_0000;
const headerBytes = 64 + 56;
const recordBytes = 56;

/** The ELF file that makes these calls in this order and writes a record of 56 bytes for each to descriptor 1. */
export function buildProber(calls: readonly Call[]): Buffer {
  const program = Buffer.from(code, 'hex');
  program.writeUInt32LE(calls.length, program.length - 4);
  const table = Buffer.alloc(calls.length * recordBytes);
  for (const [index, call] of calls.entries())
    for (const [place, value] of call.entries())
      table.writeBigInt64LE(BigInt(value), index * recordBytes + place * 8);
  return Buffer.concat([elfHeaders(program.length + table.length), program, table]);
}

/** What each call returned, in the order of the calls: negative errnos as they are. */
export function readProberResults(output: Buffer): number[] {
  return Array.from({ length: output.length / recordBytes }, (_, index) =>
    Number(output.readBigInt64LE(index * recordBytes)),
  );
}

/** ELF header and one program header (elf(5)): the whole file, readable, writable and executable. */
function elfHeaders(bodyBytes: number): Buffer {
  const header = Buffer.alloc(headerBytes);
  header.write('\x7fELF\x02\x01\x01', 'latin1');
  header.writeUInt16LE(2, 16);
  header.writeUInt16LE(62, 18);
  header.writeUInt32LE(1, 20);
  header.writeBigUInt64LE(BigInt(loadAddress + headerBytes), 24);
  header.writeBigUInt64LE(64n, 32);
  header.writeUInt16LE(64, 52);
  header.writeUInt16LE(56, 54);
  header.writeUInt16LE(1, 56);
  header.writeUInt32LE(1, 64);
  header.writeUInt32LE(7, 68);
  header.writeBigUInt64LE(BigInt(loadAddress), 80);
  header.writeBigUInt64LE(BigInt(loadAddress), 88);
  header.writeBigUInt64LE(BigInt(headerBytes + bodyBytes), 96);
  header.writeBigUInt64LE(BigInt(headerBytes + bodyBytes), 104);
  header.writeBigUInt64LE(4096n, 112);
  return header;
}
