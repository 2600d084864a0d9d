import type { IncomingMessage } from 'node:http';
import { RequestError } from './requestError.ts';

/** The longest body, in bytes: a thousand numbers of connections fit. */
const LONGEST = 64 * 1024;

/**
 * Reads a body of JSON.
 *
 * The media type must be that of JSON: a form of a page cannot send it.
 *
 * @throws RequestError for one that is too long, of another type, or malformed.
 */
export async function readJson(request: IncomingMessage): Promise<unknown> {
  if (!/^application\/json\s*(;|$)/i.test(request.headers['content-type'] ?? '')) {
    throw new RequestError(415, 'invalid', 'The body must have the Content-Type application/json');
  }
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > LONGEST) {
      // The rest is not read: the connection cannot be used again.
      throw new RequestError(413, 'too-large', `The body has more than ${LONGEST} bytes`, { Connection: 'close' });
    }
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString());
  } catch {
    throw new RequestError(400, 'invalid', 'The body is not JSON');
  }
}
