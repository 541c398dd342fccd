/** `image-mirror DIRECTORY`, bundled for the lab's host: its files over TLS at 127.0.0.1:443, by its key.pem and cert.pem, whatever directory is asked for. */
import { createReadStream, readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:https';
import { basename, join } from 'node:path';

const [, , directory = ''] = process.argv;
const pem = (name: string): Buffer => readFileSync(join(directory, `${name}.pem`));

createServer({ key: pem('key'), cert: pem('cert') }, (request, response) => {
  const path = join(directory, basename(request.url ?? ''));
  const size = statSync(path, { throwIfNoEntry: false })?.size;
  response.writeHead(size === undefined ? 404 : 200, { 'Content-Length': size ?? 0 });
  if (size === undefined) response.end();
  else createReadStream(path).pipe(response);
}).listen(443, '127.0.0.1');
