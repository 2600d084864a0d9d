/** What goes back to the peer. Bytes are not copied, and must stay as they are. */
export type Piece = string | Uint8Array;

/** The reply to a request, in the order in which it is to be sent. Empty for none. */
export type Reply = readonly Piece[];

/** Up to this many bytes a reply is put together; beyond it the data are handed on as they lie. */
const JOINED = 16 * 1024;

/** No reply. */
export const NONE: Reply = [];

/** One line, given without its end. */
export function line(text: string): Reply {
  return [`${text}\r\n`];
}

/**
 * Heads and data in turn, and a tail. Heads hold one character a byte, as keys may be of any bytes: they are never
 * handed on as strings.
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

/** One character a byte. */
export function latin1(text: string): Uint8Array {
  return Buffer.from(text, 'latin1');
}
