import { describe, expect, it } from 'vitest';
import { commands } from '../../../demos/redis/commands/table.ts';
import { farewell } from '../../../demos/redis/converse.ts';
import { Database } from '../../../demos/redis/database.ts';
import { OurClient } from './support/ours.ts';
import { request } from './support/request.ts';

describe('a client', () => {
  it('is listed with its name, its library and its last command', async () => {
    let now = 10_000;
    const db = new Database({ now: () => now });
    const client = new OurClient(db, { address: '1.2.3.4:5', localAddress: '6.7.8.9:10' });
    const other = new OurClient(db);
    await client.ask('CLIENT', 'SETNAME', 'me');
    await client.ask('CLIENT', 'SETINFO', 'lib-name', 'mine');
    await client.ask('SUBSCRIBE', 'a', 'b');
    now = 12_500;
    const list = await other.ask('CLIENT', 'LIST');
    expect(list).toContain(
      'id=1 addr=1.2.3.4:5 laddr=6.7.8.9:10 name=me age=2 idle=2 flags=P db=0 sub=2 psub=0 multi=-1 multi-mem=0 omem=0 cmd=subscribe',
    );
    expect(list).toContain('lib-name=mine');
    expect(list.trim().split('\n').length).toBe(3);
    expect(await other.ask('CLIENT', 'LIST', 'TYPE', 'pubsub')).toContain('id=1 ');
    expect(await other.ask('CLIENT', 'LIST', 'ID', '2')).not.toContain('id=1 ');
    client.leave();
    expect(await other.ask('CLIENT', 'LIST')).not.toContain('id=1 ');
    expect(db.sessions.size).toBe(1);
    expect(db.pubsub.channels).toBe(0);
  });

  it('is killed by other clients, and by itself after the reply', async () => {
    const db = new Database();
    const clients = Array.from({ length: 5 }, (_, index) => new OurClient(db, { address: `host:${index}` }));
    const [first, second, third, fourth, fifth] = clients;
    expect(await first?.ask('CLIENT', 'KILL', 'host:1')).toBe('+OK\r\n');
    expect(second?.ended).toBe('completed');
    expect(await first?.ask('CLIENT', 'KILL', 'ID', '3')).toBe(':1\r\n');
    expect(third?.ended).toBe('completed');
    expect(await first?.ask('CLIENT', 'KILL', 'ADDR', 'host:3', 'LADDR', 'no')).toBe(':0\r\n');
    expect(fourth?.ended).toBeUndefined();
    expect(await first?.ask('CLIENT', 'KILL', 'TYPE', 'normal')).toBe(':2\r\n');
    expect(fifth?.ended).toBe('completed');
    expect(first?.ended).toBeUndefined();
    expect(await first?.ask('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'no')).toBe(':1\r\n');
    expect(first?.ended).toBe('completed');
    expect(db.sessions.size).toBe(0);
  });

  it('gets no reply to a request after its QUIT', async () => {
    const client = new OurClient(new Database());
    client.send('PING\r\nQUIT\r\nPING\r\n');
    expect(String(await client.received())).toBe('+PONG\r\n+OK\r\n');
    expect(client.ended).toBe('completed');
  });

  it('is sent a protocol error after the replies to the valid requests before it', async () => {
    const client = new OurClient(new Database());
    client.send('PING\r\n*1\r\n+PING\r\nPING\r\n');
    expect(String(await client.received())).toBe("+PONG\r\n-ERR Protocol error: expected '$', got '+'\r\n");
    expect(client.ended).toBe('completed');
  });

  it('is refused a reply that is longer than allowed', async () => {
    const db = new Database({ limits: { reply: 1000 } });
    const client = new OurClient(db);
    await client.ask('SET', 'a', 'x'.repeat(300));
    await client.ask('RPUSH', 'l', ...Array.from({ length: 300 }, () => 'item'));
    const refused = '-OOM command not allowed: its reply would be longer than 1000 bytes\r\n';
    expect((await client.ask('MGET', 'a', 'a', 'a')).length).toBe(928);
    for (const args of [
      ['MGET', 'a', 'a', 'a', 'a'],
      ['LRANGE', 'l', '0', '-1'],
    ]) {
      expect(await client.ask(...args)).toBe(refused);
    }
    // A command that has removed data is answered, however long its reply is.
    expect((await client.ask('LPOP', 'l', '300')).length).toBe(6 + 300 * 10);
    expect(await client.ask('EXISTS', 'l')).toBe(':0\r\n');
  });

  it('gets replies from EXEC to just the commands that were executed', async () => {
    const db = new Database({ limits: { reply: 1000 } });
    const client = new OurClient(db);
    await client.ask('SET', 'a', 'x'.repeat(300));
    for (const args of [
      ['MULTI'],
      ['INCR', 'n'],
      ['GET', 'a'],
      ['GET', 'a'],
      ['GET', 'a'],
      ['GET', 'a'],
      ['INCR', 'n'],
    ]) {
      await client.ask(...args);
    }
    client.send(request(['EXEC']));
    const [exec] = await client.replies();
    const items = exec !== undefined && 'items' in exec ? exec.items : [];
    expect(items.map(({ kind }) => kind)).toEqual(['integer', 'bulk', 'bulk', 'bulk', 'bulk', 'error']);
    expect(await client.ask('GET', 'n')).toBe('$1\r\n1\r\n');
  });

  it('is the only one to end when a command throws an error that is no refusal', async () => {
    const db = new Database({
      random: () => {
        throw new Error('broken');
      },
    });
    const [client, other] = [new OurClient(db), new OurClient(db)];
    await client.ask('SADD', 's', 'a');
    client.send('SPOP s\r\nPING\r\n');
    expect(client.ended).toEqual(new Error('broken'));
    expect(await other.ask('PING')).toBe('+PONG\r\n');
    expect(db.sessions.size).toBe(1);
  });

  it('cannot put a line end into an error', async () => {
    const client = new OurClient(new Database());
    expect(await client.ask('a\r\n+OK')).toBe("-ERR unknown command 'a  +OK', with args beginning with: \r\n");
  });

  it.each(['POST / HTTP/1.1\r\nHost: here\r\n\r\nSET a 1\r\n', 'GET / HTTP/1.1\r\nhost: here\r\n\r\nSET a 1\r\n'])(
    'is closed, and nothing is executed, if it sends an HTTP request: %j',
    async (text) => {
      const db = new Database();
      const client = new OurClient(db);
      client.send(text);
      expect(client.ended).toBe('completed');
      expect(db.store.size).toBe(0);
    },
  );

  it('has neither subscriptions nor watched keys after it has disconnected', async () => {
    const db = new Database();
    const client = new OurClient(db);
    await client.ask('WATCH', 'a', 'b');
    await client.ask('SUBSCRIBE', 'a');
    await client.ask('PSUBSCRIBE', 'a*');
    expect([...db.store.watches.keys()]).toEqual(['a', 'b']);
    expect([db.pubsub.channels, db.pubsub.patterns]).toEqual([1, 1]);
    client.leave();
    expect([...db.store.watches.keys()]).toEqual([]);
    expect([db.pubsub.channels, db.pubsub.patterns, db.sessions.size]).toEqual([0, 0, 0]);
  });

  it('has its transaction fail when a watched key expires before EXEC', async () => {
    let now = 0;
    const db = new Database({ now: () => now });
    const client = new OurClient(db);
    await client.ask('SET', 'a', '1', 'PX', '10');
    await client.ask('WATCH', 'a');
    await client.ask('MULTI');
    await client.ask('PING');
    now = 11;
    expect(await client.ask('EXEC')).toBe('*-1\r\n');
    await client.ask('WATCH', 'a');
    await client.ask('MULTI');
    now = 1000;
    expect(await client.ask('EXEC')).toBe('*0\r\n');
  });

  it('sees no key expire within its transaction', async () => {
    let now = 0;
    const db = new Database({ now: () => now++ });
    const client = new OurClient(db);
    client.send('MULTI\r\nSET a 1 PX 1\r\nGET a\r\nGET a\r\nGET a\r\nEXEC\r\n');
    expect(String(await client.received())).toContain('*4\r\n+OK\r\n$1\r\n1\r\n$1\r\n1\r\n$1\r\n1\r\n');
  });

  it('gets the time that a key has left from PTTL and TTL', async () => {
    let now = 1_000_000;
    const client = new OurClient(new Database({ now: () => now }));
    await client.ask('SET', 'a', '1', 'PX', '2500');
    expect(await client.ask('PTTL', 'a')).toBe(':2500\r\n');
    now += 1001;
    expect(await client.ask('PTTL', 'a')).toBe(':1499\r\n');
    expect(await client.ask('TTL', 'a')).toBe(':1\r\n');
    now += 1500;
    expect(await client.ask('TTL', 'a')).toBe(':-2\r\n');
  });
});

describe('SPOP and RANDOMKEY', () => {
  it('draw existing members and keys, and each member about equally often', async () => {
    const db = new Database();
    const client = new OurClient(db);
    const drawn = new Map<string, number>();
    for (let round = 0; round < 3000; round++) {
      await client.ask('SADD', 's', 'a', 'b', 'c');
      const member = await client.ask('SPOP', 's');
      drawn.set(member, (drawn.get(member) ?? 0) + 1);
    }
    expect(drawn.size).toBe(3);
    for (const times of drawn.values()) expect(times).toBeGreaterThan(800);
    expect(await client.ask('RANDOMKEY')).toBe('$1\r\ns\r\n');
  });
});

describe('what the server reports about itself', () => {
  const db = new Database({ config: { maxclients: '7', appendonly: 'no', save: '' } });
  const client = new OurClient(db);

  it('CONFIG GET finds settings by pattern', async () => {
    expect(await client.ask('CONFIG', 'GET', 'MAX*', 'save')).toBe(
      '*4\r\n$10\r\nmaxclients\r\n$1\r\n7\r\n$4\r\nsave\r\n$0\r\n\r\n',
    );
  });

  it('INFO returns all sections, or one', async () => {
    await client.ask('SET', 'a', '1', 'EX', '100');
    const all = await client.ask('INFO');
    for (const section of ['Server', 'Clients', 'Memory', 'Persistence', 'Stats', 'Replication', 'Keyspace']) {
      expect(all).toContain(`# ${section}\r\n`);
    }
    expect(await client.ask('INFO', 'keyspace')).toMatch(
      /^\$\d+\r\n# Keyspace\r\ndb0:keys=1,expires=1,avg_ttl=0\r\n\r\n$/,
    );
  });

  it('COMMAND describes every command once', async () => {
    const names = commands.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    expect(await client.ask('COMMAND', 'COUNT')).toBe(`:${names.length}\r\n`);
    expect(await client.ask('COMMAND', 'INFO', 'get')).toBe(
      '*1\r\n*10\r\n$3\r\nget\r\n:2\r\n*2\r\n+readonly\r\n+fast\r\n:1\r\n:1\r\n:1\r\n*1\r\n+@string\r\n*0\r\n*0\r\n*0\r\n',
    );
    expect(await client.ask('COMMAND', 'DOCS', 'get')).toContain('summary');
  });

  it('COMMAND LIST names all commands, or those that match', async () => {
    const parts = commands.flatMap(({ subcommands }) => [...(subcommands?.values() ?? [])]);
    expect(await client.ask('COMMAND', 'LIST')).toMatch(new RegExp(`^\\*${commands.length + parts.length}\r\n`));
    expect(await client.ask('COMMAND', 'LIST', 'FILTERBY', 'PATTERN', 'CONFIG*')).toBe(
      '*3\r\n$6\r\nconfig\r\n$10\r\nconfig|get\r\n$11\r\nconfig|help\r\n',
    );
    expect(await client.ask('COMMAND', 'LIST', 'filterby', 'pattern', 'HGET*')).toBe(
      '*2\r\n$4\r\nhget\r\n$7\r\nhgetall\r\n',
    );
    for (const args of [['x'], ['FILTERBY'], ['FILTERBY', 'x', 'y'], ['FILTERBY', 'PATTERN', 'x', 'y']]) {
      expect(await client.ask('COMMAND', 'LIST', ...args)).toBe('-ERR syntax error\r\n');
    }
  });

  it('COMMAND describes subcommands within their command and by their own names', async () => {
    client.send(
      request(['COMMAND', 'INFO', 'config|get', 'CONFIG|GET', 'config', 'config|no', 'get|x', 'config|get|x']),
    );
    client.send(request(['COMMAND', 'DOCS', 'config']) + request(['COMMAND', 'DOCS', 'config|get']));
    const [info, ...docs] = await client.replies();
    const items = info !== undefined && 'items' in info ? info.items : [];
    const [get, again, config, ...none] = items;
    expect(get).toMatchObject({ items: { 0: { text: 'config|get' }, 1: { value: -3n }, length: 10 } });
    expect(again).toEqual(get);
    expect(config).toMatchObject({
      items: { 0: { text: 'config' }, 9: { items: [get, { items: { 0: { text: 'config|help' } } }] } },
    });
    expect(none.map(({ kind }) => kind)).toEqual(['nullBulk', 'nullBulk', 'nullBulk']);
    expect(docs[0]).toMatchObject({
      items: { 1: { items: { 4: { text: 'subcommands' }, 5: { items: { 0: { text: 'config|get' } } } } } },
    });
    expect(docs[1]).toMatchObject({ items: { 0: { text: 'config|get' } } });
    expect(await client.ask('config|get', 'x')).toMatch(/^-ERR unknown command 'config\|get'/);
    expect(await client.ask('COMMAND', 'GETKEYS', 'config', 'no', 'x')).toBe('-ERR Invalid command specified\r\n');
  });

  it('HELP lists subcommands, as the error for an unknown one suggests', async () => {
    expect(await client.ask('CLIENT', 'nonsense')).toBe("-ERR unknown subcommand 'nonsense'. Try CLIENT HELP.\r\n");
    const help = await client.ask('CLIENT', 'HELP');
    expect(help).toMatch(/^\*17\r\n\+CLIENT <subcommand> \[<arg> \[value\] \[opt\] \.\.\.\]\. Subcommands are:\r\n/);
    expect(help).toContain('+KILL\r\n+    Ends connections.\r\n');
    expect(await client.ask('CONFIG', 'HELP')).toContain('+GET\r\n');
    expect(await client.ask('COMMAND', 'HELP', 'x')).toBe(
      "-ERR wrong number of arguments for 'command|help' command\r\n",
    );
  });

  it('a refused client is sent the reason', () => {
    expect(farewell('full')).toBe('-ERR max number of clients reached\r\n');
    expect(farewell('budget')).toBe('-OOM clients use more memory than allowed\r\n');
    expect(farewell('draining')).toBe('-ERR the server is shutting down\r\n');
  });
});
