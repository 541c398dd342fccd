/** A register of one user's claims in memory, behind the port that the client has of the broker. */
import type { Claims } from '../../src/api/claim-set.ts';
import type { Reply } from '../../src/api/client.ts';
import type { ClaimedFile } from '../../src/protocol/claims.ts';

export interface ClaimRegister extends Claims {
  /** `web: rw /home/alice/web.qcow2`, sorted. */
  readonly lines: () => string[];
  /** Paths of which claims are refused. */
  readonly refused: Set<string>;
}

export function claimRegister(...known: (readonly [machine: string, ...ClaimedFile[]])[]): ClaimRegister {
  const machines = new Map<string, Map<string, ClaimedFile['access']>>();
  const refused = new Set<string>();
  const of = (machine: string): Map<string, ClaimedFile['access']> => {
    const files = machines.get(machine) ?? new Map<string, ClaimedFile['access']>();
    machines.set(machine, files);
    return files;
  };
  const give = <Result>(result: Result): Promise<Reply<Result>> => Promise.resolve({ ok: true, result });
  const filesOf = (machine: string): ClaimedFile[] =>
    [...of(machine)].map(([path, access]) => ({ path, access }));
  for (const [machine, ...files] of known)
    for (const { path, access } of files) of(machine).set(path, access);
  return {
    refused,
    lines: () =>
      [...machines]
        .flatMap(([machine, files]) => [...files].map(([path, access]) => `${machine}: ${access} ${path}`))
        .sort(),
    claim: (machine, files) => {
      const wrong = files.find(({ path }) => refused.has(path));
      if (wrong !== undefined) {
        const message = `"${wrong.path}" is not yours`;
        return Promise.resolve({
          ok: false,
          status: 403,
          faults: [{ code: 'policy-refused', message, hint: '', rule: 'ownerClaims' }],
        });
      }
      return give(
        files.map(({ path, access }) => {
          const before = of(machine).get(path);
          if (before === 'rw' || before === access) return { path, outcome: 'known' as const };
          of(machine).set(path, access);
          return { path, outcome: 'claimed' as const };
        }),
      );
    },
    claimLike: (machine, like) => {
      for (const { path, access } of filesOf(like)) of(machine).set(path, access);
      return give(filesOf(like));
    },
    unclaim: (machine, paths) => {
      const gone = filesOf(machine).filter(({ path }) => paths === null || paths.includes(path));
      for (const { path } of gone) of(machine).delete(path);
      return give(gone);
    },
    claims: (machine) =>
      give(
        [...machines.keys()]
          .filter((name) => machine === null || name === machine)
          .flatMap((name) =>
            filesOf(name).map((file) => ({ ...file, machine: name, uid: 1000, at: '2026-01-01T00:00:00Z' })),
          ),
      ),
  };
}
