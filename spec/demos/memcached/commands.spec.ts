import { describe, expect, it } from 'vitest';
import { cacheOf, EPOCH, still, talk } from './support.ts';

/** One line each: `>` marks what is sent, and `<` marks the reply to it, which must be complete. */
function conversation(script: string, cache = cacheOf(still().store)): void {
  for (const step of script.trim().split(/(?<=^ *<.*)\n *(?=>)/m)) {
    const lines = step.split('\n').map((text) => text.trimStart());
    const sent = lines.filter((text) => text.startsWith('>')).map((text) => `${text.slice(2)}\r\n`);
    const back = lines.filter((text) => text.startsWith('<')).map((text) => `${text.slice(2)}\r\n`);
    expect(sent.length + back.length).toBe(lines.length);
    expect(talk(cache, sent.join('')), step).toBe(back.join(''));
  }
}

describe('text commands', () => {
  it('store and retrieve', () => {
    conversation(`
      > set k 5 0 3
      > abc
      < STORED
      > get k
      < VALUE k 5 3
      < abc
      < END
      > add k 0 0 1
      > x
      < NOT_STORED
      > replace k 0 0 3
      > new
      < STORED
      > append k 9 9 1
      > >
      < STORED
      > prepend k 9 9 1
      > <
      < STORED
      > get none k none
      < VALUE k 0 5
      < <new>
      < END
      > get none
      < END
      > append none 0 0 1
      > x
      < NOT_STORED
      > replace none 0 0 1
      > x
      < NOT_STORED
      > set empty 0 0 0
      >
      < STORED
      > get empty
      < VALUE empty 0 0
      <
      < END`);
  });

  it('match cas ids', () => {
    conversation(`
      > set k 0 0 1
      > a
      < STORED
      > gets k
      < VALUE k 0 1 1
      < a
      < END
      > cas k 0 0 1 2
      > b
      < EXISTS
      > cas k 0 0 1 0
      > b
      < EXISTS
      > cas k 0 0 1 1
      > b
      < STORED
      > cas none 0 0 1 1
      > b
      < NOT_FOUND
      > cas k 0 0 1
      >
      < ERROR
      < ERROR`);
  });

  it('increment and decrement', () => {
    conversation(`
      > set n 0 0 1
      > 9
      < STORED
      > incr n 1
      < 10
      > decr n 1
      < 9
      > get n
      < VALUE n 0 2
      < 9${' '}
      < END
      > decr n 100
      < 0
      > incr n 18446744073709551615
      < 18446744073709551615
      > incr n 2
      < 1
      > incr n x
      < CLIENT_ERROR invalid numeric delta argument
      > incr none 1
      < NOT_FOUND
      > set s 0 0 2
      > 1x
      < STORED
      > incr s 1
      < CLIENT_ERROR cannot increment or decrement non-numeric value
      > incr s
      < ERROR`);
  });

  it('are not answered with `noreply`', () => {
    conversation(`
      > set k 0 0 1 noreply
      > 5
      > add k 0 0 1 noreply
      > 6
      > incr k 1 noreply
      > touch k 0 noreply
      > delete none noreply
      > set k 0 0 x noreply
      > verbosity 1 noreply
      > get k
      < VALUE k 0 1
      < 6
      < END
      > flush_all noreply
      > delete k 0 noreply
      > get k
      < END`);
  });

  it('delete, touch and flush', () => {
    const { store, clock } = still();
    const cache = cacheOf(store);
    conversation(
      `
      > set k 0 0 1
      > a
      < STORED
      > delete k
      < DELETED
      > delete k
      < NOT_FOUND
      > delete k 5
      < CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]
      > set k 0 10 1
      > a
      < STORED
      > touch k 20
      < TOUCHED
      > touch none 20
      < NOT_FOUND
      > touch k soon
      < CLIENT_ERROR invalid exptime argument`,
      cache,
    );
    clock.time = 15_000;
    conversation(
      `
      > gat 5 k none
      < VALUE k 0 1
      < a
      < END
      > gats ${EPOCH + 30} k
      < VALUE k 0 1 2
      < a
      < END
      > gat 5
      < END
      > gat x k
      < CLIENT_ERROR invalid exptime argument`,
      cache,
    );
    clock.time = 29_999;
    expect(talk(cache, 'get k\r\n')).toBe('VALUE k 0 1\r\na\r\nEND\r\n');
    conversation(
      `
      > flush_all 10
      < OK
      > get k
      < VALUE k 0 1
      < a
      < END
      > flush_all
      < OK
      > get k
      < END
      > flush_all x
      < CLIENT_ERROR invalid exptime argument
      > flush_all 1 2 3
      < ERROR`,
      cache,
    );
  });

  it('answer an invalid line with an error', () => {
    const long = 'k'.repeat(251);
    conversation(`
      > ${long}
      < ERROR
      > get
      < ERROR
      > x
      < ERROR
      > GET k
      < ERROR
      > set ${long} 0 0 1
      < CLIENT_ERROR bad command line format
      > set k 0 0 -1
      < CLIENT_ERROR bad command line format
      > set k -1 0 1
      < CLIENT_ERROR bad command line format
      > set k 0 0
      < ERROR
      > incr ${long} 1
      < CLIENT_ERROR bad command line format
      > verbosity
      < ERROR
      > version
      < VERSION 1.2.3
      > shutdown
      < ERROR: shutdown not enabled`);
  });

  it('return no item if one of the keys is too long', () => {
    conversation(`
      > set k 0 0 1
      > a
      < STORED
      > get k ${'x'.repeat(251)}
      < CLIENT_ERROR bad command line format`);
  });

  it('remove the old value if the value of a set is too large', () => {
    const cache = cacheOf(still().store);
    const large = 'x'.repeat(2_000_000);
    expect(talk(cache, `set k 0 0 1\r\na\r\nset k 0 0 ${large.length}\r\n${large}\r\nget k\r\n`)).toBe(
      'STORED\r\nSERVER_ERROR object too large for cache\r\nEND\r\n',
    );
    expect(talk(cache, `set k 0 0 1\r\na\r\nadd k 0 0 ${large.length}\r\n${large}\r\nget k\r\n`)).toBe(
      'STORED\r\nSERVER_ERROR object too large for cache\r\nVALUE k 0 1\r\na\r\nEND\r\n',
    );
    expect(cache.store.counters.store_too_large).toBe(2);
  });

  it('accept any bytes in a value, and nearly any in a key', () => {
    const cache = cacheOf(still().store);
    const data = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte)).join('');
    expect(talk(cache, `set \xff\xfe 0 0 256\r\n${data}\r\nget \xff\xfe\r\n`)).toBe(
      `STORED\r\nVALUE \xff\xfe 0 256\r\n${data}\r\nEND\r\n`,
    );
    const large = data.repeat(1000);
    expect(talk(cache, `set k 0 0 256000\r\n${large}\r\nget k \xff\xfe\r\n`)).toBe(
      `STORED\r\nVALUE k 0 256000\r\n${large}\r\nVALUE \xff\xfe 0 256\r\n${data}\r\nEND\r\n`,
    );
  });

  it('call the host for what does not concern the store', () => {
    const calls: unknown[] = [];
    const cache = cacheOf(still().store, {
      setVerbosity: (level) => calls.push(level),
      shutdown: () => calls.push('shutdown'),
      resetStats: () => calls.push('reset'),
      flushing: false,
      stats: () => [['curr_connections', 7]],
      connections: () => [['3:state', 'idle']],
    });
    expect(
      talk(cache, 'verbosity 2\r\nshutdown\r\nshutdown graceful\r\nshutdown now\r\nflush_all\r\nstats reset\r\n'),
    ).toBe('OK\r\nCLIENT_ERROR invalid shutdown mode\r\nCLIENT_ERROR flush_all not allowed\r\nRESET\r\n');
    expect(calls).toEqual([2, 'shutdown', 'shutdown', 'reset']);
    expect(talk(cache, 'stats\r\n')).toContain('STAT curr_connections 7\r\n');
    expect(talk(cache, 'stats conns\r\n')).toBe('STAT 3:state idle\r\nEND\r\n');
    expect(talk(cache, 'stats slabs\r\n')).toBe('ERROR\r\n');
  });

  it('are counted by the names of the original', () => {
    const cache = cacheOf(still().store);
    talk(
      cache,
      'set k 0 0 1\r\n1\r\nget k none\r\nincr k 1\r\nincr none 1\r\ndecr k 1\r\ntouch k 0\r\ntouch none 0\r\n',
    );
    talk(cache, 'cas k 0 0 1 99\r\nx\r\ncas none 0 0 1 1\r\nx\r\ndelete k\r\ndelete k\r\ngat 0 none\r\nflush_all\r\n');
    const stats = talk(cache, 'stats\r\n');
    const counted = {
      cmd_get: 2,
      cmd_set: 3,
      cmd_touch: 3,
      cmd_flush: 1,
      get_hits: 1,
      get_misses: 1,
      incr_hits: 1,
      incr_misses: 1,
      decr_hits: 1,
      touch_hits: 1,
      touch_misses: 2,
      cas_badval: 1,
      cas_misses: 1,
      delete_hits: 1,
      delete_misses: 1,
      curr_items: 0,
      total_items: 1,
      bytes: 0,
      limit_maxbytes: 67108864,
    };
    for (const [name, value] of Object.entries(counted)) expect(stats).toContain(`STAT ${name} ${value}\r\n`);
    talk(cache, 'stats reset\r\n');
    expect(talk(cache, 'stats\r\n')).toContain('STAT get_hits 0\r\n');
  });

  it('change the memory limit', () => {
    const cache = cacheOf(still().store);
    conversation(
      `
      > cache_memlimit 7
      < MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m
      > cache_memlimit x
      < ERROR
      > cache_memlimit 8
      < OK`,
      cache,
    );
    expect(cache.store.limit).toBe(8 * 1024 * 1024);
  });
});

describe('meta commands', () => {
  it('get, set, delete and count', () => {
    conversation(
      `
      > mn
      < MN
      > mg k v
      < EN
      > ms k 3 F5 T0 c
      > abc
      < HD c1
      > mg k s v f c t k Oxyz q
      < VA 3 s3 f5 c1 t-1 kk Oxyz
      < abc
      > mg none q k
      > mg none k Oq
      < EN knone Oq
      > ms k 1 ME
      > x
      < NS
      > ms k 1 C7
      > x
      < EX
      > ms k 1 C1 k c
      > x
      < HD kk c2
      > ms none 1 C1
      > x
      < NF
      > ms k 1 MA
      > y
      < HD
      > ms k 1 MP q
      > z
      > mg k v
      < VA 3
      < zxy
      > md k C1
      < EX
      > md k q
      > md k Oa
      < NF Oa
      > ma n
      < NF
      > ma n N0 J5 v
      < VA 1
      < 5
      > ma n D10 v c
      < VA 2 c6
      < 15
      > ma n MD D1 v
      < VA 2
      < 14
      > ma n q
      > ma n M-
      < HD`
        .replaceAll('none q k', 'none q k')
        .replace('EN kk Oq', 'EN knone Oq'),
    );
  });

  it('ask one of many clients to recache', () => {
    const { store, clock } = still();
    const cache = cacheOf(store);
    conversation(
      `
      > mg k v N30 t
      < VA 0 t30 W
      <
      > mg k v N30
      < VA 0 Z
      <
      > ms k 1 T60 c
      > a
      < HD c2
      > mg k R30 t
      < HD t60
      > mg k R0
      < HD`,
      cache,
    );
    clock.time = 30_900;
    conversation(
      `
      > mg k R30 t u
      < HD t30`,
      cache,
    );
    clock.time = 40_000;
    conversation(
      `
      > mg k R30 t l h
      < HD t20 l40 h1 W
      > mg k R30
      < HD Z
      > mg k l u
      < HD l0 Z
      > md k I T30
      < HD
      > mg k t c
      < HD t30 c3 X W
      > mg k c
      < HD c3 Z X
      > ms k 1 I C2 T90
      > b
      < HD
      > mg k v t
      < VA 1 t30 Z X
      < b
      > ms k 1 T90
      > c
      < HD
      > mg k t T10
      < HD t90
      > mg k t u
      < HD t10`,
      cache,
    );
  });

  it('accept keys in base64, and return them in base64', () => {
    conversation(`
      > ms Zm9v 3 b k
      > abc
      < HD kZm9v b
      > get foo
      < VALUE foo 0 3
      < abc
      < END
      > mg Zm9v b k v
      < VA 3 kZm9v b
      < abc
      > mg ? b
      < CLIENT_ERROR error decoding key
      > mg AP8= b k
      < EN kAP8= b`);
  });

  it('answer an invalid line with an error, and skip its data', () => {
    conversation(`
      > mg
      < ERROR
      > mg k q q
      < CLIENT_ERROR duplicate flag
      > mg k !
      < CLIENT_ERROR invalid flag
      > md k !
      < CLIENT_ERROR invalid or duplicate flag
      > mg k Tx
      < CLIENT_ERROR bad token in command line format
      > mg k O${'x'.repeat(32)}
      < CLIENT_ERROR opaque token too long
      > ms k 3 !
      > abc
      < CLIENT_ERROR invalid flag
      > ms k 3 MX
      > abc
      < CLIENT_ERROR invalid mode for ms M token
      > ms k x
      < CLIENT_ERROR bad command line format
      > ms k 2
      > abc
      < CLIENT_ERROR bad data chunk
      < ERROR
      > ma k MX
      < CLIENT_ERROR invalid mode for ma M token
      > mx k
      < ERROR`);
  });
});
