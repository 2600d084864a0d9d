import { BehaviorSubject } from 'rxjs';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { type LimitName, limitKinds } from '../../lib/admin/options.ts';
import { AdminPort, ask, closeAdminPorts } from '../support/adminPort.ts';

afterEach(closeAdminPorts);

const silent = { greeting: Number.POSITIVE_INFINITY, idle: Number.POSITIVE_INFINITY, linger: 0 };

async function withThree(): Promise<AdminPort> {
  const admin = await AdminPort.open({ serving: silent });
  await admin.connect('192.0.2.1', 1001);
  await admin.connect('192.0.2.1', 1002);
  await admin.connect('198.51.100.2', 1003);
  return admin;
}

const closes = (admin: AdminPort) => admin.server.of('closed').map(({ id, reason, detail }) => [id, reason, detail]);

describe.each([
  ['drain', 'drained'],
  ['abort', 'aborted'],
] as const)('POST /connections/%s', (action, reason) => {
  it.each([
    ['one by its number', { ids: [2] }, [2]],
    ['some by their numbers, of which one does not exist', { ids: [1, 3, 99] }, [1, 3]],
    ['all of an address', { address: '192.0.2.1' }, [1, 2]],
    ['all but the oldest of an address', { address: '192.0.2.1', keep: 1 }, [2]],
    ['those of an address that a search names', { search: ' 192.0.2.1 ' }, [1, 2]],
    ['those of a network that a search names', { search: '198.51.100.0/24' }, [3]],
    ['one that a search finds by its address and port', { search: '192.0.2.1:1002' }, [2]],
    ['one that a search finds by its number', { search: '#1' }, [1]],
    ['all', { all: true }, [1, 2, 3]],
    ['none of an address that has none', { address: '203.0.113.9' }, []],
    ['none of a unix socket, whose peers have no address', { address: '' }, []],
  ])('closes %s', async (_what, body, ids) => {
    const admin = await withThree();
    expect(await admin.post(`/connections/${action}`, body)).toEqual({ status: 200, connections: ids.length });
    await admin.clock.settle();
    expect(closes(admin)).toEqual(ids.map((id) => [id, reason, 'admin']));
    expect(admin.log.of('action')).toEqual([
      {
        type: 'action',
        action,
        peer: { address: '127.0.0.1', port: expect.any(Number) },
        ...body,
        connections: ids.length,
        reason: 'admin',
      },
    ]);
  });

  it('passes the reason on to the events `closed`', async () => {
    const admin = await withThree();
    await admin.post(`/connections/${action}`, { ids: [1], reason: 'moved <b>away</b>' });
    await admin.clock.settle();
    expect(closes(admin)).toEqual([[1, reason, 'moved <b>away</b>']]);
  });

  it.each([
    ['no selection', {}, 'exactly one of ids, address, search, all'],
    ['two selections', { all: true, ids: [1] }, 'exactly one of ids, address, search, all'],
    ['`all: false`', { all: false }, 'all must be one of true, not false'],
    ['an unknown name', { everything: true }, "there is no option 'everything'"],
    ['`__proto__`', '{"__proto__":{"all":true}}', "there is no option '__proto__'"],
    ['no numbers', { ids: [] }, 'ids must be an array of 1 to 1000 whole numbers'],
    ['a number that is text', { ids: ['1'] }, 'ids must be an array of 1 to 1000 whole numbers'],
    ['too many numbers', { ids: Array(1001).fill(1) }, 'ids must be an array of 1 to 1000 whole numbers'],
    ['a negative `keep`', { all: true, keep: -1 }, 'keep must be a whole number of 0 or more, not -1'],
    ['an empty search, which would be all', { search: ' ' }, 'search must be a text of 1 to 200 characters'],
    [
      'a search that is a part of an address',
      { search: '192.0.2' },
      "network such as 10.0.0.0/8, or # and a number, not '192.0.2'",
    ],
    ['a search of a network that cannot be', { search: '192.0.2.0/33' }, "not '192.0.2.0/33'"],
    ['a long reason', { all: true, reason: 'x'.repeat(201) }, 'reason must be a text of 1 to 200 characters'],
    ['a list', [], 'the body must have exactly one of'],
    ['a number', '7', 'the body must be an object, not 7'],
    ['no JSON', '{', 'The body is not JSON'],
  ])('is 400 with a sentence for %s, and closes none', async (_what, body, sentence) => {
    const admin = await withThree();
    const { status, error } = await admin.post(`/connections/${action}`, body);
    expect({ status, reason: error.reason }).toEqual({ status: 400, reason: 'invalid' });
    expect(error.message).toContain(sentence);
    await admin.clock.settle();
    expect([closes(admin), admin.log.of('action')]).toEqual([[], []]);
  });

  it('is 413 for a long body, 415 for another media type, which a form of a page can send, and 405 for a GET', async () => {
    const admin = await withThree();
    const path = `/connections/${action}`;
    expect(await admin.post(path, `{"all":true${' '.repeat(100_000)}}`)).toMatchObject({
      status: 413,
      error: { reason: 'too-large' },
    });
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/jsonx']) {
      expect(await admin.post(path, { all: true }, { 'content-type': type })).toMatchObject({ status: 415 });
    }
    expect((await admin.get(path)).status).toBe(405);
    expect(closes(admin)).toEqual([]);
  });

  it('is 503 before the server listens', async () => {
    const admin = await AdminPort.beforeListening();
    expect(await admin.post(`/connections/${action}`, { all: true })).toMatchObject({
      status: 503,
      error: { reason: 'starting' },
    });
  });
});

describe('POST /connections/drain', () => {
  it('spares none that is closing already for those to keep', async () => {
    const admin = await AdminPort.open({ serving: { ...silent, frame: Number.POSITIVE_INFINITY } });
    for (let i = 0; i < 3; i++) (await admin.connect('192.0.2.1', 1001 + i)).write('half');
    await admin.clock.settle();
    await admin.post('/connections/drain', { ids: [1] });
    expect(await admin.post('/connections/drain', { address: '192.0.2.1', keep: 1 })).toMatchObject({ connections: 1 });
    const states = (await admin.json('/connections')).map(({ id, state }: { id: number; state: string }) => [
      id,
      state,
    ]);
    expect(states).toEqual([
      [1, 'draining'],
      [2, 'open'],
      [3, 'draining'],
    ]);
  });
});

describe('POST /limits/move', () => {
  it('moves a limit of the running server', async () => {
    const concurrency = new BehaviorSubject(2);
    const admin = await AdminPort.open({ options: { limits: { concurrency } }, serving: { ...silent, concurrency } });
    for (let i = 0; i < 3; i++) await admin.connect();
    expect(admin.server.of('opened')).toHaveLength(2);
    expect(await admin.json('/limits')).toEqual([{ name: 'concurrency', value: 2, unit: 'connections' }]);
    expect(await admin.post('/limits/move', { name: 'concurrency', value: 3 })).toEqual({
      status: 200,
      name: 'concurrency',
      was: 2,
      value: 3,
    });
    await admin.clock.settle();
    expect(admin.server.of('opened')).toHaveLength(3);
    expect(await admin.json('/limits')).toEqual([{ name: 'concurrency', value: 3, unit: 'connections' }]);
    expect(admin.log.of('action')).toMatchObject([{ action: 'limit', name: 'concurrency', was: 2, value: 3 }]);
  });

  it('takes and shows Infinity as a text, because JSON has none', async () => {
    const idle = new BehaviorSubject(Number.POSITIVE_INFINITY);
    const admin = await AdminPort.open({ options: { limits: { idle } } });
    expect(await admin.json('/limits')).toEqual([{ name: 'idle', value: 'Infinity', unit: 'ms' }]);
    expect(await admin.post('/limits/move', { name: 'idle', value: 500 })).toMatchObject({
      was: 'Infinity',
      value: 500,
    });
    expect(await admin.post('/limits/move', { name: 'idle', value: 'Infinity' })).toMatchObject({
      was: 500,
      value: 'Infinity',
    });
    expect(idle.value).toBe(Number.POSITIVE_INFINITY);
  });

  const bad: Record<LimitName, readonly unknown[]> = {
    concurrency: [0, 1.5, 'Infinity', -1, '5', null, true],
    'waiting.max': [-1, 0.5, 'Infinity'],
    'waiting.timeout': [-1, '1'],
    'perAddress.connections': [0, 1.5],
    'accepts.perSecond': [-1, 'NaN'],
    'accepts.perAddress.perSecond': [-1],
    idle: [0, -1],
    greeting: [0],
    frame: [0],
    reply: [0],
  };
  it.each(Object.keys(limitKinds) as LimitName[])(
    'gives the subject of %s no value that the server would refuse',
    async (name) => {
      const subject = new BehaviorSubject(7);
      const given: number[] = [];
      subject.subscribe((value) => given.push(value));
      const admin = await AdminPort.open({ options: { limits: { [name]: subject } } });
      for (const value of [...bad[name], undefined]) {
        const { status, error } = await admin.post('/limits/move', { name, value });
        expect([value, status, error.reason]).toEqual([value, 400, 'invalid']);
        expect(error.message).toMatch(/^Cannot move a limit: value must be /);
      }
      expect(given).toEqual([7]);
      expect(admin.log.of('action')).toEqual([]);
    },
  );

  it('knows only the limits that were given', async () => {
    const admin = await AdminPort.open({ options: { limits: { idle: new BehaviorSubject(1) } } });
    for (const name of ['concurrency', 'constructor', '', undefined]) {
      expect(await admin.post('/limits/move', { name, value: 5 })).toMatchObject({ status: 400 });
    }
    const without = await AdminPort.open();
    expect(await without.post('/limits/move', { name: 'idle', value: 5 })).toMatchObject({ status: 404 });
  });

  it.each([
    ['failed', (subject: BehaviorSubject<number>) => subject.error(new Error('gone'))],
    ['completed', (subject: BehaviorSubject<number>) => subject.complete()],
  ])('has no limit whose subject has %s: nothing would receive another value', async (_how, end) => {
    const idle = new BehaviorSubject(1);
    const frame = new BehaviorSubject(1);
    const admin = await AdminPort.open({ options: { limits: { idle, frame } } });
    end(idle);
    expect(await admin.json('/limits')).toMatchObject([{ name: 'frame' }]);
    expect(await admin.post('/limits/move', { name: 'idle', value: 5 })).toMatchObject({ status: 400 });
    expect([await admin.post('/limits/move', { name: 'frame', value: 5 }), frame.value]).toMatchObject([
      { status: 200 },
      5,
    ]);
  });
});

describe('POST /drain', () => {
  it('calls `drain`, and the server drains', async () => {
    const made: { admin?: AdminPort } = {};
    made.admin = await AdminPort.open({ options: { drain: () => made.admin?.shutdown.next() }, serving: silent });
    const { admin } = made;
    expect(await admin.post('/drain', {})).toEqual({ status: 202 });
    expect(admin.server.types).toContain('draining');
    expect(admin.log.of('action')).toMatchObject([{ action: 'shutdown' }]);
  });

  it('calls `drain` once at most, because a second value of `shutdown` aborts: afterwards it is 409', async () => {
    const drain = vi.fn(() => made.admin?.shutdown.next());
    const made: { admin?: AdminPort } = {};
    const admin = await AdminPort.open({ options: { drain }, serving: silent });
    made.admin = admin;
    const client = await admin.connect();
    client.write('half a line');
    await admin.clock.settle();
    const answers = [await admin.post('/drain', {}), await admin.post('/drain', {})];
    const error = { reason: 'draining', message: 'The server is draining already' };
    expect(answers).toEqual([{ status: 202 }, { status: 409, error }]);
    expect([drain.mock.calls.length, admin.log.of('action').length, closes(admin)]).toEqual([1, 1, []]);
    client.write(' and the rest\n');
    await admin.clock.settle();
    expect(closes(admin)).toEqual([[1, 'drained', undefined]]);
  });

  it('is 409 once the server drains because of a signal, and does not call `drain`', async () => {
    const drain = vi.fn();
    const admin = await AdminPort.open({ options: { drain }, serving: { ...silent, announce: 1000 } });
    admin.shutdown.next();
    expect(await admin.post('/drain', {})).toMatchObject({ status: 409, error: { reason: 'draining' } });
    expect([drain.mock.calls, admin.log.of('action')]).toEqual([[], []]);
  });

  it('is 409 for the second one even if `drain` is slow to begin', async () => {
    const drain = vi.fn();
    const admin = await AdminPort.open({ options: { drain } });
    const answers = await Promise.all([1, 2, 3].map(() => admin.post('/drain', {})));
    expect(answers.map(({ status }) => status).sort()).toEqual([202, 409, 409]);
    expect(drain).toHaveBeenCalledTimes(1);
  });

  it('is 404 without `drain`, and 400 for a body that is not empty', async () => {
    const admin = await AdminPort.open();
    expect(await admin.post('/drain', {})).toMatchObject({ status: 404 });
    expect(await admin.post('/drain', { now: true })).toMatchObject({ status: 400 });
  });

  it('is 500 with an event if `drain` throws, whatever it throws', async () => {
    const error = new TypeError('Cannot read properties of undefined');
    const drain = () => {
      throw error;
    };
    const admin = await AdminPort.open({ options: { drain } });
    expect(await admin.post('/drain', {})).toMatchObject({ status: 500, error: { reason: 'failed' } });
    expect(admin.log.of('failed')).toEqual([{ type: 'failed', error }]);
    // It has not begun: it may be asked for again.
    expect(await admin.post('/drain', {})).toMatchObject({ status: 500 });
  });
});

describe('GET /connections', () => {
  const found = async (admin: AdminPort, query: string) =>
    (await admin.json(`/connections?${query}`)).map(({ id }: { id: number }) => id);

  it('has those that a search finds, in the order asked for, and all without one', async () => {
    const admin = await withThree();
    expect(await found(admin, '')).toEqual([1, 2, 3]);
    expect(await found(admin, 'search=192.0.2.1&sort=newest')).toEqual([2, 1]);
    expect(await found(admin, 'search=51.100')).toEqual([3]);
    expect(await found(admin, 'first=2')).toEqual([1, 2]);
  });

  it.each([
    ['/connections?serach=192.0.2.1', "the query may have search, sort, first, not 'serach'"],
    ['/connections?address=192.0.2.1', "not 'address'"],
    ['/connections?sort=best', 'sort must be one of'],
    ['/connections?first=1e2', 'first must be a whole number of 1 or more'],
    ['/events?serach=1', "not 'serach'"],
    ['/addresses?search=1', "the query must be empty, not 'search'"],
    ['/limits?name=idle', "the query must be empty, not 'name'"],
  ])('and the others refuse a query that they do not know: %s', async (path, sentence) => {
    const admin = await AdminPort.open();
    const { status, text } = await admin.get(path);
    expect([status, JSON.parse(text).error.message]).toEqual([400, expect.stringContaining(sentence)]);
  });
});

describe('GET /rehearsal', () => {
  it('says what a drain would do, with other settings if they are given', async () => {
    const admin = await withThree();
    expect(await admin.json('/rehearsal')).toMatchObject({ idle: 3, busy: 0, aborted: 0 });
    expect((await admin.json('/rehearsal?announce=700&grace=1000')).longest).toBeGreaterThanOrEqual(1700);
    for (const query of ['grace=-1', 'grace=x', 'grace=', 'speed=1', 'spread=Infinity']) {
      expect((await admin.get(`/rehearsal?${query}`)).status).toBe(400);
    }
    expect(admin.server.of('closed')).toEqual([]);
  });
});

it('answers a target that is no path, and headers that are too long, and goes on', async () => {
  const admin = await AdminPort.open();
  expect((await ask(admin.port, 'http://[')).status).toBe(401);
  expect((await ask(admin.port, '/livez', { headers: { padding: 'x'.repeat(10_000) } })).status).toBe(431);
  expect((await ask(admin.port, '/livez')).status).toBe(200);
});
