import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { TestScheduler } from 'rxjs/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Log, type LogFile } from '../../../demos/redis/append/log.ts';
import { LogCorruptError, openLog } from '../../../demos/redis/append/open.ts';
import { Database } from '../../../demos/redis/database.ts';
import { Deque } from '../../../demos/redis/store/deque.ts';
import { RandomSet } from '../../../demos/redis/store/randomSet.ts';
import { command } from './support/commands.ts';
import { OurClient } from './support/ours.ts';
import { isInstalled, RealRedis } from './support/realRedis.ts';
import type { Reply } from './support/replies.ts';
import { request } from './support/request.ts';

let folder: string;
let count = 0;
const fresh = (): string => join(folder, `log${count++}`);
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-log-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The contents of a database with their times to live, in a form that can be compared. */
function contents(db: Database): unknown {
  const plain = (value: unknown): unknown => {
    if (value instanceof Deque) return value.slice(0, value.length);
    if (value instanceof RandomSet) return new Set(value.values());
    return value;
  };
  return new Map([...db.store.entries()].map(({ key, value, expiresAt }) => [key, { value: plain(value), expiresAt }]));
}

/** A file whose writes can be made to fail. */
class FailingFile implements LogFile {
  text = '';
  fails: string | undefined;
  /** How many bytes it accepts before it fails. */
  room = Number.POSITIVE_INFINITY;
  syncs: ((error: Error | null) => void)[] = [];

  write(bytes: Uint8Array): number {
    if (this.room === 0) throw new Error(this.fails);
    const length = Math.min(this.room, bytes.length, 7);
    this.text += Buffer.from(bytes.subarray(0, length)).toString('latin1');
    this.room -= length;
    return length;
  }
  sync(done: (error: Error | null) => void): void {
    this.syncs.push(done);
  }
  close(): void {}
}

const SELECT = request(['SELECT', '0']);

describe('the append-only log', () => {
  it('restores the same database, whatever commands were executed', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(command, { maxLength: 60 }), fc.nat(200), async (commands, wait) => {
        let now = 1_700_000_000_000;
        const [path, db] = [fresh(), new Database({ now: () => now })];
        const log = openLog(path, db);
        const client = new OurClient(db);
        for (const [index, args] of commands.entries()) {
          client.send(request(args));
          if (index % 10 === 9) now += wait * 1000;
        }
        await client.received();
        log.close();
        const again = new Database({ now: () => now });
        openLog(path, again).close();
        expect(contents(again)).toEqual(contents(db));
      }),
      { numRuns: 300 },
    );
  });

  it('contains effects: absolute times, and the members that were drawn', async () => {
    const path = fresh();
    const db = new Database({ now: () => 1000, random: () => 0 });
    const log = openLog(path, db);
    const client = new OurClient(db);
    for (const text of [
      'SET a 1 EX 10 NX GET',
      'SET a 2 NX',
      'GET a',
      'EXPIRE a 20',
      'GETEX a PX 5',
      'INCRBYFLOAT a 0.5',
      'SADD s x y z',
      'SPOP s',
      'GETDEL a',
      'EXPIRE s -1',
      'SETEX b 1 v',
      'DEL nothing',
    ]) {
      client.send(`${text}\r\n`);
    }
    await client.received();
    log.close();
    const expected = [
      ['SELECT', '0'],
      ['SET', 'a', '1', 'PXAT', '11000'],
      ['PEXPIREAT', 'a', '21000'],
      ['PEXPIREAT', 'a', '1005'],
      ['SET', 'a', '1.5', 'KEEPTTL'],
      ['SADD', 's', 'x', 'y', 'z'],
      ['SREM', 's', 'x'],
      ['DEL', 'a'],
      ['DEL', 's'],
      ['SET', 'b', 'v', 'PXAT', '2000'],
    ];
    expect(readFileSync(path, 'latin1')).toBe(expected.map(request).join(''));
  });

  it('contains that a key expired before it was changed again', async () => {
    let now = 0;
    const [path, db] = [fresh(), new Database({ now: () => now })];
    const log = openLog(path, db);
    const client = new OurClient(db);
    await client.ask('SET', 'a', 'old', 'PX', '10');
    await client.ask('APPEND', 'a', 'er');
    now = 11;
    await client.ask('APPEND', 'a', 'new');
    log.close();
    const again = new Database({ now: () => now });
    openLog(path, again).close();
    expect(again.store.string('a')).toBe('new');
  });

  it('is truncated with a warning if its end is incomplete, at whatever byte', async () => {
    const [path, db] = [fresh(), new Database()];
    const log = openLog(path, db);
    const client = new OurClient(db);
    client.send('SET a 1\r\nMULTI\r\nSET b 2\r\nSET c 3\r\nEXEC\r\nSET d 4\r\n');
    await client.received();
    log.close();
    const whole = readFileSync(path);
    const text = whole.toString('latin1');
    const ends = [0, SELECT.length, text.indexOf('*1\r\n$5\r\nMULTI'), text.lastIndexOf('*3'), text.length];
    for (let length = 0; length <= whole.length; length++) {
      const [torn, warnings] = [fresh(), [] as string[]];
      writeFileSync(torn, whole.subarray(0, length));
      const again = new Database();
      openLog(torn, again, { warn: (message) => warnings.push(message) }).close();
      const good = Math.max(...ends.filter((end) => end <= length));
      expect(warnings.length).toBe(good < length ? 1 : 0);
      // The file itself is truncated: later commands must not be appended to half a command.
      expect(readFileSync(torn, 'latin1')).toBe(good === 0 ? SELECT : text.slice(0, good));
      expect([...again.store.keys()]).toEqual(['a', 'b', 'c', 'd'].slice(0, [0, 0, 1, 3, 4][ends.indexOf(good)]));
    }
  });

  it.each([
    ['*1\r\n$8\r\nNONSENSE\r\n', 'NONSENSE fails'],
    ['*3\r\n$3\r\nSET\r\n$1\r\na\r\n$x\r\n', 'invalid bulk length'],
    ['*2\r\n$4\r\nINCR\r\n$1\r\na\r\n', 'INCR fails'],
    ['*1\r\n$4\r\nQUIT\r\n', 'QUIT cannot be replayed'],
    ['POST / HTTP/1.1\r\n', 'POST cannot be replayed'],
  ])('is not opened if it cannot be replayed: %j', (bytes, why) => {
    const path = fresh();
    const before = request(['SET', 'a', 'x']);
    writeFileSync(path, before + bytes + before);
    expect(() => openLog(path, new Database())).toThrow(LogCorruptError);
    expect(() => openLog(path, new Database())).toThrow(why);
    expect(readFileSync(path, 'latin1')).toBe(before + bytes + before);
  });

  it('may contain a command with more arguments than a client may send', () => {
    const path = fresh();
    writeFileSync(path, `*1100002\r\n$4\r\nSADD\r\n$1\r\ns\r\n${'$1\r\nm\r\n'.repeat(1_100_000)}`);
    const db = new Database();
    openLog(path, db).close();
    expect(db.store.members('s')?.values()).toEqual(['m']);
  });

  it('is replayed without the limits of clients, on a reply or a transaction', async () => {
    const path = fresh();
    writeFileSync(
      path,
      [['MULTI'], ['RPUSH', 'l', 'x'.repeat(1000), 'y'.repeat(1000)], ['LPOP', 'l', '1'], ['RPUSH', 'l', 'z'], ['EXEC']]
        .map(request)
        .join(''),
    );
    const db = new Database({ limits: { held: 100, reply: 100 } });
    openLog(path, db).close();
    expect(db.store.list('l')?.slice(0, 9)).toEqual(['y'.repeat(1000), 'z']);
  });

  it('continues after a failed write in the middle of a transaction of several pieces', () => {
    const [file, scheduler] = [new FailingFile(), new TestScheduler(() => {})];
    const log = new Log(file, 1, scheduler);
    const values = ['a', 'b', 'c'].map((char) => char.repeat(1_100_000));
    file.fails = 'ENOSPC: no space left on device';
    const sets = values.map((value) => request(['SET', 'k', value]));
    const whole = request(['MULTI']) + sets.join('') + request(['EXEC']);
    log.together(() => {
      for (const value of values) log.append(['SET', 'k', value]);
    });
    for (const room of [10, 1_200_000, 5, Number.POSITIVE_INFINITY]) {
      file.room = room;
      log.flush();
      expect(whole.startsWith(file.text)).toBe(true);
      expect(log.problem).toBe(room === Number.POSITIVE_INFINITY ? undefined : file.fails);
    }
    expect(file.text === whole).toBe(true);
    log.close();
  });

  it('has a change in its file before the reply is sent', () => {
    const [file, db] = [new FailingFile(), new Database()];
    const scheduler = new TestScheduler(() => {});
    db.keep(new Log(file, 1, scheduler));
    const client = new OurClient(db);
    client.send('GET a\r\nSET a 1\r\n');
    expect(file.text).toBe('');
    client.end();
    expect(file.text).toBe(request(['SET', 'a', '1']));
  });

  it('is forced to the disk once a second, with one sync at a time', () => {
    const scheduler = new TestScheduler(() => {});
    scheduler.run(({ flush }) => {
      const file = new FailingFile();
      const log = new Log(file, 1, scheduler);
      const at = (time: number, work: () => void): void => {
        scheduler.schedule(work, time);
      };
      at(100, () => log.append(['DEL', 'a']));
      at(999, () => expect(file.syncs.length).toBe(0));
      at(1001, () => expect(file.syncs.length).toBe(1));
      at(1500, () => log.append(['DEL', 'b']));
      at(2001, () => expect(file.syncs.length).toBe(1));
      at(2500, () => file.syncs[0]?.(null));
      at(3001, () => expect(file.syncs.length).toBe(2));
      at(3500, () => file.syncs[1]?.(null));
      at(4001, () => {
        expect(file.syncs.length).toBe(2);
        log.close();
      });
      flush();
    });
    expect.assertions(5);
  });

  it('makes changes fail while it cannot be written, and continues where it stopped', async () => {
    const [file, db] = [new FailingFile(), new Database()];
    const scheduler = new TestScheduler(() => {});
    const log = new Log(file, 1, scheduler);
    db.keep(log);
    const client = new OurClient(db);
    file.fails = 'ENOSPC: no space left on device';
    file.room = 10;
    // This one was executed before the write failed.
    expect(await client.ask('SET', 'a', '1')).toBe('+OK\r\n');
    expect(await client.ask('SET', 'b', '1')).toBe(`-MISCONF Errors writing to the AOF file: ${file.fails}\r\n`);
    expect(await client.ask('GET', 'a')).toBe('$1\r\n1\r\n');
    expect(file.text).toBe(request(['SET', 'a', '1']).slice(0, 10));
    file.room = Number.POSITIVE_INFINITY;
    db.tick();
    expect(await client.ask('SET', 'b', '2')).toBe('+OK\r\n');
    expect(file.text).toBe(request(['SET', 'a', '1']) + request(['SET', 'b', '2']));
    expect(log.size).toBe(1 + file.text.length);
    log.close();
  });

  it('makes changes fail while they cannot be forced to the disk', async () => {
    const scheduler = new TestScheduler(() => {});
    const [file, db] = [new FailingFile(), new Database()];
    const log = new Log(file, 0, scheduler);
    db.keep(log);
    scheduler.schedule(() => file.syncs[0]?.(new Error('EIO')), 1500);
    scheduler.schedule(() => expect(log.problem).toBe('EIO'), 1600);
    scheduler.schedule(() => file.syncs[1]?.(null), 2500);
    scheduler.schedule(() => {
      expect(log.problem).toBeUndefined();
      log.close();
    }, 2600);
    scheduler.run(({ flush }) => flush());
    expect.assertions(2);
  });
});

describe.skipIf(!isInstalled('redis-server'))('the append-only log and redis-server', () => {
  it('redis-server restores the same database from it', { timeout: 60_000 }, async () => {
    const [path, db] = [fresh(), new Database()];
    const log = openLog(path, db);
    const client = new OurClient(db);
    for (const args of fc.sample(command, { numRuns: 2000, seed: 1 })) {
      if (!/^flush|^quit/i.test(args[0] ?? '')) client.send(request(args));
    }
    client.send('SET last 1 EX 1000\r\n');
    await client.received();
    log.close();
    const real = await RealRedis.start(['--appendonly', 'yes', '--appendfilename', 'appendonly.aof'], (to) =>
      writeFileSync(join(to, 'appendonly.aof'), readFileSync(path)),
    );
    try {
      const theirs = await real.connect();
      const ask = async (...args: string[]): Promise<Reply | undefined> => {
        theirs.send(request(args));
        return (await theirs.replies(1))[0];
      };
      const texts = (reply: Reply | undefined): string[] =>
        reply !== undefined && 'items' in reply ? reply.items.map((item) => ('text' in item ? item.text : '')) : [];
      const found = new Map<string, unknown>();
      for (const key of texts(await ask('KEYS', '*'))) {
        const type = await ask('TYPE', key);
        const at = await ask('PEXPIRETIME', key);
        const kind = type !== undefined && 'text' in type ? type.text : '';
        const time = at !== undefined && 'value' in at ? Number(at.value) : Number.NaN;
        let value: unknown;
        if (kind === 'string') value = (await ask('GET', key)) as unknown;
        else if (kind === 'list') value = texts(await ask('LRANGE', key, '0', '-1'));
        else if (kind === 'set') value = new Set(texts(await ask('SMEMBERS', key)));
        else {
          const flat = texts(await ask('HGETALL', key));
          value = new Map(flat.flatMap((field, index) => (index % 2 === 0 ? [[field, flat[index + 1]] as const] : [])));
        }
        if (kind === 'string') value = (value as { text: string }).text;
        found.set(key, { value, expiresAt: time === -1 ? Number.POSITIVE_INFINITY : time });
      }
      expect(found).toEqual(contents(db));
      expect(found.size).toBeGreaterThan(2);
    } finally {
      await real.stop();
    }
  });
});
