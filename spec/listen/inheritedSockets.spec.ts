import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { InheritedSocketError } from '../../lib/errors.ts';
import { inheritedSockets, socketNamed } from '../../lib/listen/inheritedSockets.ts';
import { withFreshModules } from '../support/freshModules.ts';

const PID = 4711;
const handedOver = { LISTEN_PID: `${PID}`, LISTEN_FDS: '2', LISTEN_FDNAMES: 'main:admin' };

/** The reason of the error that a function throws. */
function failure(work: () => unknown): Pick<InheritedSocketError, 'reason' | 'message' | 'names'> {
  try {
    work();
  } catch (error) {
    // By its name, because its class may be of another instance of the library.
    if ((error as Error).name === 'InheritedSocketError') return error as InheritedSocketError;
    throw error;
  }
  throw new Error('It has thrown nothing');
}

/** What systemd allows in a name, but fewer letters. */
const name = fc.stringMatching(/^[a-c]{0,3}$/);

describe('the sockets that were handed over', () => {
  it('have the descriptors from 3 on, in the order of their names', () => {
    const names = fc.array(name, { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(names, fc.integer({ min: 1, max: 2 ** 22 }), (all, pid) => {
        const env = { LISTEN_PID: `${pid}`, LISTEN_FDS: `${all.length}`, LISTEN_FDNAMES: all.join(':') };
        expect(inheritedSockets(env, pid)).toEqual(all.map((name, i) => ({ name, fd: 3 + i })));
      }),
    );
  });

  it('are called unknown where the names are missing, as by sd_listen_fds_with_names', () => {
    const { LISTEN_FDNAMES: _, ...unnamed } = handedOver;
    expect(inheritedSockets(unnamed, PID)).toEqual([
      { name: 'unknown', fd: 3 },
      { name: 'unknown', fd: 4 },
    ]);
  });

  it.each([
    ['none', {}, 'LISTEN_FDS is not set'],
    ['none', { ...handedOver, LISTEN_FDS: undefined }, 'LISTEN_FDS is not set'],
    ['other-process', { ...handedOver, LISTEN_PID: '4710' }, 'for process 4710, and this is process 4711'],
    ['malformed', { ...handedOver, LISTEN_PID: undefined }, 'LISTEN_PID must be the number of a process'],
    ['malformed', { ...handedOver, LISTEN_PID: '' }, "not ''"],
    ['malformed', { ...handedOver, LISTEN_FDS: '3' }, 'LISTEN_FDNAMES has 2 names, and LISTEN_FDS is 3'],
    ...['', '0', '-1', '1.5', '0x2', ' 2', '2 ', '1e3', '65537', '50000000', '99999999999999999999'].map(
      (count) => ['malformed', { ...handedOver, LISTEN_FDS: count }, 'LISTEN_FDS must be'] as const,
    ),
  ] as const)('are refused as %s with the variables %j', (reason, env, says) => {
    const error = failure(() => inheritedSockets(env, PID));
    expect(error.reason).toBe(reason);
    expect(error.message).toContain(says);
  });

  it('are read, or refused with a typed error, whatever the variables are', () => {
    const value = fc.option(fc.oneof(fc.string(), fc.nat(5).map(String), name), { nil: undefined });
    const env = fc.record({
      LISTEN_PID: fc.oneof(value, fc.constant(`${PID}`)),
      LISTEN_FDS: value,
      LISTEN_FDNAMES: value,
    });
    fc.assert(
      fc.property(env, (variables) => {
        try {
          expect(inheritedSockets(variables, PID)).toHaveLength(Number(variables.LISTEN_FDS));
        } catch (error) {
          expect(error).toBeInstanceOf(InheritedSocketError);
        }
      }),
    );
  });
});

describe('a socket of a name', () => {
  it('is not found among very many with a short message', () => {
    const many = inheritedSockets({ LISTEN_PID: `${PID}`, LISTEN_FDS: '65536' }, PID);
    const { message } = failure(() => socketNamed(many, undefined));
    expect(message).toContain("'unknown' (descriptor 22), and 65516 more");
    expect(message.length).toBeLessThan(1000);
  });

  it('is found if just one has it; otherwise the error has all names', () => {
    fc.assert(
      fc.property(
        fc.array(name, { minLength: 1, maxLength: 5 }),
        fc.option(name, { nil: undefined }),
        (all, wanted) => {
          const sockets = all.map((name, i) => ({ name, fd: 3 + i }));
          const found = sockets.filter((socket) => wanted === undefined || socket.name === wanted);
          if (found.length === 1) {
            expect(socketNamed(sockets, wanted)).toBe(found[0]);
            return;
          }
          const reason = found.length === 0 ? 'unknown-name' : 'ambiguous';
          expect(failure(() => socketNamed(sockets, wanted))).toMatchObject({ reason, names: all });
        },
      ),
    );
  });

  it('is not chosen among two, such as those of IPv4 and IPv6: the error says how to tell them apart', () => {
    const both = [
      { name: 'main', fd: 3 },
      { name: 'main', fd: 4 },
    ];
    const { message } = failure(() => socketNamed(both, 'main'));
    expect(message).toMatch(/^Cannot inherit a socket: descriptors 3 and 4 both have the name 'main'\. /);
    expect(message).toContain('FileDescriptorName=');
  });
});

describe('inherited', () => {
  let inherited: typeof import('../../lib/listen/inherited.ts').inherited;

  // It keeps what was handed over to the process.
  beforeEach(async () => {
    ({ inherited } = await withFreshModules(() => import('../../lib/listen/inherited.ts')));
  });
  afterEach(() => vi.unstubAllEnvs());

  it('throws before a port is opened where nothing was handed over', () => {
    vi.stubEnv('LISTEN_FDS', undefined);
    expect(failure(() => inherited('main'))).toMatchObject({ reason: 'none', names: [] });
  });

  it('is the given place where nothing was handed over, and only there', () => {
    const otherwise = { port: 0 };
    vi.stubEnv('LISTEN_FDS', undefined);
    expect(inherited('main', otherwise)).toBe(otherwise);
    for (const [name, value] of Object.entries(handedOver)) vi.stubEnv(name, value);
    expect(failure(() => inherited('main', otherwise)).reason).toBe('other-process');
    vi.stubEnv('LISTEN_PID', `${process.pid}`);
    expect(failure(() => inherited('other', otherwise)).reason).toBe('unknown-name');
    // The variables are removed by now, and the sockets are still known.
    expect(process.env.LISTEN_FDS).toBeUndefined();
    expect(failure(() => inherited('other', otherwise))).toMatchObject({
      reason: 'unknown-name',
      names: ['main', 'admin'],
    });
  });

  it('keeps the variables that are meant for another process', () => {
    for (const [name, value] of Object.entries(handedOver)) vi.stubEnv(name, value);
    vi.stubEnv('LISTEN_PID', `${process.pid + 1}`);
    expect(failure(() => inherited('main')).reason).toBe('other-process');
    expect(process.env).toMatchObject({ LISTEN_FDS: '2', LISTEN_FDNAMES: 'main:admin' });
  });

  it('refuses a descriptor that is no socket', () => {
    // Far above the descriptors that are open.
    const many = 65_536;
    const names = [...Array(many - 1).fill('other'), 'main'].join(':');
    const variables = { LISTEN_PID: `${process.pid}`, LISTEN_FDS: `${many}`, LISTEN_FDNAMES: names };
    // Not stubbed, because a variable of this length cannot be passed to a process.
    Object.assign(process.env, variables);
    expect(failure(() => inherited('main'))).toMatchObject({ reason: 'not-a-socket' });
    expect(Object.keys(process.env).filter((variable) => variable.startsWith('LISTEN_'))).toEqual([]);
  });

  it.each([1, '', null, {}])('throws a TypeError for the name %j', (name) => {
    expect(() => inherited(name as string)).toThrow(TypeError);
  });
});
