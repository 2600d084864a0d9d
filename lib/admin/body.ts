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
  const text = await bodyOf(request);
  try {
    return JSON.parse(text);
  } catch {
    throw new RequestError(400, 'invalid', 'The body is not JSON');
  }
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length > LONGEST) break;
      chunks.push(chunk);
    }
  } catch {
    // The client has left, or was closed because it took too long: it gets no answer, and nothing has failed.
    throw new RequestError(400, 'invalid', 'The body has no end');
  }
  // The rest is not read: the connection cannot be used again.
  if (length > LONGEST) {
    throw new RequestError(413, 'too-large', `The body has more than ${LONGEST} bytes`, { Connection: 'close' });
  }
  return Buffer.concat(chunks).toString();
}
