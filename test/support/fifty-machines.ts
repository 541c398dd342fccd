/**
 * A program as a user of the client package would write it: so many throwaway machines at once, each given a sum to do.
 *   node fifty-machines.ts COUNT OPTIONS   prints `SUM` for each that has answered, then `all`
 */
import { QwardClient } from '../../src/api/client.ts';
import type { RunOptions } from '../../src/api/throwaway/open-throwaway.ts';

const [count = '1', options = '{}'] = process.argv.slice(2);
using client = new QwardClient({ socketPath: process.env['QWARD_SOCKET'] ?? '' });

async function sum(number: number): Promise<void> {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what the test gave
  await using machine = await client.run(JSON.parse(options) as RunOptions);
  await machine.writeFile('/data/number', String(number));
  const { code, stdout } = await machine.exec(['sh', '-c', 'echo $(($(cat /data/number) * 2))']);
  if (code !== 0) throw new Error(`status ${code}`);
  process.stdout.write(`sum ${stdout.toString().trim()}\n`);
}

await Promise.all(Array.from({ length: Number(count) }, (_, index) => sum(index + 1)));
process.stdout.write('all\n');
