/** A part of a reply. Bytes are not copied, so they must not change. */
export type Piece = string | Uint8Array;

/** The reply to a request, in the order in which its parts are sent. Empty for none. */
export type Reply = readonly Piece[];

/** Up to this many bytes a reply is copied into one buffer. The data of a longer one are passed on without a copy. */
const JOINED = 16 * 1024;

/** No reply. */
export const NONE: Reply = [];

/** One line, given without its end. */
export function line(text: string): Reply {
  return [`${text}\r\n`];
}

/**
 * Heads and data alternately, and a tail. A head has one character for each byte, because a key may have any bytes, so it is
 * never passed on as a string.
 */
export function blocks(parts: readonly { readonly head: string; readonly data: Uint8Array }[], tail: string): Reply {
  let length = tail.length;
  for (const { head, data } of parts) length += head.length + data.length;
  if (length > JOINED) return [...parts.flatMap(({ head, data }) => [latin1(head), data]), latin1(tail)];
  const joined = Buffer.allocUnsafe(length);
  let at = 0;
  for (const { head, data } of parts) {
    at += joined.write(head, at, 'latin1');
    joined.set(data, at);
    at += data.length;
  }
  joined.write(tail, at, 'latin1');
  return [joined];
}

/** The bytes of a text with one character for each byte. */
export function latin1(text: string): Uint8Array {
  return Buffer.from(text, 'latin1');
}
