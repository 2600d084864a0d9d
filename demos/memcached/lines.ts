import { itemSize, MAX_KEY } from './item.ts';
import { type MetaFlags, parseMetaFlags } from './meta-flags.ts';
import { parseI32, parseU32, parseU64 } from './numbers.ts';
import type { MetaSetRequest, RefusedRequest, Request, StorageRequest } from './requests.ts';
import type { Mode } from './store.ts';

/** The request in a line, and the length of the data block that follows it, in bytes and without its line end. */
export interface Line {
  readonly request: Request;
  /** -1 for none. A refused request has a block too if its line announces one; it is skipped. */
  readonly block: number;
}

const STORAGE: ReadonlyMap<string, Mode> = new Map(
  (['set', 'add', 'replace', 'append', 'prepend', 'cas'] as const).map((mode) => [mode, mode]),
);
const META_MODES: ReadonlyMap<string, Mode> = new Map([
  ['', 'set'],
  ['S', 'set'],
  ['E', 'add'],
  ['A', 'append'],
  ['P', 'prepend'],
  ['R', 'replace'],
]);
const BAD_FORMAT = 'CLIENT_ERROR bad command line format';
const TOO_LARGE = 'SERVER_ERROR object too large for cache';
const LARGEST_BLOCK = 0x7fffffff - 2;
const NO_DATA = new Uint8Array(0);

/** Parses a line without its end, as far as is needed to know where the next one begins. */
export function readLine(line: string, maxItem: number): Line {
  // A NUL ends the line, because the original uses C strings.
  const end = line.indexOf('\0');
  const words = (end < 0 ? line : line.slice(0, end)).split(' ').filter(Boolean);
  const [command = ''] = words;
  const mode = STORAGE.get(command);
  if (mode !== undefined) return readStorage(mode, words, maxItem);
  if (command === 'ms') return readMetaSet(words, maxItem);
  if (command === 'quit') return alone({ type: 'end' });
  // A web page can trick a browser into sending commands to a cache. Such a connection is closed.
  if (/^[A-Z]/.test(command) && words.at(-1)?.startsWith('HTTP/')) return alone({ type: 'end' });
  return alone({ type: 'command', words });
}

function readStorage(mode: Mode, words: readonly string[], maxItem: number): Line {
  const expected = mode === 'cas' ? 6 : 5;
  if (words.length !== expected && words.length !== expected + 1) return alone(refused('ERROR'));
  const [, key = '', flagsWord = '', exptimeWord = '', lengthWord = '', casWord = ''] = words;
  const noreply = words.at(-1) === 'noreply';
  const flags = parseU32(flagsWord);
  const exptime = parseI32(exptimeWord);
  const length = parseI32(lengthWord);
  const cas = mode === 'cas' ? parseU64(casWord) : 0n;
  const known = flags !== undefined && exptime !== undefined && length !== undefined && cas !== undefined;
  if (key.length > MAX_KEY || !known || length < 0 || length > LARGEST_BLOCK) {
    return alone(refused(noreply ? '' : BAD_FORMAT));
  }
  if (itemSize(key.length, flags, length) > maxItem) {
    return { request: tooLarge(noreply ? '' : TOO_LARGE, mode === 'set' ? key : undefined), block: length };
  }
  const request: StorageRequest = {
    type: 'storage',
    mode,
    key,
    flags,
    exptime,
    cas: Number(cas),
    noreply,
    data: NO_DATA,
  };
  return { request, block: length };
}

function readMetaSet(words: readonly string[], maxItem: number): Line {
  const [, key, lengthWord = ''] = words;
  if (key === undefined) return alone(refused('ERROR'));
  if (key.length > MAX_KEY || words.length === 2) return alone(refused(BAD_FORMAT));
  if (words.length > 19) return alone(refused('CLIENT_ERROR options flags too long'));
  const length = parseI32(lengthWord);
  if (length === undefined || length < 0 || length > LARGEST_BLOCK) return alone(refused(BAD_FORMAT));
  const meta = parseMetaFlags(words, 3);
  if (typeof meta === 'string') return { request: refused(meta), block: length };
  const mode = META_MODES.get(meta.mode);
  if (mode === undefined) return { request: refused('CLIENT_ERROR invalid mode for ms M token'), block: length };
  if (opaqueTooLong(meta)) return { request: refused('CLIENT_ERROR opaque token too long'), block: length };
  if (itemSize(meta.key.length, meta.clientFlags, length) > maxItem) {
    return { request: tooLarge(TOO_LARGE, meta.key), block: length };
  }
  // With a cas id to match, setting and replacing are the same.
  const matches = meta.cas !== undefined && (mode === 'set' || mode === 'replace');
  const request: MetaSetRequest = { type: 'metaSet', mode: matches ? 'cas' : mode, meta, data: NO_DATA };
  return { request, block: length };
}

/** Whether `O` has more than the 31 characters that are allowed. */
export function opaqueTooLong(meta: MetaFlags): boolean {
  return meta.words.some((word) => word.startsWith('O') && word.length > 32);
}

/** A request that is answered and not executed. */
export function refused(reply: string): RefusedRequest {
  return { type: 'refused', reply, tooLarge: false, drop: undefined };
}

function tooLarge(reply: string, drop: string | undefined): RefusedRequest {
  return { type: 'refused', reply, tooLarge: true, drop };
}

function alone(request: Request): Line {
  return { request, block: -1 };
}
