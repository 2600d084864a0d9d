import { isIPv4, isIPv6 } from 'node:net';
import { ProxyHeaderError } from '../errors.ts';
import { describe } from '../options.ts';
import type { Decoded, ProxyHeader } from './header.ts';
import { bytesOfIp, ipOfBytes } from './ip.ts';
import { LONGEST_LINE, SHORTEST_LINE, WORD } from './wire.ts';

const CR = 0x0d;
const LF = 0x0a;

/** How every line begins. */
const BEGINNINGS = ['PROXY TCP4 ', 'PROXY TCP6 ', 'PROXY UNKNOWN'];
const OTHER_PROTOCOL = 'its protocol is not TCP4, TCP6 or UNKNOWN';

/** Decodes a header of version 1 (section 2.1). The first word has been compared. */
export function decodeLine(bytes: Uint8Array): Decoded {
  const end = endOf(bytes);
  const received = Buffer.from(bytes.buffer, bytes.byteOffset, end ?? bytes.length).toString('latin1');
  if (!BEGINNINGS.some((beginning) => received.startsWith(beginning) || beginning.startsWith(received))) {
    throw new ProxyHeaderError(OTHER_PROTOCOL);
  }
  if (end !== undefined) return { kind: 'header', header: headerOf(received), length: end + 2 };
  const needs = bytes.length + (bytes[bytes.length - 1] === CR ? 1 : 2);
  if (needs > LONGEST_LINE) throw new ProxyHeaderError(`its line does not end within ${LONGEST_LINE} bytes`);
  return { kind: 'more', needs: Math.max(needs, SHORTEST_LINE) };
}

/** Where the line ends, without its CRLF; `undefined` if it does not end yet. */
function endOf(bytes: Uint8Array): number | undefined {
  // The CRLF is part of the longest line.
  const last = Math.min(bytes.length, LONGEST_LINE - 1);
  for (let i = WORD.length; i < last; i++) {
    if (bytes[i] === LF) throw new ProxyHeaderError('its line has an LF without a CR');
    if (bytes[i] !== CR) continue;
    if (i + 1 === bytes.length) return undefined;
    if (bytes[i + 1] !== LF) throw new ProxyHeaderError('its line has a CR without an LF');
    return i;
  }
  return undefined;
}

function headerOf(line: string): ProxyHeader {
  const [, protocol, ...fields] = line.split(' ');
  const common = { version: 1, command: 'proxy', tlvs: [] } as const;
  // Whatever follows the word is ignored.
  if (protocol === 'UNKNOWN') return { ...common, source: undefined, destination: undefined };
  if (protocol !== 'TCP4' && protocol !== 'TCP6') throw new ProxyHeaderError(OTHER_PROTOCOL);
  const [from, to, fromPort, toPort] = fields;
  if (fields.length !== 4) throw new ProxyHeaderError(`after ${protocol} there must be 4 fields, not ${fields.length}`);
  return {
    ...common,
    source: { address: addressOf(protocol, from), port: portOf(fromPort) },
    destination: { address: addressOf(protocol, to), port: portOf(toPort) },
  };
}

function addressOf(protocol: 'TCP4' | 'TCP6', text = ''): string {
  // A zone is of no use to another machine, and is not part of the format.
  const isAddress = protocol === 'TCP4' ? isIPv4(text) : isIPv6(text) && !text.includes('%');
  const bytes = isAddress ? bytesOfIp(text) : undefined;
  if (bytes) return ipOfBytes(bytes);
  throw new ProxyHeaderError(`${describe(text)} is not an address of ${protocol}`);
}

function portOf(text = ''): number {
  const port = /^(?:0|[1-9]\d{0,4})$/.test(text) ? Number(text) : Number.NaN;
  if (port <= 65_535) return port;
  throw new ProxyHeaderError(`${describe(text)} is not a port`);
}
