import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ProxyHeaderError } from '../../lib/errors.ts';
import { decodeProxyHeader } from '../../lib/proxyProtocol/decode.ts';
import { encodeProxyHeader } from '../../lib/proxyProtocol/encode.ts';
import type { Decoded } from '../../lib/proxyProtocol/header.ts';
import type { Address } from '../../lib/transport/transport.ts';
import { binaryHeaders, headers } from './headers.ts';

/** How many headers each property changes. More of them are a matter of minutes: `RUNS=5000000`. */
const RUNS = Number(process.env.RUNS ?? 50_000);

/** Where the signature of version 2 ends. */
const SIGNED = 12;

const ATTEMPTS = 500;
const sample = <T>(arbitrary: fc.Arbitrary<T>) => fc.sample(arbitrary, { seed: 1, numRuns: ATTEMPTS });

/** The same random numbers in each run (xorshift32). From 0 to `below` - 1. */
function randomNumbers(): (below: number) => number {
  let state = 0x9e3779b9;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

/** The bytes of a client. There are as many as the longest header has, so that each header is complete, whatever it announces. */
const PAYLOAD = 17_000;
/** Room for a header, and the payload behind it. */
const memory = (() => {
  const random = randomNumbers();
  return Uint8Array.from({ length: 2 * PAYLOAD }, () => (random(2) === 0 ? 0 : random(256)));
})();

/** Decodes bytes with the payload behind them. @returns The error, if they are refused. */
function decode(bytes: Uint8Array): Decoded | ProxyHeaderError {
  const from = PAYLOAD - bytes.length;
  memory.set(bytes, from);
  try {
    return decodeProxyHeader(memory.subarray(from));
  } catch (error) {
    if (error instanceof ProxyHeaderError) return error;
    throw new Error(`an error that is no ProxyHeaderError, for ${Buffer.from(bytes).toString('hex')}`, {
      cause: error,
    });
  }
}

/** Whether it is one of the answers that a decoder may give. */
function isAnswer(decoded: Decoded | ProxyHeaderError, received: number): boolean {
  if (decoded instanceof ProxyHeaderError) return decoded.message.startsWith('Cannot read the PROXY header: ');
  if (decoded.kind === 'header') return decoded.length > 0 && decoded.length <= received;
  return decoded.kind === 'absent' || decoded.needs > received;
}

/** The bytes with a part replaced by a part of the payload. */
const replaced = (bytes: Uint8Array, at: number, removed: number, added: number): Uint8Array =>
  Buffer.concat([bytes.subarray(0, at), memory.subarray(PAYLOAD, PAYLOAD + added), bytes.subarray(at + removed)]);

const isSame = (one: Address | undefined, other: Address | undefined) =>
  one?.address === other?.address && one?.port === other?.port;

/** Most of the time would be spent on stacks of errors. */
const { stackTraceLimit } = Error;
beforeAll(() => {
  Error.stackTraceLimit = 0;
});
afterAll(() => {
  Error.stackTraceLimit = stackTraceLimit;
});

describe('a changed header', () => {
  it('is a header, the beginning of one, none, or refused with a ProxyHeaderError', () => {
    const originals = sample(headers).map((options) => encodeProxyHeader(options));
    const random = randomNumbers();
    const kinds = { header: 0, more: 0, absent: 0, refused: 0 };
    for (let run = 0; run < RUNS; run++) {
      let bytes: Uint8Array = Uint8Array.from(originals[run % ATTEMPTS] ?? []);
      for (let changes = 1 + random(3); changes > 0; changes--) {
        const at = random(bytes.length);
        if (random(4) === 0) bytes = replaced(bytes, at, random(4), random(4));
        else bytes[at] = random(256);
      }
      const decoded = decode(bytes);
      if (!isAnswer(decoded, bytes.length + PAYLOAD)) throw new Error(JSON.stringify(decoded));
      kinds[decoded instanceof ProxyHeaderError ? 'refused' : decoded.kind]++;
    }
    // Otherwise the changes might be such that always the same is answered. What follows completes each beginning.
    expect(kinds.header).toBeGreaterThan(RUNS / 10);
    expect(kinds.absent).toBeGreaterThan(RUNS / 20);
    expect(kinds.refused).toBeGreaterThan(RUNS / 10);
    expect(kinds.more).toBe(0);
  });

  it('with a checksum, and one changed byte behind the signature, has 0 spoofed addresses', () => {
    const originals = sample(binaryHeaders).map((options) => encodeProxyHeader({ ...options, checksum: true }));
    const sources = originals.map((bytes) => {
      const decoded = decodeProxyHeader(bytes);
      return decoded.kind === 'header' ? decoded.header.source : undefined;
    });
    const random = randomNumbers();
    const spoofed: string[] = [];
    let accepted = 0;
    for (let run = 0; run < RUNS; run++) {
      const bytes = Uint8Array.from(originals[run % ATTEMPTS] ?? []);
      const at = SIGNED + random(bytes.length - SIGNED);
      bytes[at] = (bytes[at] ?? 0) ^ (1 + random(255));
      const decoded = decode(bytes);
      if (decoded instanceof ProxyHeaderError || decoded.kind !== 'header') continue;
      accepted++;
      if (!isSame(decoded.header.source, sources[run % ATTEMPTS]))
        spoofed.push(`${Buffer.from(bytes).toString('hex')} ${at}`);
    }
    expect(spoofed).toEqual([]);
    // Another type than that of the checksum leaves a header without one; of LOCAL what cannot be read is ignored.
    expect(accepted).toBeGreaterThan(0);
    expect(accepted).toBeLessThan(RUNS / 10);
  });

  it.each([
    ['IPv4', { source: { address: '10.0.0.1', port: 1 }, destination: { address: '10.0.0.2', port: 2 } }],
    ['IPv6', { source: { address: '2001:db8::1', port: 1 }, destination: { address: '2001:db8::2', port: 2 } }],
    ['a unix socket', { source: { address: '/a', port: undefined }, destination: { address: '/b', port: undefined } }],
  ])('of %s with a checksum and fields never has another source, whichever byte has whichever value', (_, ends) => {
    const tlvs = [
      { type: 4, value: new Uint8Array(200) },
      { type: 0xe0, value: Buffer.from('value') },
    ];
    const original = encodeProxyHeader({ ...ends, authority: 'host', tlvs, checksum: true });
    const wrong: string[] = [];
    for (let at = SIGNED; at < original.length; at++) {
      for (let value = 0; value < 256; value++) {
        const bytes = Uint8Array.from(original);
        bytes[at] = value;
        const decoded = decode(bytes);
        if (decoded instanceof ProxyHeaderError || decoded.kind !== 'header') continue;
        if (!isSame(decoded.header.source, ends.source)) wrong.push(`byte ${at} is ${value}`);
      }
    }
    expect(wrong).toEqual([]);
  });
});
