import fc from 'fast-check';
import { expect, it } from 'vitest';
import { decodeProxyHeader } from '../../lib/proxyProtocol/decode.ts';
import { encodeProxyHeader, type ProxyHeaderOptions } from '../../lib/proxyProtocol/encode.ts';
import type { Decoded, ProxyHeader, ProxyTlv } from '../../lib/proxyProtocol/header.ts';
import { asIPv4, asIPv6, bytesOfIp, ipOfBytes } from '../../lib/proxyProtocol/ip.ts';
import type { Address } from '../../lib/transport/transport.ts';
import { binary, headers } from './headers.ts';

const payloads = fc.uint8Array({ maxLength: 50 });

/** What a header is received as. */
function expected(options: ProxyHeaderOptions): object {
  const { version = 2, command = 'proxy', source, destination, tlvs: _, checksum: _checksum, ...named } = options;
  const ends = command === 'local' ? [] : endsOf(version, source, destination);
  return { ...named, version, command, source: ends[0], destination: ends[1] };
}

function endsOf(version: 1 | 2, ...both: readonly (Address | undefined)[]): readonly (Address | undefined)[] {
  if (both.every((end) => end?.port !== undefined)) {
    const all = both.map((end) => ({ bytes: bytesOfIp(end?.address ?? '') ?? new Uint8Array(16), port: end?.port }));
    const is4 = all.every(({ bytes }) => asIPv4(bytes));
    return all.map(({ bytes, port }) => ({ address: ipOfBytes((is4 && asIPv4(bytes)) || asIPv6(bytes)), port }));
  }
  return version === 1 ? [] : both;
}

const decode = (...parts: readonly Uint8Array[]): Decoded => decodeProxyHeader(Buffer.concat(parts));

function headerIn(decoded: Decoded): ProxyHeader {
  if (decoded.kind !== 'header') throw new Error(`there is no header: ${decoded.kind}`);
  return decoded.header;
}

it('a header that was encoded is decoded to the same, whatever follows it', () => {
  fc.assert(
    fc.property(headers, payloads, (options, payload) => {
      const encoded = encodeProxyHeader(options);
      const decoded = decode(encoded, payload);
      const { tlvs, ...rest } = headerIn(decoded);
      expect(rest).toEqual(expected(options));
      expect(decoded).toMatchObject({ kind: 'header', length: encoded.length });
      const added = options.tlvs?.filter(({ type }) => tlvs.some((tlv) => tlv.type === type)) ?? [];
      expect(tlvs.filter(({ type }) => added.some((tlv) => tlv.type === type))).toEqual(added);
      expect(tlvs.filter(({ type }) => type === 3)).toHaveLength(options.checksum ? 1 : 0);
    }),
    { numRuns: 500 },
  );
});

it('a header that was decoded is encoded to one with the same meaning', () => {
  const meaning = ({ tlvs, ...rest }: ProxyHeader) => {
    const order = ({ type, value }: ProxyTlv) => `${type} ${Buffer.from(value).toString('hex')}`;
    return {
      ...rest,
      tlvs: tlvs
        .filter(({ type }) => type !== 3)
        .map(order)
        .sort(),
    };
  };
  fc.assert(
    fc.property(headers, fc.boolean(), (options, checksum) => {
      const header = headerIn(decode(encodeProxyHeader(options)));
      const again = encodeProxyHeader({ ...header, ...(header.version === 2 && { checksum }) });
      expect(meaning(headerIn(decode(again)))).toEqual(meaning(header));
    }),
  );
});

it('every beginning of a header needs more, never more than the header has', () => {
  fc.assert(
    fc.property(headers, (options) => {
      const encoded = encodeProxyHeader(options);
      for (let length = 0; length < encoded.length; length++) {
        const decoded = decodeProxyHeader(encoded.subarray(0, length));
        if (decoded.kind !== 'more') throw new Error(`${decoded.kind} after ${length} of ${encoded.length} bytes`);
        if (decoded.needs <= length || decoded.needs > encoded.length) throw new Error(`needs ${decoded.needs}`);
      }
    }),
    { numRuns: 300 },
  );
});

it('a header of version 2 is complete at the second read, if each read takes what is needed', () => {
  fc.assert(
    fc.property(headers, (options) => {
      fc.pre(options.version !== 1);
      const encoded = encodeProxyHeader(options);
      const needs = [0, 16].map((length) => decodeProxyHeader(encoded.subarray(0, length)));
      const whole = { kind: 'more', needs: encoded.length };
      expect(needs[0]).toMatchObject({ kind: 'more' });
      if (encoded.length > 16) expect(needs[1]).toEqual(whole);
    }),
  );
});

it('the first 16 bytes alone tell how much an incomplete header of version 2 needs', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 4000 }), (bytes) => {
      const incomplete = Buffer.concat([binary('2111', '', 5000), bytes]);
      expect(decodeProxyHeader(incomplete)).toEqual({ kind: 'more', needs: 5016 });
    }),
  );
});

it('a header keeps its values when the memory of its bytes is overwritten', () => {
  fc.assert(
    fc.property(headers, (options) => {
      const encoded = encodeProxyHeader(options);
      const header = headerIn(decodeProxyHeader(encoded));
      const before = structuredClone(header);
      encoded.fill(0xff);
      expect(header).toEqual(before);
    }),
  );
});
