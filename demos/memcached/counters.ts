/** Counts since the start or the last `stats reset`, by the names that `stats` has for them. */
export interface Counters {
  cmd_get: number;
  cmd_set: number;
  cmd_flush: number;
  cmd_touch: number;
  cmd_meta: number;
  get_hits: number;
  get_misses: number;
  /** Lookups that found an expired item. */
  get_expired: number;
  /** Lookups that found an item that `flush_all` had invalidated. */
  get_flushed: number;
  delete_misses: number;
  delete_hits: number;
  incr_misses: number;
  incr_hits: number;
  decr_misses: number;
  decr_hits: number;
  cas_misses: number;
  cas_hits: number;
  cas_badval: number;
  touch_hits: number;
  touch_misses: number;
  store_too_large: number;
  store_no_memory: number;
  total_items: number;
  /** Items that expired before they were fetched. */
  expired_unfetched: number;
  /** Items that were evicted before they were fetched. */
  evicted_unfetched: number;
  /** Live items that were removed to make room. */
  evictions: number;
  /** Expired or flushed items that were removed for a stored one. */
  reclaimed: number;
}

/** All counters at zero, in the order in which `stats` lists them. */
export function noCounts(): Counters {
  return {
    cmd_get: 0,
    cmd_set: 0,
    cmd_flush: 0,
    cmd_touch: 0,
    cmd_meta: 0,
    get_hits: 0,
    get_misses: 0,
    get_expired: 0,
    get_flushed: 0,
    delete_misses: 0,
    delete_hits: 0,
    incr_misses: 0,
    incr_hits: 0,
    decr_misses: 0,
    decr_hits: 0,
    cas_misses: 0,
    cas_hits: 0,
    cas_badval: 0,
    touch_hits: 0,
    touch_misses: 0,
    store_too_large: 0,
    store_no_memory: 0,
    total_items: 0,
    expired_unfetched: 0,
    evicted_unfetched: 0,
    evictions: 0,
    reclaimed: 0,
  };
}
