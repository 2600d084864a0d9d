import { afterEach, describe, expect, it } from 'vitest';
import { converse } from '../../../demos/smtp/converse.ts';
import type { Frame } from '../../../demos/smtp/frame.ts';
import { READY_FOR_TLS } from '../../../demos/smtp/replies.ts';
import { Session } from '../../../demos/smtp/session.ts';
import { type Security, serve } from '../../../lib/index.ts';
import { authority } from '../../support/certificates.ts';
import { client, closeClients } from '../../support/client.ts';
import { Log } from '../../support/log.ts';
import { MemoryStore, mailOptions } from './support.ts';

const command = (line: string): Frame => ({ type: 'command', line, fault: undefined });
const security = { protocol: 'TLSv1.3', cipher: 'TLS_AES_256_GCM_SHA384' } as Security;

/** A session whose connection is secured by a promise of the spec. */
function session(requireTls = false) {
  const upgrades: string[] = [];
  let secured: Security | undefined;
  const one = new Session({
    host: 'mx.test',
    store: new MemoryStore(),
    maxSize: 1000,
    maxRecipients: 3,
    maxErrors: 100,
    requireTls,
    peer: '127.0.0.1',
    security: () => secured,
    upgrade: async (ready) => {
      upgrades.push(ready);
      secured = security;
    },
  });
  const say = async (line: string) => String((await one.execute(command(line))) ?? '').trim();
  return { one, say, upgrades };
}

const EHLO = 'EHLO me.test';
const FROM = 'MAIL FROM:<a@me.test>';

describe('STARTTLS', () => {
  it('is offered in clear text only', async () => {
    const { say, upgrades } = session();
    expect(await say(EHLO)).toContain('250-STARTTLS\r\n');
    expect(await say('STARTTLS')).toBe('');
    expect(upgrades).toEqual([READY_FOR_TLS]);
    expect(await say(EHLO)).not.toContain('STARTTLS');
    expect(await say('STARTTLS')).toBe('503 5.5.1 The connection is secured already');
    expect(await say('STARTTLS now')).toBe('501 5.5.4 Syntax: STARTTLS');
    expect(upgrades).toHaveLength(1);
  });

  it('makes the session forget all that was said before', async () => {
    const { say } = session();
    await say(EHLO);
    await say(FROM);
    await say('RCPT TO:<b@mx.test>');
    await say('STARTTLS');
    expect(await say('DATA')).toBe('503 5.5.1 MAIL comes first');
    expect(await say(FROM)).toBe('503 5.5.1 EHLO comes first');
    await say(EHLO);
    expect(await say(FROM)).toBe('250 2.1.0 OK');
  });

  it('comes before all but a few commands, where TLS is required', async () => {
    const { say } = session(true);
    const refused = [FROM, 'RCPT TO:<b@mx.test>', 'DATA', 'RSET', 'VRFY b', 'EXPN b', 'HELP'];
    for (const line of refused) expect(await say(line)).toBe('530 5.7.0 STARTTLS comes first');
    for (const line of [EHLO, 'HELO me.test', 'NOOP']) expect(await say(line)).toMatch(/^250/);
    await say('STARTTLS');
    await say(EHLO);
    expect(await say(FROM)).toBe('250 2.1.0 OK');
  });
});

describe('what comes in clear text behind STARTTLS', () => {
  afterEach(closeClients);

  it.each([
    ['a command', ['STARTTLS\r\nMAIL FROM:<a@b>\r\n']],
    ['a part of a command', ['NOOP\r\nSTARTTLS\r', '\nM']],
    ['a line end', ['STARTTLS\r\n\r\n']],
    ['a command in a later read', ['STARTTLS\r\n', 'MAIL FROM:<a@b>\r\n']],
  ])('is never executed, and closes the connection: %s', async (_, chunks) => {
    const certificate = await (await authority()).issue();
    const mail = converse({ ...mailOptions(new MemoryStore()), startTls: true });
    const log = Log.follow(serve({ port: 0, host: '127.0.0.1' }, mail, { tls: certificate, startTls: true }));
    const one = client(await log.whenListening());
    await one.write('EHLO me.test\r\n').whenRead('250 ENHANCEDSTATUSCODES\r\n');
    for (const [index, chunk] of chunks.entries()) {
      one.write(chunk);
      if (index < chunks.length - 1)
        await (chunk.endsWith('\n') ? one.whenRead('220 2.0.0') : one.whenRead('250 2.0.0'));
    }
    await one.whenClosed();
    await log.whenEmitted('closed');
    log.subscription?.unsubscribe();
    expect(log.closes).toEqual(['tls']);
    expect(log.of('failed')).toEqual([]);
    expect(one.text).not.toMatch(/^250 2\.1\.0|^500/m);
  });
});
