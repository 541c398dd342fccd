/** Where an image is fetched from. Pure. */

/** The URL, or what is wrong with the text. */
export function parseImageUrl(text: string): URL | string {
  if (text.length > 2000 || !URL.canParse(text)) return `"${text.slice(0, 200)}" is not a URL`;
  const url = new URL(text);
  if (url.protocol !== 'https:' && url.protocol !== 'http:')
    return `"${text}": http or https expected, not ${url.protocol.slice(0, -1)}`;
  // It would stand in the image's metadata, on the screen and in lists of processes.
  if (url.username !== '' || url.password !== '')
    return `the URL holds a user or a password: fetch the file with a program of yours, and add that`;
  url.hash = '';
  return url;
}

/** Where a redirection leads; undefined where it must not be followed. */
export function redirected(from: URL, location: string): URL | undefined {
  if (location.length > 4000 || !URL.canParse(location, from)) return undefined;
  const url = new URL(location, from);
  // SECURITY: rule download. Nothing that was asked for under encryption is fetched without it.
  if (url.protocol !== from.protocol && url.protocol !== 'https:') return undefined;
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return undefined;
  if (url.username !== '' || url.password !== '') return undefined;
  // SECURITY: rule download. A server elsewhere sends nobody to a service of the caller's own host.
  if (isLoopback(url) && !isLoopback(from)) return undefined;
  return url;
}

function isLoopback({ hostname }: URL): boolean {
  return /^(?:127\.|0\.|\[::1?\]$|\[::ffff:7f|localhost\.?$|.*\.localhost\.?$)/.test(hostname);
}
