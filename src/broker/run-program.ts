/** Programs of the host that the broker runs for networks, each for some milliseconds. */
import { spawnSync } from 'node:child_process';

const deadlineMs = 10_000;
export const nftPath = '/usr/sbin/nft';

export class Failed extends Error {}

/** SECURITY: promise 1. Argument arrays and lines that protocol/ makes of parsed values; no shell, no environment. Throws Failed. */
export function runProgram(program: string, args: readonly string[], input: string): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    input,
    env: {},
    cwd: '/',
    encoding: 'utf8',
    timeout: deadlineMs,
  });
  if (status !== 0) throw new Failed(`${program}: ${(error?.message ?? stderr).trim().slice(0, 300)}`);
  return stdout;
}

export const nft = (input: string): string => runProgram(nftPath, ['-f', '-'], input);

/** Tables by family and name, as they are in force; empty where one of them is not there. `-p`: names of protocols need /etc/protocols, which small hosts have not. Version 1.0 of nft lists no two in one run. */
export function listTables(tables: readonly (readonly [family: string, name: string])[]): string {
  try {
    return tables
      .map(([family, name]) => runProgram(nftPath, ['-p', 'list', 'table', family, name], ''))
      .join('');
  } catch {
    return '';
  }
}
