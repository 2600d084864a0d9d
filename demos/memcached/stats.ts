import type { Cache, Stat } from './cache.ts';
import { noCounts } from './counters.ts';
import { latin1, line, type Reply } from './reply.ts';

/** `stats`, and its sub-commands that have a meaning here: there are no slabs, and so no `stats slabs`. */
export function answerStats(cache: Cache, words: readonly string[]): Reply {
  if (words[1] === 'reset') {
    resetStats(cache);
    return line('RESET');
  }
  const stats = statsOf(cache, words[1] ?? '');
  if (stats === undefined) return line('ERROR');
  let text = '';
  for (const [name, value] of stats) text += `STAT ${name} ${value}\r\n`;
  return [latin1(`${text}END\r\n`)];
}

/** Sets the counters to zero. Figures that describe the current state stay. */
export function resetStats({ store, host }: Cache): void {
  store.counters = noCounts();
  host.resetStats();
}

/** The lines of a group of statistics, or `undefined` if there is no such group. */
export function statsOf(cache: Cache, group: string): Iterable<Stat> | undefined {
  switch (group) {
    case '':
      return general(cache);
    case 'settings':
      return settings(cache);
    case 'conns':
      return cache.host.connections();
    case 'items':
      return items(cache);
    case 'sizes':
      return [['sizes_status', 'disabled']];
    default:
      return undefined;
  }
}

function* general({ store, host, version }: Cache): Iterable<Stat> {
  const { user, system } = process.cpuUsage();
  const { total_items, expired_unfetched, evicted_unfetched, evictions, reclaimed, ...commands } = store.counters;
  yield ['pid', process.pid];
  yield ['uptime', Math.floor(process.uptime())];
  yield ['time', Math.floor(Date.now() / 1000)];
  yield ['version', version];
  yield ['pointer_size', 64];
  yield ['rusage_user', (user / 1e6).toFixed(6)];
  yield ['rusage_system', (system / 1e6).toFixed(6)];
  yield* host.stats();
  yield* Object.entries(commands);
  yield ['limit_maxbytes', store.limit];
  yield ['threads', 1];
  yield ['bytes', store.bytes];
  yield ['curr_items', store.size];
  yield* Object.entries({ total_items, expired_unfetched, evicted_unfetched, evictions, reclaimed });
}

function* settings({ store, host }: Cache): Iterable<Stat> {
  yield ['maxbytes', store.limit];
  yield* host.settings();
  yield ['evictions', store.evicts ? 'on' : 'off'];
  yield ['cas_enabled', 'yes'];
  yield ['item_size_max', store.maxItem];
  yield ['flush_enabled', host.flushing ? 'yes' : 'no'];
  yield ['shutdown_command', host.shutdown === undefined ? 'no' : 'yes'];
  yield ['lru_segmented', 'no'];
}

/** All items are of one class, because their memory is not divided by size. */
function* items({ store }: Cache): Iterable<Stat> {
  if (store.size === 0) return;
  const { evictions, expired_unfetched, evicted_unfetched, reclaimed, store_no_memory } = store.counters;
  yield ['items:1:number', store.size];
  yield ['items:1:age', Math.floor(store.oldestAge / 1000)];
  yield ['items:1:mem_requested', store.bytes];
  yield ['items:1:evicted', evictions];
  yield ['items:1:outofmemory', store_no_memory];
  yield ['items:1:reclaimed', reclaimed];
  yield ['items:1:expired_unfetched', expired_unfetched];
  yield ['items:1:evicted_unfetched', evicted_unfetched];
}
