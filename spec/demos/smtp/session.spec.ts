import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BLOCK } from '../../../demos/smtp/content.ts';
import { Message } from '../../../demos/smtp/message.ts';
import { chop, chunkings } from '../../support/bytes.ts';
import { MailServer, MemoryStore } from './support.ts';

const HELLO = 'EHLO me.test';
const FROM = 'MAIL FROM:<a@me.test>';
const TO = 'RCPT TO:<b@mx.test>';
const START = '354 End data with <CR><LF>.<CR><LF>';

/** What a new client receives for its lines, without the banner. */
async function talk(...lines: string[]): Promise<string[]> {
  const mail = await MailServer.open();
  const client = await mail.connect();
  client.replies();
  return client.say(...lines);
}

/** The last reply of such a talk. */
const last = async (...lines: string[]): Promise<string | undefined> => (await talk(...lines)).at(-1);

describe('a session', () => {
  it('takes a message, and closes after QUIT', async () => {
    const mail = await MailServer.open();
    const client = await mail.connect();
    expect(client.replies()).toEqual(['220 mx.test ESMTP Sluice']);
    expect(await client.say(HELLO)).toEqual([
      '250-mx.test',
      '250-PIPELINING',
      '250-SIZE 1000000',
      '250-8BITMIME',
      '250-SMTPUTF8',
      '250 ENHANCEDSTATUSCODES',
    ]);
    expect(await client.say(FROM)).toEqual(['250 2.1.0 OK']);
    expect(await client.say(TO)).toEqual(['250 2.1.5 OK']);
    expect(await client.say('rcpt to:<C@mx.test>')).toEqual(['250 2.1.5 OK']);
    expect(await client.say('DATA')).toEqual([START]);
    expect(await client.say('Subject: hi', '', '..dot')).toEqual([]);
    expect(mail.store.stored).toEqual([]);
    const [answer = ''] = await client.say('.');
    const [stored] = mail.store.stored;
    expect(answer).toBe(`250 2.0.0 OK, accepted as ${stored?.id}`);
    expect(stored).toMatchObject({ from: 'a@me.test', to: ['b@mx.test', 'C@mx.test'] });
    expect(stored?.content).toBe('Subject: hi\r\n\r\n.dot\r\n');
    expect(await client.say('QUIT', 'NOOP')).toEqual(['221 2.0.0 mx.test closes']);
    expect(client.client.ended).toBe(true);
    client.client.end();
    await mail.server.clock.settle();
    expect(mail.server.log.closes).toEqual(['completed']);
    expect(mail.store).toMatchObject({ begun: 1, removed: 0 });
  });

  it('answers commands that come together, and messages among them, in order', async () => {
    const mail = await MailServer.open();
    const client = await mail.connect();
    client.replies();
    const message = [FROM, TO, 'DATA', 'hello', '.'];
    const replies = await client.say(HELLO, ...message, ...message, 'NOOP', 'QUIT');
    expect(replies.slice(6).map((line) => line.slice(0, 3))).toEqual(
      [250, 250, 354, 250, 250, 250, 354, 250, 250, 221].map(String),
    );
    expect(mail.store.stored.map(({ content }) => content)).toEqual(['hello\r\n', 'hello\r\n']);
  });

  it('answers the same, however its input is cut', async () => {
    const part = fc.constantFrom(
      ...[HELLO, FROM, TO, `${FROM}\r\n${TO}\r\nDATA\r\n..a\r\nRSET\r\n.`, 'DATA\r\nNOOP\r\n.', 'DATA\r\na\nb\r\n.'],
      ...['NOOP', 'RSET', 'nonsense', 'VRFY b', 'x'.repeat(600), `DATA\r\n${'x'.repeat(998)}\r\n.`, 'QUIT'],
    );
    const outcome = async (chunks: readonly Buffer[]) => {
      const mail = await MailServer.open({ maxErrors: 50 });
      const client = await mail.connect();
      for (const chunk of chunks) await client.send(chunk);
      // The id of each message is another one.
      const text = client.client.text.replace(/accepted as .*/g, 'accepted');
      return { text, contents: mail.store.stored.map(({ content }) => content), ended: client.client.ended };
    };
    await fc.assert(
      fc.asyncProperty(fc.array(part, { maxLength: 30 }), chunkings, async (parts, lengths) => {
        const bytes = Buffer.from(parts.map((one) => `${one}\r\n`).join(''));
        expect(await outcome(chop(bytes, lengths))).toEqual(await outcome([bytes]));
      }),
      { numRuns: 40 },
    );
  });

  it('puts lines before a message that say where it came from', async () => {
    const mail = await MailServer.open();
    const client = await mail.connect({ address: { address: '2001:db8::1', port: 1 } });
    await client.say(HELLO, FROM, TO, 'DATA', '.');
    await client.say('HELO me', 'MAIL FROM:<>', TO, 'RCPT TO:<c@mx.test>', 'DATA', '.');
    await client.say(HELLO, 'MAIL FROM:<é@me.test> SMTPUTF8', TO, 'DATA', '.');
    const [one, two, three] = mail.store.stored.map(({ trace }) => trace);
    expect(one).toMatch(
      /^Return-Path: <a@me\.test>\r\nDelivered-To: b@mx\.test\r\nReceived: from me\.test \(\[IPv6:2001:db8::1\]\)\r\n\tby mx\.test\r\n\twith ESMTP id \S+\r\n\tfor <b@mx\.test>;\r\n\t\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d \+0000\r\n$/,
    );
    expect(two).toMatch(/^Return-Path: <>\r\nDelivered-To: b@mx\.test\r\nDelivered-To: c@mx\.test\r\n/);
    expect(two).toMatch(/with SMTP id \S+;\r\n/);
    expect(three).toContain('with UTF8SMTP id');
  });

  it('answers the other commands', async () => {
    expect(await talk('VRFY b', 'EXPN all', 'NOOP anything', 'RSET', 'VRFY')).toEqual([
      '252 2.5.0 Send a message to find out',
      '502 5.5.1 There are no lists',
      '250 2.0.0 OK',
      '250 2.0.0 OK',
      '501 5.5.4 Syntax: VRFY address',
    ]);
    expect(await talk('HELP', 'STARTTLS', 'BDAT 1', 'constructor')).toEqual([
      expect.stringMatching(/^214 2\.0\.0 EHLO /),
      '502 5.5.1 TLS is not offered',
      '500 5.5.2 There is no such command',
      '500 5.5.2 There is no such command',
    ]);
    expect(await talk('HELO me.test', 'HELO', 'EHLO', 'EHLO a b')).toEqual([
      '250 mx.test',
      '501 5.5.4 Syntax: HELO name',
      '501 5.5.4 Syntax: EHLO name',
      '501 5.5.4 Syntax: EHLO name',
    ]);
  });

  it('answers a line that is no command, and goes on', async () => {
    const mail = await MailServer.open({ maxErrors: 9 });
    const client = await mail.connect();
    client.replies();
    expect(await client.send(`${'x'.repeat(9999)}\r\nNOOP\nNO\rOP\r\nNOOP\r\n`)).toEqual([
      '500 5.5.2 The line is too long',
      '500 5.5.2 A line must end with <CR><LF>',
      '500 5.5.2 A line must be text in UTF-8',
      '250 2.0.0 OK',
    ]);
  });

  it.each([
    ['MAIL before EHLO', [FROM], '503 5.5.1 EHLO comes first'],
    ['RCPT before MAIL', [HELLO, TO], '503 5.5.1 MAIL comes first'],
    ['DATA before MAIL', [HELLO, 'DATA'], '503 5.5.1 MAIL comes first'],
    ['DATA before RCPT', [HELLO, FROM, 'DATA'], '554 5.5.1 There are no valid recipients'],
    ['MAIL after MAIL', [HELLO, FROM, FROM], '503 5.5.1 A transaction has begun'],
    ['RCPT after RSET', [HELLO, FROM, 'RSET', TO], '503 5.5.1 MAIL comes first'],
    ['RCPT after EHLO', [HELLO, FROM, HELLO, TO], '503 5.5.1 MAIL comes first'],
    ['RCPT after a message', [HELLO, FROM, TO, 'DATA', '.', TO], '503 5.5.1 MAIL comes first'],
    ['DATA with words', [HELLO, FROM, TO, 'DATA now'], '501 5.5.4 Syntax: DATA'],
  ])('refuses %s', async (_, lines, reply) => {
    expect(await last(...lines)).toBe(reply);
  });

  it.each([
    'FROM:<>',
    'from:<a@b>',
    'FROM:<"a b\\">"@[127.0.0.1]>',
    'FROM:<a.b+c@b.example.> SIZE=1000000 BODY=8BITMIME',
    'FROM:<@relay.example,@b:a@b> body=7bit size=0',
    'FROM:<a@[IPv6:::1]> SMTPUTF8',
    'FROM:<jürgen@bücher.example> SMTPUTF8  SIZE=1',
    `FROM:<${'x'.repeat(64)}@${'y'.repeat(63)}.example>`,
  ])('accepts MAIL %s', async (argument) => {
    expect(await last(HELLO, `MAIL ${argument}`)).toBe('250 2.1.0 OK');
  });

  const SYNTAX = '501 5.5.4 Syntax: MAIL FROM:<address> parameters';
  it.each([
    ['', SYNTAX],
    ['<a@b>', SYNTAX],
    ['FROM: <a@b>', SYNTAX],
    ['FROM:a@b', SYNTAX],
    ['FROM:<a>', SYNTAX],
    ['FROM:<a b@c>', SYNTAX],
    ['FROM:<a@b c>', SYNTAX],
    ['FROM:<a..b@c>', SYNTAX],
    ['FROM:<a@b>>', SYNTAX],
    ['FROM:<a@b>SIZE=1', SYNTAX],
    ['FROM:<a@b> =1', SYNTAX],
    ['FROM:<a@b> SIZE=1 size=1', SYNTAX],
    [`FROM:<${'x'.repeat(65)}@b>`, SYNTAX],
    [`FROM:<a@${`${'y'.repeat(60)}.`.repeat(5)}b>`, SYNTAX],
    ['FROM:<a@b> SIZE=x', '501 5.5.4 Syntax: SIZE=bytes'],
    ['FROM:<a@b> SIZE', '501 5.5.4 Syntax: SIZE=bytes'],
    ['FROM:<a@b> BODY=BINARYMIME', '501 5.5.4 Syntax: BODY=7BIT or BODY=8BITMIME'],
    ['FROM:<a@b> SMTPUTF8=1', '501 5.5.4 Syntax: SMTPUTF8'],
    ['FROM:<a@b> RET=FULL', '555 5.5.4 There is no such parameter'],
    ['FROM:<a@b> SIZE=1000001', '552 5.3.4 The message is too large'],
    ['FROM:<é@b>', '553 5.6.7 This address needs SMTPUTF8'],
  ])('refuses MAIL %s', async (argument, reply) => {
    expect(await last(HELLO, `MAIL ${argument}`)).toBe(reply);
  });

  it('refuses recipients one by one, and takes those that are left', async () => {
    const mail = await MailServer.open({ maxErrors: 9 });
    const client = await mail.connect();
    await client.say(HELLO, FROM);
    const arguments_ = [
      'TO:<>',
      'TO:<b>',
      'TO:<b@c> NOTIFY=NEVER',
      'TO:<é@c>',
      'TO:<Postmaster>',
      'TO:<b@c>',
      'TO:<b@d>',
    ];
    expect(await client.say(...arguments_.map((one) => `RCPT ${one}`), TO, 'DATA', '.')).toEqual([
      '501 5.5.4 Syntax: RCPT TO:<address>',
      '501 5.5.4 Syntax: RCPT TO:<address>',
      '555 5.5.4 There is no such parameter',
      '553 5.6.7 This address needs SMTPUTF8',
      '250 2.1.5 OK',
      '250 2.1.5 OK',
      '250 2.1.5 OK',
      '452 4.5.3 At most 3 recipients',
      START,
      expect.stringMatching(/^250 /),
    ]);
    expect(mail.store.stored[0]?.to).toEqual(['Postmaster', 'b@c', 'b@d']);
  });

  it('closes after too many errors', async () => {
    expect(await talk('a', 'NOOP', 'b', 'c', 'd', 'e', 'NOOP')).toEqual([
      '500 5.5.2 There is no such command',
      '250 2.0.0 OK',
      '500 5.5.2 There is no such command',
      '500 5.5.2 There is no such command',
      '500 5.5.2 There is no such command',
      '421 4.7.0 mx.test closes after too many errors',
    ]);
  });
});

describe('a message', () => {
  it.each([
    ['an LF alone', 'a\nb\r\n.\r\n', '554 5.6.0 The message has an <LF> without its <CR>'],
    ['a CR alone', 'a\rb\r\n.\r\n', '554 5.6.0 The message has a <CR> without its <LF>'],
    ['a line of 999 bytes', `${'x'.repeat(999)}\r\n.\r\n`, '554 5.6.0 The message has a line of more than 998 bytes'],
    [
      'more bytes than the limit',
      `${'x'.repeat(98)}\r\n`.repeat(10_001).concat('.\r\n'),
      '552 5.3.4 The message is too large',
    ],
    ['a false end', 'a\r\n.\nMAIL FROM:<c@d>\r\n.\r\n', '554 5.6.0 The message has an <LF> without its <CR>'],
  ])('with %s is read to its end, refused, and not stored', async (_, content, reply) => {
    const mail = await MailServer.open();
    const client = await mail.connect();
    expect(await client.data()).toBe(START);
    expect(await client.send(`${content}NOOP\r\n`)).toEqual([reply, '250 2.0.0 OK']);
    expect(mail.store).toMatchObject({ stored: [], begun: 1, removed: 1 });
  });

  it('is refused for now if it cannot be stored, whichever step fails, and commands go on', async () => {
    for (const [step, code, reply] of [
      ['write', undefined, '451 4.3.0 The message cannot be stored now'],
      ['commit', undefined, '451 4.3.0 The message cannot be stored now'],
      ['write', 'ENOSPC', '452 4.3.1 The disk is full'],
      ['commit', 'EDQUOT', '452 4.3.1 The disk is full'],
    ] as const) {
      const mail = await MailServer.open();
      mail.store.fail(step, code);
      const client = await mail.connect();
      expect(await client.data()).toBe(START);
      const content = `${'x'.repeat(76)}\r\n`.repeat(5000);
      expect(await client.send(`${content}.\r\nNOOP\r\n`)).toEqual([reply, '250 2.0.0 OK']);
      expect(mail.store).toMatchObject({ stored: [], begun: 1, removed: 1 });
    }
  });

  it('is refused at DATA if storing cannot begin, and what follows are commands', async () => {
    const mail = await MailServer.open();
    mail.store.fail('begin', 'ENOSPC');
    const client = await mail.connect();
    await client.say(HELLO, FROM, TO);
    expect(await client.say('DATA', 'NOOP')).toEqual(['452 4.3.1 The disk is full', '250 2.0.0 OK']);
    expect(mail.store).toMatchObject({ stored: [], begun: 0 });
  });

  it('that cannot be stored is reported to the server with the error, once', async () => {
    for (const step of ['begin', 'write', 'commit'] as const) {
      const errors: unknown[] = [];
      const mail = await MailServer.open({ failed: (error) => errors.push(error) });
      mail.store.fail(step, 'EIO');
      const client = await mail.connect();
      await client.data();
      if (step !== 'begin') await client.send(`${'x\r\n'.repeat(50_000)}.\r\n`);
      expect(errors).toEqual([expect.objectContaining({ code: 'EIO' })]);
    }
  });

  it('that its sender leaves is no fault of the store', async () => {
    const errors: unknown[] = [];
    const mail = await MailServer.open({ failed: (error) => errors.push(error) });
    const client = await mail.connect();
    await client.data();
    const release = mail.store.hold('write');
    await client.send('x\r\n'.repeat(50_000));
    client.client.break();
    await mail.server.clock.settle();
    mail.store.fail('write', 'EBADF');
    release();
    await mail.server.clock.settle();
    expect(errors).toEqual([]);
    expect(mail.store).toMatchObject({ stored: [], removed: 1 });
  });

  it('is read as fast as it is stored', async () => {
    const mail = await MailServer.open();
    const client = await mail.connect();
    await client.data();
    const release = mail.store.hold('write');
    const content = `${'x'.repeat(76)}\r\n`.repeat(10_000);
    for (let at = 0; at < content.length; at += 10_000) client.client.write(content.slice(at, at + 10_000));
    await mail.server.clock.settle();
    const [connection] = mail.connections;
    expect(connection?.bytesIn).toBeLessThan(BLOCK + 64 * 1024);
    release();
    await client.send('.\r\n');
    expect(client.client.text).toContain('250 2.0.0 OK, accepted');
    expect(mail.store.stored[0]?.content).toBe(content);
  });

  it.each(['end', 'break'] as const)('is removed if the client leaves before its end: %s', async (how) => {
    const mail = await MailServer.open();
    const client = await mail.connect();
    await client.data();
    await client.say('hello');
    client.client[how]();
    await mail.server.clock.settle();
    expect(mail.store).toMatchObject({ stored: [], begun: 1, removed: 1 });
    expect(mail.server.log.closes).toEqual([how === 'end' ? 'frame-truncated' : 'reset']);
  });

  it('is removed if the client leaves while storing begins', async () => {
    const mail = await MailServer.open();
    const client = await mail.connect();
    const release = mail.store.hold('begin');
    await client.data();
    client.client.break();
    await mail.server.clock.settle();
    release();
    await mail.server.clock.settle();
    expect(mail.store).toMatchObject({ stored: [], begun: 1, removed: 1 });
  });

  it('is stored if it was complete when the client left', async () => {
    const mail = await MailServer.open();
    const client = await mail.connect();
    await client.data();
    const release = mail.store.hold('commit');
    await client.say('.');
    client.client.break();
    await mail.server.clock.settle();
    release();
    await mail.server.clock.settle();
    expect(mail.store).toMatchObject({ begun: 1, removed: 0 });
    expect(mail.store.stored).toHaveLength(1);
  });
});

describe('a client that does not read', () => {
  it('is not read from, and receives every reply once it reads again', async () => {
    const mail = await MailServer.open({}, { stall: Number.POSITIVE_INFINITY, highWaterMark: 1000 });
    const client = await mail.connect({ window: 1000 });
    client.client.pause();
    for (let i = 0; i < 1000; i++) client.client.write('NOOP\r\n');
    await mail.server.clock.settle();
    expect(mail.connections[0]?.unsent).toBeLessThan(2000);
    client.client.resume();
    await mail.server.clock.settle();
    expect(client.replies().filter((line) => line === '250 2.0.0 OK')).toHaveLength(1000);
  });
});

describe('a deadline', () => {
  it.each([
    ['greeting', [], 2000],
    ['idle', [HELLO], 3000],
    ['idle', [HELLO, FROM, TO], 3000],
  ] as const)('%s that passes is told by 421', async (deadline, lines, ms) => {
    const mail = await MailServer.open({}, { greeting: 2000, idle: 3000 });
    const client = await mail.connect();
    await client.say(...lines);
    await mail.server.clock.advance(ms - 1);
    expect(client.client.over).toBe(false);
    await mail.server.clock.advance(1);
    expect(client.replies()).toEqual(['421 4.4.2 mx.test has waited for too long']);
    client.client.end();
    await mail.server.clock.settle();
    expect(mail.server.log.closes).toEqual([deadline]);
  });

  it.each([
    ['a command line', 'NOO'],
    ['content', 'hello\r\n'],
    ['content after its end should have come', 'a\n.\n'],
  ])('of a frame passes in %s, and the message is removed', async (what, text) => {
    const mail = await MailServer.open({}, { frame: 5000, idle: 60_000 });
    const client = await mail.connect();
    if (what !== 'a command line') await client.data();
    client.replies();
    await client.send(text);
    await mail.server.clock.advance(5000);
    expect(client.replies()).toEqual(['421 4.4.2 mx.test has waited for too long']);
    client.client.end();
    await mail.server.clock.settle();
    expect(mail.server.log.closes).toEqual(['frame']);
    expect(mail.store.removed).toBe(mail.store.begun);
  });

  it('of the store is told by 421, and what it stores later is removed', async () => {
    const errors: unknown[] = [];
    const mail = await MailServer.open({ failed: (error) => errors.push(error) }, { reply: 5000, idle: 60_000 });
    const client = await mail.connect();
    const release = mail.store.hold('begin');
    await client.data();
    await mail.server.clock.advance(5000);
    expect(client.replies()).toEqual(['421 4.3.0 mx.test cannot store messages now']);
    expect(errors).toEqual([expect.objectContaining({ deadline: 'reply' })]);
    release();
    await mail.server.clock.settle();
    expect(mail.store).toMatchObject({ stored: [], begun: 1, removed: 1 });
  });

  it('of the whole connection ends it between two messages', async () => {
    const mail = await MailServer.open({}, { lifetime: 5000, jitter: 0, idle: 60_000 });
    const client = await mail.connect();
    await client.data();
    await mail.server.clock.advance(5000);
    expect(client.replies()).toEqual([]);
    expect(await client.say('.')).toEqual([
      expect.stringMatching(/^250 /),
      '421 4.3.2 mx.test limits the time of a connection',
    ]);
  });
});

describe('a client above the limits', () => {
  it('is refused by 421, and served again when there is room', async () => {
    const mail = await MailServer.open({}, { concurrency: 1, waiting: { max: 0 } });
    const one = await mail.connect();
    const two = await mail.connect();
    expect(two.replies()).toEqual(['421 4.3.2 mx.test has too many connections']);
    expect(mail.server.log.refusals).toEqual(['full']);
    await one.say('QUIT');
    one.client.end();
    await mail.server.clock.settle();
    expect((await mail.connect()).replies()).toEqual(['220 mx.test ESMTP Sluice']);
  });
});

describe('a drain', () => {
  const CLOSING = '421 4.3.2 mx.test is shutting down';

  it.each([
    ['before EHLO', []],
    ['between messages', [HELLO, FROM, TO, 'DATA', '.']],
    ['before DATA', [HELLO, FROM, TO]],
  ])('tells a client by 421: %s', async (_, lines) => {
    const mail = await MailServer.open();
    const client = await mail.connect();
    await client.say(...lines);
    client.replies();
    await mail.server.signal();
    expect(client.replies()).toEqual([CLOSING]);
    expect(client.client.ended).toBe(true);
    client.client.end();
    await mail.server.clock.settle();
    expect(mail.server.log.closes).toEqual(['drained']);
    expect(mail.server.log.report).toMatchObject({ drained: 1, aborted: 0 });
  });

  it('answers a command of which a part has come', async () => {
    const mail = await MailServer.open();
    const client = await mail.connect();
    client.replies();
    await client.send('NOO');
    await mail.server.signal();
    expect(client.replies()).toEqual([]);
    expect(await client.send('P\r\nNOOP\r\n')).toEqual(['250 2.0.0 OK', CLOSING]);
  });

  it('takes a message to its end whose content has begun, and tells the client then', async () => {
    const mail = await MailServer.open();
    const client = await mail.connect();
    expect(await client.data()).toBe(START);
    await mail.server.signal();
    expect(await client.say('hello')).toEqual([]);
    await mail.server.clock.advance(1000);
    const content = `${'x'.repeat(76)}\r\n`.repeat(2000);
    expect(await client.send(content)).toEqual([]);
    expect(await client.say('.', FROM)).toEqual([expect.stringMatching(/^250 /), CLOSING]);
    expect(mail.store.stored[0]?.content).toBe(`hello\r\n${content}`);
    client.client.end();
    await mail.server.clock.settle();
    expect(mail.server.log.report).toMatchObject({ drained: 1, aborted: 0 });
  });

  it.each(['begin', 'write', 'commit'] as const)('waits for the store: %s', async (step) => {
    const mail = await MailServer.open();
    const client = await mail.connect();
    await client.say(HELLO, FROM, TO);
    client.replies();
    const release = mail.store.hold(step);
    await client.say('DATA', 'hello', '.');
    await mail.server.signal();
    await mail.server.clock.advance(1000);
    release();
    await mail.server.clock.settle();
    expect(client.client.text.split('\r\n').slice(-4)).toEqual([START, expect.stringMatching(/^250 /), CLOSING, '']);
    expect(mail.store.stored[0]?.content).toBe('hello\r\n');
  });

  it('does not begin a message after a DATA that the store refuses', async () => {
    const mail = await MailServer.open();
    mail.store.fail('begin');
    const client = await mail.connect();
    await client.say(HELLO, FROM, TO);
    const release = mail.store.hold('begin');
    await client.say('DATA');
    await mail.server.signal();
    client.replies();
    release();
    await mail.server.clock.settle();
    expect(client.replies()).toEqual(['451 4.3.0 The message cannot be stored now', CLOSING]);
  });

  it('removes a message that does not end within the grace', async () => {
    const mail = await MailServer.open({}, { grace: 5000 });
    const client = await mail.connect();
    await client.data();
    await client.say('hello');
    await mail.server.signal();
    await mail.server.clock.advance(5000);
    expect(client.client.reset).toBe(true);
    expect(mail.store).toMatchObject({ stored: [], begun: 1, removed: 1 });
    expect(mail.server.log.report).toMatchObject({ aborted: 1 });
  });

  it('refuses the clients that wait by 421', async () => {
    const mail = await MailServer.open({}, { concurrency: 1 });
    const one = await mail.connect();
    await one.data();
    const two = await mail.connect();
    await mail.server.signal();
    expect(two.replies()).toEqual([CLOSING]);
  });

  it('takes a message whole for which memory is short meanwhile', async () => {
    const mail = await MailServer.open({}, { budget: 400_000 });
    const client = await mail.connect();
    const other = await mail.connect();
    await client.data();
    const release = mail.store.hold('write');
    const content = `${'x'.repeat(76)}\r\n`.repeat(2000);
    await client.send(content);
    mail.connections[1]?.holdElsewhere(500_000);
    release();
    await mail.server.clock.settle();
    expect(await client.say('.')).toEqual([]);
    await mail.server.signal();
    mail.connections[1]?.holdElsewhere(-500_000);
    await mail.server.clock.advance(1000);
    expect(client.replies()).toEqual([expect.stringMatching(/^250 /), CLOSING]);
    expect(mail.store.stored[0]?.content).toBe(content);
    expect(other.replies()).toContain(CLOSING);
  });
});

describe('a block that is missing', () => {
  it('makes the message one that cannot be stored', async () => {
    const store = new MemoryStore();
    const message = new Message(store, { from: '', to: [], id: '1', trace: '' }, () => undefined);
    expect(await message.begin()).toContain('354');
    const block = { type: 'block', bytes: Buffer.from('a'), isLast: false, fault: undefined } as const;
    await message.add({ ...block, index: 0 });
    expect(await message.finish({ ...block, index: 2, isLast: true })).toMatch(/^451 /);
    expect(store).toMatchObject({ stored: [], begun: 1, removed: 1 });
  });
});
