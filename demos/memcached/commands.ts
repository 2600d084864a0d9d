import { answerBinary } from './binary.ts';
import type { Cache } from './cache.ts';
import { arithmetic, flushAll, remove, touch } from './change.ts';
import { answerMeta, answerMetaSet } from './meta.ts';
import { parseU32 } from './numbers.ts';
import { line, NONE, type Reply } from './reply.ts';
import type { RefusedRequest, Request, StorageRequest } from './requests.ts';
import { retrieve } from './retrieve.ts';
import { answerStats } from './stats.ts';
import type { Failure } from './store.ts';

/** The replies of the text protocol when an item was not stored. */
const FAILURES = {
  exists: 'EXISTS',
  notFound: 'NOT_FOUND',
  notStored: 'NOT_STORED',
  noMemory: 'SERVER_ERROR out of memory storing object',
  tooLarge: 'SERVER_ERROR object too large for cache',
} satisfies Record<Failure, string>;

const MEBIBYTE = 1024 * 1024;
const ERROR = line('ERROR');
const OK = line('OK');

/** Executes a request. It never throws, whatever a peer sends. @returns The reply. */
export function answer(cache: Cache, request: Request): Reply {
  switch (request.type) {
    case 'command':
      return answerCommand(cache, request.words);
    case 'storage':
      return answerStorage(cache, request);
    case 'metaSet':
      return answerMetaSet(cache, request);
    case 'refused':
      return answerRefused(cache, request);
    case 'binary':
      return answerBinary(cache, request);
    case 'end':
      return NONE;
  }
}

/** Whether nothing that follows the request is answered. */
export function isLast(request: Request): boolean {
  return request.type === 'end' || (request.type === 'binary' && request.closes);
}

function answerCommand(cache: Cache, words: readonly string[]): Reply {
  const [command] = words;
  switch (command) {
    case 'get':
    case 'bget':
      return words.length < 2 ? ERROR : retrieve(cache.store, words, false);
    case 'gets':
      return words.length < 2 ? ERROR : retrieve(cache.store, words, true);
    case 'gat':
      return words.length < 2 ? ERROR : retrieve(cache.store, words, false, words[1]);
    case 'gats':
      return words.length < 2 ? ERROR : retrieve(cache.store, words, true, words[1]);
    case 'mg':
    case 'md':
    case 'ma':
    case 'mn':
      return answerMeta(cache, command, words);
    case 'incr':
    case 'decr':
      return words.length < 3 || words.length > 4 ? ERROR : quietly(words, arithmetic(cache.store, words));
    case 'delete':
      return words.length < 2 || words.length > 4 ? ERROR : remove(cache.store, words);
    case 'touch':
      return words.length < 3 || words.length > 4 ? ERROR : quietly(words, touch(cache.store, words));
    case 'flush_all':
      return words.length > 3 ? ERROR : quietly(words, flushAll(cache, words));
    case 'stats':
      return answerStats(cache, words);
    case 'version':
      return line(`VERSION ${cache.version}`);
    case 'verbosity':
      return words.length < 2 || words.length > 3 ? ERROR : quietly(words, setVerbosity(cache, words[1]));
    case 'cache_memlimit':
      return words.length < 2 || words.length > 3 ? ERROR : quietly(words, setLimit(cache, words[1]));
    case 'shutdown':
      return shutDown(cache, words);
    default:
      return ERROR;
  }
}

/** Drops the reply if the line ends in `noreply`. */
function quietly(words: readonly string[], reply: Reply): Reply {
  return words[words.length - 1] === 'noreply' ? NONE : reply;
}

function answerStorage({ store }: Cache, request: StorageRequest): Reply {
  const { mode, key, flags, exptime, cas, noreply, data } = request;
  store.counters.cmd_set += 1;
  const stored = store.put(mode, key, data, { flags, expires: store.expiry(exptime), cas });
  if (stored === 'noMemory') store.counters.store_no_memory += 1;
  if (noreply) return NONE;
  return line(typeof stored === 'string' ? FAILURES[stored] : 'STORED');
}

function answerRefused({ store }: Cache, { reply, tooLarge, drop }: RefusedRequest): Reply {
  if (tooLarge) store.counters.store_too_large += 1;
  const old = drop === undefined ? undefined : store.find(drop);
  if (old !== undefined) store.remove(old);
  return reply === '' ? NONE : line(reply);
}

function setVerbosity({ host }: Cache, word = ''): Reply {
  const level = parseU32(word);
  if (level === undefined) return line('CLIENT_ERROR bad command line format');
  host.setVerbosity(level);
  return OK;
}

function setLimit({ store }: Cache, word = ''): Reply {
  const mebibytes = parseU32(word);
  if (mebibytes === undefined) return ERROR;
  if (mebibytes < 8) return line('MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m');
  if (mebibytes > 1_000_000_000) return line('MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes');
  if (mebibytes * MEBIBYTE < 2 * store.maxItem) return line('MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust');
  store.limit = mebibytes * MEBIBYTE;
  return OK;
}

function shutDown({ host }: Cache, words: readonly string[]): Reply {
  if (host.shutdown === undefined) return line('ERROR: shutdown not enabled');
  if (words.length > 2 || (words.length === 2 && words[1] !== 'graceful')) {
    return line('CLIENT_ERROR invalid shutdown mode');
  }
  host.shutdown();
  return NONE;
}
