import { randomBytes } from 'node:crypto';
import { isIPv6 } from 'node:net';
import type { Security } from '../../lib/index.ts';
import type { Envelope } from './store.ts';

/** How a client has introduced itself: by EHLO, or by HELO. */
export interface Introduction {
  readonly name: string;
  readonly isExtended: boolean;
}

/** What is known about a message before its content comes. */
export interface Origin extends Envelope {
  readonly id: string;
  readonly isUtf8: boolean;
  /** The name of this server. */
  readonly host: string;
  /** The client's IP address, if it has one. */
  readonly peer: string | undefined;
  readonly introduction: Introduction | undefined;
  readonly security: Security | undefined;
}

let count = 0;

/** Unique on this machine, as a maildir needs it: the time, the process, a number and a random one. */
export function uniqueId(): string {
  const now = Date.now();
  const micros = (now % 1000) * 1000;
  return `${Math.floor(now / 1000)}.M${micros}P${process.pid}Q${++count}R${randomBytes(6).toString('hex')}`;
}

/**
 * The lines that a server puts before a message: the sender and the recipients of the envelope, which the message itself need not
 * name, and where the message came from. (RFC 5321, 4.4)
 */
export function trace({ from, to, id, isUtf8, host, peer, introduction, security }: Origin): string {
  const { name = 'unknown', isExtended = false } = introduction ?? {};
  const kind = isUtf8 ? 'UTF8SMTP' : isExtended ? 'ESMTP' : 'SMTP';
  // HELO over TLS has no name of its own.
  const protocol = security !== undefined && kind !== 'SMTP' ? `${kind}S` : kind;
  const by = security === undefined ? host : `${host} (${security.protocol ?? 'TLS'} ${security.cipher})`;
  return [
    `Return-Path: <${from}>`,
    ...to.map((one) => `Delivered-To: ${one}`),
    `Received: from ${name}${peer === undefined ? '' : ` (${literal(peer)})`}`,
    `\tby ${by}`,
    `\twith ${protocol} id ${id}`,
    ...(to.length === 1 ? [`\tfor <${to[0]}>`] : []),
  ]
    .join('\r\n')
    .concat(`;\r\n\t${date(new Date())}\r\n`);
}

/** An IP address as it is written in mail. */
function literal(address: string): string {
  const plain = address.replace(/^::ffff:(?=[\d.]+$)/i, '').replace(/%.*$/, '');
  return isIPv6(plain) ? `[IPv6:${plain}]` : `[${plain}]`;
}

const date = (at: Date): string => at.toUTCString().replace('GMT', '+0000');
