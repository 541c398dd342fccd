/** A call of the API as an HTTP request: its input goes into the path, then into the query or the body. Pure. */
import type { Endpoint } from './endpoints.ts';

export interface CallRequest {
  readonly path: string;
  /** JSON text. */
  readonly body?: string;
}

export type CallValues = Readonly<Record<string, unknown>>;

export function callRequest(endpoint: Endpoint, input: CallValues): CallRequest {
  const rest = new Map(Object.entries(input).filter(([, value]) => value !== undefined));
  const path = endpoint.path.replaceAll(/:(\w+)/g, (_, key: string) => {
    const value = rest.get(key);
    rest.delete(key);
    return encodeURIComponent(String(value));
  });
  if (endpoint.method === 'POST' || endpoint.method === 'PUT')
    return rest.size === 0 ? { path } : { path, body: JSON.stringify(Object.fromEntries(rest)) };
  const query = [...rest].map(([key, value]) => `${key}=${encodeURIComponent(String(value))}`).join('&');
  return { path: query === '' ? path : `${path}?${query}` };
}
