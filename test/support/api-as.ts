/** A call of the API from a process of another user: curl(1) with no more than that user's rights. */
import { asUser } from './as-user.ts';
import { run, type Instance } from './instance.ts';

export interface ApiRequest {
  readonly method: string;
  readonly path: string;
  readonly body?: unknown;
}

export interface ApiAnswer {
  readonly status: number;
  /** Of the first fault; undefined where there is none. */
  readonly code: string | undefined;
  readonly text: string;
}

export async function apiAs(
  { paths, environment }: Instance,
  uid: number,
  { method, path, body }: ApiRequest,
): Promise<ApiAnswer> {
  const data = body === undefined ? [] : ['-H', 'content-type: application/json', '-d', JSON.stringify(body)];
  const curl = [
    '/usr/bin/curl',
    '-s',
    '-w',
    '\n%{http_code}',
    '-X',
    method,
    '--unix-socket',
    paths.apiSocket,
  ];
  const { stdout } = await run([...asUser({ uid }), ...curl, ...data, `http://q${path}`], environment);
  const [text = '', status = ''] = stdout.split(/\n(?=\d+$)/);
  // Figures are no JSON; faults are.
  const answer = text.startsWith('{')
    ? (JSON.parse(text) as { readonly faults?: readonly { readonly code: string }[] })
    : {};
  return { status: Number(status), code: answer.faults?.[0]?.code, text };
}
