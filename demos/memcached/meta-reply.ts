import type { MetaFlags } from './meta-flags.ts';
import { latin1, type Reply } from './reply.ts';

/** The flags `O` and `k`, as every meta command returns them. */
export function opaqueAndKey(meta: MetaFlags): string {
  let text = '';
  for (const word of meta.words) text += opaqueOrKey(meta, word);
  return text;
}

/** One flag's part of a reply, if it is `O` or `k`. */
export function opaqueOrKey(meta: MetaFlags, word: string): string {
  if (word.startsWith('O')) return ` ${word}`;
  return word.startsWith('k') ? keyFlag(meta.key, meta.binaryKey) : '';
}

/** The flag `k`, and `b` if the key is in base64. */
export function keyFlag(key: string, binary: boolean): string {
  return binary ? ` k${Buffer.from(key, 'latin1').toString('base64')} b` : ` k${key}`;
}

/** A reply of one line, of any bytes. */
export function end(text: string): Reply {
  return [latin1(`${text}\r\n`)];
}
