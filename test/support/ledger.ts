/** A reporter for node --test that writes one JSON line for each test, for the summary of run-all.ts. */
import type { TestEvent } from 'node:test/reporters';

export interface LedgerLine {
  readonly name: string;
  readonly file: string;
  readonly outcome: 'passed' | 'failed' | 'skipped';
  /** Why it was skipped, or what it failed with. */
  readonly reason: string;
  readonly durationMs: number;
}

/** What the test itself threw; node wraps it. */
function failureOf(error: Error | undefined): string {
  const thrown = error?.cause instanceof Error ? error.cause : error;
  return (thrown?.stack ?? thrown?.message ?? '').slice(0, 1500);
}

function lineOf(event: TestEvent): LedgerLine | undefined {
  if (event.type !== 'test:pass' && event.type !== 'test:fail') return undefined;
  const { name, file = '', skip, todo, details } = event.data;
  // A suite and a file are counted by what is in them, unless they fail themselves.
  const isContainer = details.type === 'suite' || name === file;
  if (isContainer && event.type === 'test:pass') return undefined;
  const unfinished = skip ?? todo;
  const skipped = unfinished !== undefined && unfinished !== false;
  const whySkipped = typeof unfinished === 'string' ? unfinished : skipped ? 'no reason given' : '';
  return {
    name,
    file,
    outcome: event.type === 'test:fail' ? 'failed' : skipped ? 'skipped' : 'passed',
    reason: event.type === 'test:fail' ? failureOf(event.data.details.error) : whySkipped,
    durationMs: Math.round(details.duration_ms),
  };
}

// oxlint-disable-next-line import/no-default-export -- node --test takes a reporter by its default export
export default async function* ledger(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  for await (const event of events) {
    const line = lineOf(event);
    if (line !== undefined) yield `${JSON.stringify(line)}\n`;
  }
}
