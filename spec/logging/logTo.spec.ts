import { Writable } from 'node:stream';
import { Logger } from '@nestjs/common';
import fc from 'fast-check';
import { pino } from 'pino';
import { BehaviorSubject, of, throwError } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { DeadlineError, FrameTooLongError, TlsError } from '../../lib/errors.ts';
import type { ServerEvent } from '../../lib/events.ts';
import { type EventLogger, logTo } from '../../lib/logging/logTo.ts';
import { TestServer } from '../support/testServer.ts';

function logged(...events: ServerEvent[]) {
  const lines: Record<string, unknown>[] = [];
  const to = new Writable({
    write(chunk, _encoding, done) {
      lines.push(JSON.parse(String(chunk)));
      done();
    },
  });
  of(...events).subscribe(logTo(pino({ level: 'trace', base: null, timestamp: false }, to)));
  return lines;
}

const peer = { address: '192.0.2.7', port: 50_000 };
const local = { address: '192.0.2.1', port: 7000 };
const openSsl = new Error(
  'C0FFEE:error:0A000418:SSL routines:ssl3_read_bytes:tlsv1 alert unknown ca:rec_layer_s3.c:1601',
);
const unknownCa = new TlsError('the peer sent the alert unknown_ca', {
  code: 'ERR_SSL_TLSV1_ALERT_UNKNOWN_CA',
  alert: 'unknown_ca',
  sentBy: 'peer',
  cause: openSsl,
});
const certificate = {
  hosts: ['a.test', 'b.test'],
  subject: 'CN=a.test',
  issuer: 'CN=root',
  serialNumber: '1',
  fingerprint256: '00',
  validFrom: 0,
  validTo: Date.UTC(2030, 0, 1),
};

const counters = { accepted: 0, waiting: 0, active: 0, closed: 0, refused: 0 };
const closed = { type: 'closed', id: 7, peer, bytesIn: 1, bytesOut: 2, unsent: 0, duration: 3 } as const;

describe('logTo', () => {
  it('throws a TypeError for an object that is no logger', () => {
    const wanted = 'Cannot log: logger must be a logger with debug, info (or log), warn and error';
    expect(() => logTo({} as never)).toThrow(`${wanted}, not {}`);
    expect(() => logTo(null as never)).toThrow(`${wanted}, not null`);
    expect(() => logTo({ debug() {}, warn() {}, error() {} } as never)).toThrow(wanted);
  });

  it.each<[ServerEvent, number, string]>([
    [{ type: 'listening', address: local, counters } as ServerEvent, 30, 'listening on 192.0.2.1:7000'],
    [
      { type: 'listening', address: { address: '::', port: 7000 }, counters } as ServerEvent,
      30,
      'listening on [::]:7000',
    ],
    [
      { type: 'listening', address: { address: '/run/it', port: undefined }, counters } as ServerEvent,
      30,
      'listening on /run/it',
    ],
    [{ type: 'opened', id: 7, peer, waited: 0 }, 20, 'connection 7 opened'],
    [{ ...closed, reason: 'ended' } as ServerEvent, 30, 'connection 7 closed: ended'],
    [{ ...closed, reason: 'deadline', deadline: 'idle' } as ServerEvent, 30, 'connection 7 closed: deadline (idle)'],
    [
      { ...closed, reason: 'evicted', held: 500 } as ServerEvent,
      30,
      'connection 7 closed: evicted (it held 500 bytes)',
    ],
    [{ type: 'refused', id: 8, peer, reason: 'full', waited: 0 }, 40, 'connection 8 refused: full'],
    [
      { type: 'refused', id: 8, peer, reason: 'tls', waited: 0, error: unknownCa },
      40,
      'connection 8 refused: tls (unknown_ca)',
    ],
    [
      { type: 'refused', id: 8, peer, reason: 'deadline', deadline: 'handshake', waited: 0 },
      40,
      'connection 8 refused: deadline (handshake)',
    ],
    [
      { type: 'certificate', certificates: [certificate], validFor: 1, isExpiring: false },
      30,
      'the certificate of a.test, b.test is valid until 2030-01-01T00:00:00.000Z',
    ],
    [{ type: 'certificate', certificates: [], validFor: 1, isExpiring: true }, 40, 'certificates that cannot be read'],
    [{ type: 'failed', id: 7, peer, error: new Error('no') }, 50, 'connection 7: its handler failed'],
    [{ type: 'failed', error: new Error('no') }, 50, 'an accept failed'],
    [{ type: 'failed', peer, callback: 'admit', error: new Error('no') }, 50, 'the function admit failed'],
    [{ type: 'failed', callback: 'evict', error: new Error('no') }, 50, 'the function evict failed'],
    [{ type: 'failed', id: 7, peer, callback: 'farewell', error: new Error('no') }, 50, 'the function farewell failed'],
    [{ type: 'failed', id: 7, peer, callback: 'lastCall', error: unknownCa }, 50, 'the function lastCall failed'],
    [
      { type: 'refused', id: 8, peer, reason: 'per-address', limit: 20, waited: 0 },
      40,
      'connection 8 refused: per-address (192.0.2.7 has its 20 connections; the option perAddress changes that)',
    ],
    [{ type: 'refused', id: 8, peer, reason: 'per-address', waited: 0 }, 40, 'connection 8 refused: per-address'],
    [{ type: 'failed', error: unknownCa }, 50, 'the certificate was not renewed'],
    [{ type: 'exhausted', limit: 1024 }, 50, 'out of descriptors: the process may have 1024'],
    [
      { type: 'hoarding', id: 7, peer, frames: 1500, bytes: 15_000 },
      40,
      'connection 7: its handler keeps 1500 requests, about 15000 bytes, in an operator such as concatMap or delay; use exchange, see lib/flow/BACKPRESSURE.md',
    ],
    [
      {
        ...{ type: 'progress', id: 7, peer, bytesIn: 500, bytesOut: 80, unsent: 0, duration: 7_200_000 },
        change: { bytesIn: 12, bytesOut: 3, duration: 3_600_000 },
      },
      30,
      'connection 7 open for 7200 s: 12 bytes in, 3 out in the last 3600 s',
    ],
    [{ type: 'draining', active: 3, waiting: 1 }, 30, 'draining: 3 active, 1 waiting'],
    [
      { type: 'drained', drained: 2, aborted: 1, refused: 4, unsent: 5, duration: 6 },
      30,
      'drained: 2 closed, 1 aborted, 4 refused, 5 bytes unsent',
    ],
  ])('logs one line, with its level and a sentence: %o', (event, level, msg) => {
    const lines = logged(event);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({ level, msg, type: event.type });
  });

  it('logs of a port that cannot park, and of a limit that cannot be, what the error says', async () => {
    const concurrency = new BehaviorSubject(1);
    const server = new TestServer((connection) => connection, { concurrency, overflow: 'park' });
    server.network.canPause = false;
    await server.clock.settle();
    concurrency.next(0);
    await server.clock.settle();
    const errors = server.log.of('failed').map(({ error }) => (error as Error).message);
    expect(errors).toEqual([
      expect.stringMatching(/^Cannot park: this port cannot stop accepting/),
      expect.stringMatching(/^Cannot use what an Observable has emitted: concurrency must be /),
    ]);
    expect(logged(...server.log.of('failed')).map(({ msg }) => msg)).toEqual(errors);
    server.log.subscription?.unsubscribe();
  });

  it('logs the fields of an event, except the live ones', () => {
    expect(logged({ type: 'refused', id: 8, peer, reason: 'full', waited: 12 })).toEqual([
      { level: 40, type: 'refused', id: 8, peer, reason: 'full', waited: 12, msg: 'connection 8 refused: full' },
    ]);
    const [line] = logged({ type: 'listening', address: local, counters } as ServerEvent);
    expect(Object.keys(line ?? {}).sort()).toEqual(['address', 'level', 'msg', 'type']);
  });

  it('logs of a secured connection what was negotiated, and of its proxy the address', () => {
    const header = { version: 2, command: 'proxy', source: peer, destination: local, tlvs: [] } as const;
    const shown = {
      protocol: 'TLSv1.3',
      cipher: 'TLS_AES_128_GCM_SHA256',
      alpn: 'a',
      servername: 'b',
      isVerified: true,
    };
    const hidden = { isResumed: false, isTruncated: false, verifyError: undefined, peerCertificate: undefined };
    const via = { ...local, header };
    expect(logged({ type: 'opened', id: 1, peer, waited: 0, via, security: { ...shown, ...hidden } })).toMatchObject([
      { type: 'opened', via: local, security: shown },
    ]);
    const [line] = logged({ type: 'opened', id: 1, peer, waited: 0, via, security: { ...shown, ...hidden } });
    expect([line?.via, line?.security]).toEqual([local, shown]);
  });

  it('logs an error of TLS without the lines of the source of OpenSSL', () => {
    const text = JSON.stringify(logged({ type: 'refused', id: 8, peer, reason: 'tls', waited: 0, error: unknownCa }));
    expect(text).toContain('TlsError: Cannot secure the connection: the peer sent the alert unknown_ca');
    expect(text).not.toContain('rec_layer');
  });

  it('logs an error with its class, message, stack and own fields', () => {
    const [line] = logged({ type: 'failed', id: 1, peer, error: new DeadlineError('idle', 30) });
    expect(line).not.toHaveProperty('error');
    expect(line?.err).toMatchObject({
      type: 'DeadlineError',
      message: 'Cannot wait longer: the idle deadline of 30 ms is over',
      stack: expect.stringContaining('logTo.spec'),
      deadline: 'idle',
      after: 30,
    });
  });

  it('logs an error with a number that JSON cannot represent', () => {
    const error = new FrameTooLongError(10, 2n ** 64n - 1n);
    expect(logged({ type: 'failed', id: 1, peer, error })).toMatchObject([
      { type: 'failed', err: { type: 'FrameTooLongError', limit: 10 } },
    ]);
  });

  it('logs the error of a closed connection in one sentence, without a stack', () => {
    const error = new DeadlineError('idle', 30);
    const caused = new Error('cannot go on', { cause: new Error('reset') });
    const lines = [error, caused, { code: 5 }, 'a text'].map(
      (one) => logged({ ...closed, reason: 'failed', error: one } as ServerEvent)[0],
    );
    expect(lines.map((line) => line?.error)).toEqual([
      'DeadlineError: Cannot wait longer: the idle deadline of 30 ms is over',
      'Error: cannot go on: reset',
      '{ code: 5 }',
      "'a text'",
    ]);
    expect(lines.every((line) => line !== undefined && !('err' in line))).toBe(true);
  });

  it.each([['a text'], [undefined], [null], [{ code: 5 }]])('logs a thrown value that is no error: %o', (error) => {
    const lines = logged({ type: 'failed', id: 1, peer, error });
    expect(lines).toHaveLength(1);
    if (error !== undefined) expect(lines[0]?.err).toEqual(error);
  });

  it('logs the error that ends the stream', () => {
    const lines: Record<string, unknown>[] = [];
    const logger = pino(
      { base: null, timestamp: false },
      { write: (line: string) => void lines.push(JSON.parse(line)) },
    );
    const error = Object.assign(new Error('listen EADDRINUSE'), { code: 'EADDRINUSE' });
    throwError(() => error).subscribe(logTo(logger));
    expect(lines).toMatchObject([
      { level: 50, type: 'error', msg: 'the server ended with an error', err: { code: 'EADDRINUSE' } },
    ]);
  });
});

/** A logger for lines of text, and its calls. */
function textLogger(info: 'info' | 'log' = 'info') {
  const calls: [string, ...unknown[]][] = [];
  const methods = ['debug', info, 'warn', 'error'].map((name) => [
    name,
    (...args: unknown[]) => void calls.push([name, ...args]),
  ]);
  return { calls, logger: Object.fromEntries(methods) as EventLogger };
}

describe('logTo with a logger other than pino', () => {
  it('accepts console and the Logger of Nest', () => {
    expect(() => [logTo(console), logTo(new Logger('tcp')), logTo(pino({ level: 'silent' }))]).not.toThrow();
  });

  it('calls the logger as a method', () => {
    const logger = {
      text: '',
      debug() {},
      warn() {},
      error() {},
      info(line: string) {
        this.text += line;
      },
    };
    of<ServerEvent>({ type: 'draining', active: 3, waiting: 1 }).subscribe(logTo(logger));
    expect(logger.text).toBe('draining: 3 active, 1 waiting { active: 3, waiting: 1 }');
  });

  it('logs one string: the sentence, then the fields', () => {
    const { calls, logger } = textLogger();
    const events: ServerEvent[] = [
      { type: 'opened', id: 7, peer, waited: 0 },
      { ...closed, reason: 'failed', error: new Error('no', { cause: new Error('reset') }) } as ServerEvent,
      { type: 'refused', id: 8, peer, reason: 'full', waited: 12 },
    ];
    of(...events).subscribe(logTo(logger));
    const at = "peer: { address: '192.0.2.7', port: 50000 }";
    expect(calls).toEqual([
      ['debug', `connection 7 opened { id: 7, ${at}, waited: 0 }`],
      [
        'info',
        `connection 7 closed: failed { id: 7, ${at}, bytesIn: 1, bytesOut: 2, unsent: 0, duration: 3, reason: 'failed', error: 'Error: no: reset' }`,
      ],
      ['warn', `connection 8 refused: full { id: 8, ${at}, reason: 'full', waited: 12 }`],
    ]);
  });

  it('logs the stack of an error below its line, indented', () => {
    const { calls, logger } = textLogger();
    of<ServerEvent>({ type: 'failed', id: 7, peer, error: new Error('no\nINFO: all is well') }).subscribe(
      logTo(logger),
    );
    const [[level, text]] = calls as [[string, string]];
    const [first, ...others] = text.split('\n');
    expect([level, first]).toEqual(['error', expect.stringMatching(/^connection 7: its handler failed \{/)]);
    expect(others.join('\n')).toMatch(/^ {4}Error: no\n {4}INFO: all is well\n {8}at .*logTo\.spec/);
  });

  it('calls log if there is no info, as in Nest', () => {
    const { calls, logger } = textLogger('log');
    of<ServerEvent>({ type: 'draining', active: 3, waiting: 1 }).subscribe(logTo(logger));
    expect(calls.map(([name]) => name)).toEqual(['log']);
  });
});

describe('text from a peer', () => {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the expression is meant to find them.
  const unsafe = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/;
  const text = fc.string({
    unit: fc.constantFrom(
      'a',
      '\n',
      '\\',
      '"',
      '\u0000',
      '\u001b',
      '\u007f',
      '\u009b',
      '\u061c',
      '\u200e',
      '\u202e',
      '\u2066',
    ),
    maxLength: 6,
  });

  it('has no control character and no change of direction in any log line, whichever field it is in', () => {
    fc.assert(
      fc.property(text, (sent) => {
        const error = Object.assign(new Error(sent, { cause: new TypeError(sent) }), { sent, of: [{ [sent]: sent }] });
        error.name = sent;
        const events: ServerEvent[] = [
          { type: 'refused', id: 1, peer, reason: sent, waited: 0 },
          { type: 'failed', id: 1, peer, error },
          { type: 'failed', id: 1, peer, error: sent },
          { type: 'failed', id: 1, peer, error: new AggregateError([new Error(sent), sent]) },
          { ...closed, reason: 'failed', error } as ServerEvent,
          { ...closed, reason: 'failed', error: sent } as ServerEvent,
        ];
        const json: string[] = [];
        of(...events).subscribe(logTo(pino({ level: 'trace' }, { write: (line: string) => json.push(line) })));
        const { calls, logger } = textLogger();
        of(...events).subscribe(logTo(logger));
        for (const line of json) expect(line.trimEnd()).not.toMatch(unsafe);
        for (const line of calls.flat()) expect(line).not.toMatch(unsafe);
        // Nor in what a viewer of the JSON prints.
        JSON.parse(`[${json.join(',')}]`, (_key, value) => {
          if (typeof value === 'string') expect(value).not.toMatch(unsafe);
          return value;
        });
        // Further lines of one call are indented, so that none looks like a log line.
        for (const [, line] of calls)
          for (const more of String(line).split('\n').slice(1)) expect(more).toMatch(/^ {4}/);
      }),
    );
  });
});
