import { connect } from '@nats-io/transport-node';
import { EMPTY, ignoreElements, Subject, take, timer } from 'rxjs';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { localBus } from '../../demos/chat/bus.ts';
import { openChat } from '../../demos/chat/chat.ts';
import { converse, type SessionOptions } from '../../demos/chat/session.ts';
import { lines, type ServeOptions, serve } from '../../lib/index.ts';
import { type Client, client, closeClients } from '../support/client.ts';
import { DemoServer, endDemos } from '../support/demoServer.ts';
import { Log } from '../support/log.ts';
import { endNats, NatsServer, skipped } from '../support/natsServer.ts';
import { spawnDemo } from '../support/spawnDemo.ts';

afterEach(closeClients);

/** A server and its port. */
class Host<Server extends Log = Log> {
  readonly server: Server;
  readonly port: number;

  private constructor(server: Server, port: number) {
    this.server = server;
    this.port = port;
  }

  static async of<Server extends Log>(server: Server): Promise<Host<Server>> {
    return new Host(server, await server.whenListening());
  }

  /** Connects, takes a name, enters a room, and waits until that is done. */
  enter(name: string, room: string): Promise<Client> {
    return client(this.port).write(`/name ${name}\n/join ${room}\n`).whenRead(`* You are in ${room}`);
  }
}

const shutdown = new Subject<void>();
const ended = new Subject<void>();

/** The chat in this process. */
function here(some: Partial<SessionOptions> = {}, limits: ServeOptions = {}): Promise<Host> {
  const chat = openChat(localBus(), 'alpha/1', { ttl: 5000, history: 3 });
  const decode = lines({ maxLength: 1024, unterminated: 'emit' });
  const converses = converse(chat, { decode, pause: EMPTY, ...some });
  const log = Log.follow(serve({ port: 0, host: '127.0.0.1' }, converses, { shutdown, ...limits }));
  const running = chat.run.subscribe();
  shutdown.subscribe(() => {
    chat.closing = true;
  });
  ended.pipe(take(1)).subscribe(() => {
    log.subscription?.unsubscribe();
    running.unsubscribe();
  });
  return Host.of(log);
}

/** The program, with options such as `'--history 3 --ttl 500'`. */
async function program(options: string): Promise<Host<DemoServer>> {
  const server = new DemoServer('chat', options.split(' '));
  // A long timeout, because three programs that start at once on a busy machine are slow.
  await server.until(({ types, fault }) => types.includes('listening') || fault !== undefined, 'listening', 18_000);
  return Host.of(server);
}

/** The lines of users that a client has received, without the notices of the server. */
const said = ({ text }: Client): string[] => text.split('\n').filter((line) => line.startsWith('<'));

/** Sends `/who` again and again, until this is the answer. */
async function whenThere(one: Client, room: string, answer: string, within = 8000): Promise<void> {
  for (const until = performance.now() + within; ; ) {
    const before = one.text.length;
    one.write(`/who ${room}\n`);
    await one.until(({ text }) => /^\* (In|Nobody) .*\n/m.test(text.slice(before)), 'an answer to /who');
    if (one.text.slice(before).includes(`* ${answer}.\n`)) return;
    if (performance.now() > until) throw new Error(`Not '${answer}', but: ${one.text.slice(before)}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe('chat', () => {
  afterEach(() => ended.next());
  afterEach(endDemos);

  it('sends a welcome, the help, an explanation for each wrong command, and a closing notice', async () => {
    const { port, server } = await here();
    const one = client(port).write(
      '/help\r\n/nonsense\n/who\n/leave\nhello\n/join a b\n/name *\n/rooms\n/quit\nnever\n',
    );
    await one.whenClosed();
    const lines = one.text.split('\n');
    expect(lines[0]).toBe('* Welcome to the chat on alpha. You are guest1.');
    for (const text of ['/name NAME', '/join ROOM', '/leave', '/who', '/rooms', '/quit'])
      expect(one.text).toContain(`* ${text}`);
    expect(lines.slice(-9)).toEqual([
      '* There is no command /nonsense; /help lists the commands.',
      '* You are in no room: /who ROOM lists the people in ROOM, /rooms lists the rooms.',
      '* You are in no room.',
      '* You are in no room, so that line goes to nobody. /join ROOM enters a room, /rooms lists the rooms.',
      "* 'a b' is not a name: use up to 24 letters, digits, - and _.",
      "* '*' is not a name: use up to 24 letters, digits, - and _.",
      '* Nobody is in any room.',
      '* Goodbye.',
      '',
    ]);
    await server.whenEmitted('closed');
    expect(server.closes).toEqual(['completed']);
  });

  it('delivers lines only within their room, and announces users who join, leave or take another name', async () => {
    const host = await here();
    const anna = await host.enter('anna', 'tea');
    const bob = await host.enter('bob', 'tea');
    const carl = await host.enter('carl', 'ale');
    carl.write('in ale\n');
    bob.write('in tea\n');
    await Promise.all([
      anna.whenRead('<bob> in tea\n'),
      bob.whenRead('<bob> in tea\n'),
      carl.whenRead('<carl> in ale\n'),
    ]);
    bob.write('/name robert\n/join ale\n');
    await bob.whenRead('* You are in ale, with carl.\n');
    carl.end();
    await bob.whenRead('* carl has left ale\n');
    bob.write('/rooms\n');
    await bob.whenRead('* Rooms: ale (1) and tea (1).\n');
    expect(anna.text).toContain('* bob has joined tea\n<bob> in tea\n* bob is now robert\n* robert has left tea\n');
    expect(anna.text).not.toContain('ale');
    expect(said(carl)).toEqual(['<carl> in ale']);
    expect(carl.text).toContain('* robert has joined ale\n');
  });

  it('gives a name to one user only, until that user is disconnected', async () => {
    const host = await here();
    const anna = await host.enter('Anna', 'tea');
    const other = client(host.port).write('/name anna\n');
    await other.whenRead('* The name anna is taken.\n');
    anna.reset();
    await whenThere(other, 'tea', 'Nobody is in tea');
    await other.write('/name anna\n').whenRead('* You are anna now.\n');
  });

  it('shows a user who joins the last lines of that room, and of no other room', async () => {
    const host = await here();
    const anna = await host.enter('anna', 'tea');
    await host.enter('carl', 'ale').then((carl) => carl.write('ale\n').whenRead('<carl> ale\n'));
    await anna.write('1\n2\n3\n4\n').whenRead('<anna> 4\n');
    const bob = await host.enter('bob', 'tea');
    expect(bob.text).toMatch(/\n<anna> 2\n<anna> 3\n<anna> 4\n\* You are in tea, with anna\.\n/);
    expect(said(bob)).toHaveLength(3);
  });

  it('delivers no control characters', async () => {
    const host = await here();
    const anna = await host.enter('anna', 'tea');
    const bob = await host.enter('bob', 'tea');
    bob.write(Buffer.from('\u001b[2J\u0000x\r<anna> y\u0085\u202e\tz\xff\n//quit\n'));
    await anna.whenRead('<bob> /quit\n');
    expect(said(anna)).toEqual(['<bob> \ufffd[2J\ufffdx\ufffd<anna> y\ufffd\ufffd zÿ', '<bob> /quit']);
  });

  it('aborts a member that reads too slowly, and the rest receive every line in order', async () => {
    const host = await here({}, { maxOutbound: 600_000, stall: Number.POSITIVE_INFINITY });
    const { server } = host;
    const anna = await host.enter('anna', 'tea');
    const bob = await host.enter('bob', 'tea');
    const slow = await host.enter('slow', 'tea');
    slow.socket.pause();
    const carl = await host.enter('carl', 'tea');
    const filling = 'x'.repeat(900);
    const readers = [anna, bob, carl].map((one) => ({ one, from: one.received }));
    let count = 0;
    let length = 0;
    // In rounds, so that the members that read never become slow. It ends when the kernel's buffers are full, and then ours.
    while (server.closes.length === 0 && count < 100_000) {
      const round = Array.from({ length: 300 }, () => `${count++} ${filling}\n`).join('');
      length += round.length + 300 * '<anna> '.length;
      anna.write(round);
      await Promise.all(
        readers.map(({ one, from }) => one.until((it) => it.received >= from + length, `${count} lines`)),
      );
    }
    expect(server.closes).toEqual(['slow-consumer']);
    for (const { one } of readers) {
      await one.whenRead('* slow has left tea\n');
      expect(said(one).map((line) => Number(line.split(' ')[1]))).toEqual([...Array(count).keys()]);
    }
    // All of them receive the notice of the abort at the same position among the lines.
    const [first, ...others] = readers.map(({ one }) => one.text.slice(one.text.indexOf('<anna> 0')));
    for (const other of others) expect(other === first).toBe(true);
  });

  it('slows down a peer that writes too fast, and loses none of its lines', async () => {
    const host = await here({ pause: timer(50).pipe(ignoreElements()) });
    const anna = await host.enter('anna', 'tea');
    const bob = await host.enter('bob', 'tea');
    const from = performance.now();
    anna.write(Array.from({ length: 60 }, (_, i) => `${i}\n`).join(''));
    await bob.whenRead('<anna> 59\n');
    expect(performance.now() - from).toBeGreaterThan(2900);
    expect(said(bob)).toEqual([...Array(60).keys()].map((i) => `<anna> ${i}`));
    expect(host.server.closes).toEqual([]);
  });

  it('gives the reason before it closes a connection whose line is too long, or that is idle', async () => {
    const { port, server } = await here({ decode: lines({ maxLength: 100 }) }, { idle: 300 });
    const long = client(port).write('x'.repeat(101));
    const silent = client(port).write('/rooms\n');
    await Promise.all([long.whenClosed(), silent.whenClosed()]);
    expect(long.text).toMatch(/\* A line may have 100 bytes at most\. Goodbye\.\n$/);
    expect(silent.text).toMatch(/\* You were silent for too long\. Goodbye\.\n$/);
    await server.whenEmitted('closed', 2);
    expect(server.closes.sort()).toEqual(['frame-too-long', 'idle']);
  });

  it('sends a closing notice when it drains', async () => {
    const host = await here();
    const [anna, bob] = [await host.enter('anna', 'tea'), await host.enter('bob', 'ale')];
    anna.write('last words\n');
    await anna.whenRead('<anna> last words\n');
    // A peer in the middle of a line receives it, too.
    const typing = client(host.port).write('/rooms\nhalf a li');
    await typing.whenRead('* Rooms:');
    shutdown.next();
    for (const one of [anna, bob, typing]) {
      await one.whenRead('* The server is shutting down. Goodbye.\n');
      one.end();
    }
    await host.server.whenCompleted();
    for (const one of [anna, bob]) expect(one.text).toMatch(/Goodbye\.\n$/);
    expect(host.server.report).toMatchObject({ drained: 3, aborted: 0, unsent: 0 });
  });

  it('flushes the lines that are queued for a slow peer before its drain ends', async () => {
    const most = 64 * 1024 * 1024;
    const host = await here({}, { maxOutbound: most, stall: Number.POSITIVE_INFINITY });
    const anna = await host.enter('anna', 'tea');
    const slow = await host.enter('slow', 'tea');
    slow.socket.pause();
    // More than the kernel's buffers hold, so that the rest is queued in the server.
    const count = 16_000;
    const filling = 'x'.repeat(900);
    for (let i = 0; i < count; i += 400) {
      const round = Array.from({ length: 400 }, (_, j) => `${i + j} ${filling}\n`).join('');
      const all = anna.received + round.length + 400 * '<anna> '.length;
      anna.write(round);
      await anna.until(({ received }) => received >= all, `${i + 400} lines`);
    }
    shutdown.next();
    await anna.until(({ ended }) => ended, 'the end of anna');
    anna.end();
    slow.socket.resume();
    await slow.until(({ ended }) => ended, 'the end of slow');
    slow.end();
    await host.server.whenCompleted();
    expect(said(slow).map((line) => Number(line.split(' ')[1]))).toEqual([...Array(count).keys()]);
    expect(slow.text).toContain('* The server is shutting down. Goodbye.\n');
    expect(host.server.report).toMatchObject({ drained: 2, aborted: 0, unsent: 0 });
  });

  it('sends a closing notice to a connection whose lifetime is over', async () => {
    const host = await here({}, { lifetime: 100, jitter: 0 });
    const anna = client(host.port);
    await anna.whenRead('* This connection has reached its time limit. Goodbye.\n');
    await anna.end().whenClosed();
  });

  it('prints one sentence for an option that is wrong or a NATS that cannot be reached', async () => {
    const wrong: [options: string, sentence: RegExp][] = [
      ['--nats redis://127.0.0.1', /^chat: --nats must be like nats:\/\/127\.0\.0\.1:4222, and not 'redis:/],
      ['--nats nats://127.0.0.1:1', /^chat: cannot reach NATS at 127\.0\.0\.1:1: .+\n$/],
    ];
    const results = await Promise.all(
      wrong.map(([args]) => spawnDemo('chat', ['--port', '0', ...args.split(' ')]).done),
    );
    wrong.forEach(([, sentence], i) => {
      expect(results[i]).toMatchObject({ code: 1, stdout: '' });
      expect(results[i]?.stderr).toMatch(sentence);
    });
  });
});

describe.skipIf(skipped)('chat on several servers', () => {
  const ttl = 1000;
  let nats: NatsServer;
  let [alpha, beta, gamma]: Host<DemoServer>[] = [];

  beforeAll(async () => {
    nats = await NatsServer.start();
    const start = (name: string) => program(`--nats ${nats.url} --ttl ${ttl} --server-name ${name}`);
    [alpha, beta, gamma] = await Promise.all([start('alpha'), start('beta'), start('gamma')]);
  });
  afterAll(endDemos);
  afterAll(endNats);

  /** A user of one of them, in a room. */
  function enter(host: Host<DemoServer> | undefined, name: string, room: string): Promise<Client> {
    if (!host) throw new Error('The servers have not started');
    return host.enter(name, room);
  }

  it('is one chat: users share rooms, names and /who', async () => {
    const anna = await enter(alpha, 'anna', 'tea');
    const bob = await enter(beta, 'bob', 'tea');
    const carl = await enter(gamma, 'carl', 'tea');
    await anna.whenRead('* carl has joined tea\n');
    await bob.whenRead('* carl has joined tea\n');
    await whenThere(carl, 'tea', 'In tea: anna (alpha), bob (beta) and carl');
    await carl.write('/name Bob\n').whenRead('* The name Bob is taken.\n');
    anna.write('1\n2\n3\n');
    await Promise.all([bob, carl].map((one) => one.whenRead('<anna> 1\n<anna> 2\n<anna> 3\n')));
    // A server without a member in the room keeps the history, too.
    const cora = await enter(gamma, 'cora', 'ale');
    cora.write('cheers\n/name clara\n');
    // Once the new name has arrived, so has the line that was sent before it.
    await whenThere(bob, 'ale', 'In ale: clara (gamma)');
    await bob.write('/join ale\n').whenRead('<cora> cheers\n* You are in ale, with clara (gamma).\n');
    await anna.whenRead('* bob has left tea\n');
  });

  it('works on each server alone while NATS is down, notifies the users, and is one chat again afterwards', async () => {
    const dora = await enter(alpha, 'dora', 'cut');
    const dirk = await enter(alpha, 'dirk', 'cut');
    const emil = await enter(beta, 'emil', 'cut');
    await whenThere(dora, 'cut', 'In cut: dirk, dora and emil (beta)');

    await nats.kill();
    const lost = '* The other servers cannot be reached: only people on this server see your lines.';
    await Promise.all([dora, dirk, emil].map((one) => one.whenRead(lost)));
    await dora.write('among us\n').whenRead('<dora> among us\n');
    await dirk.whenRead('<dora> among us\n');
    await whenThere(dora, 'cut', 'In cut: dirk and dora');
    await whenThere(emil, 'cut', 'In cut: emil');
    // While the servers are disconnected, both can give the same name.
    const first = await enter(alpha, 'eve', 'cut');
    const second = await enter(beta, 'eve', 'cut');
    expect(second.text).toContain(lost);

    await nats.start();
    await Promise.all([dora, dirk, emil].map((one) => one.whenRead('* The other servers can be reached again.\n')));
    await second.whenRead('* The name eve was taken earlier on another server. You are guest');
    const now = /You are (guest\d+) now/.exec(second.text)?.[1];
    await whenThere(first, 'cut', `In cut: dirk, dora, emil (beta), eve and ${now} (beta)`);
    await dora.write('all of us\n').whenRead('<dora> all of us\n');
    await Promise.all([dirk, emil, second].map((one) => one.whenRead('<dora> all of us\n')));
    expect(said(emil)).toEqual(['<dora> all of us']);
    expect(said(dirk)).toEqual(['<dora> among us', '<dora> all of us']);
  });

  it('keeps the users of other servers after it was suspended itself, and ignores invalid messages', async () => {
    const fay = await enter(alpha, 'fay', 'still');
    const fred = await enter(beta, 'fred', 'still');
    await whenThere(fay, 'still', 'In still: fay and fred (beta)');
    await whenThere(fred, 'still', 'In still: fay (alpha) and fred');
    beta?.server.kill('SIGSTOP');
    await fay.whenRead('* fred has left still: server beta has gone silent\n');
    beta?.server.kill('SIGCONT');
    await fay.until(({ text }) => text.split('* fred has joined still\n').length === 3, 'that fred has joined again');

    const stranger = await connect({ servers: nats.url });
    const forged = { server: 'x/1', name: 'eve', room: 'still', text: '\u001b[2J' };
    stranger.publish('sluice-chat', JSON.stringify(forged));
    stranger.publish('sluice-chat', 'nonsense');
    await stranger.drain();
    await beta?.server.until(
      ({ types }) => types.filter((type: string) => type === 'bus').length >= 2,
      'two log lines about the bus',
    );
    await fay.write('hello\n').whenRead('<fay> hello\n');
    await fred.whenRead('<fay> hello\n');
    expect(fred.text).not.toContain('left');
    expect(said(fred)).toEqual(['<fay> hello']);
  });

  it('removes the users of a killed server within the ttl, and the other users continue to chat', async () => {
    const gina = await enter(alpha, 'gina', 'ale');
    const hugo = await enter(beta, 'hugo', 'ale');
    await enter(gamma, 'ida', 'ale');
    await enter(gamma, 'jan', 'ale');
    await whenThere(gina, 'ale', 'In ale: gina, hugo (beta), ida (gamma) and jan (gamma)');
    await hugo.whenRead('* jan has joined ale\n');
    const from = performance.now();
    gamma?.server.kill('SIGKILL');
    const gone = '* ida and jan have left ale: server gamma has gone silent\n';
    await Promise.all([gina, hugo].map((one) => one.whenRead(gone)));
    const took = performance.now() - from;
    // The last heartbeat was up to a quarter of the ttl earlier. Only a slow machine takes longer than the ttl.
    expect(took).toBeGreaterThan(ttl / 2);
    expect(took).toBeLessThan(2 * ttl);
    await whenThere(gina, 'ale', 'In ale: gina and hugo (beta)');
    await whenThere(hugo, 'ale', 'In ale: gina (alpha) and hugo');
    await hugo.write('still here\n').whenRead('<hugo> still here\n');
    await gina.whenRead('<hugo> still here\n');
    await gina.write('/name ida\n').whenRead('* gina is now ida\n');

    // The users of a server that shuts down are removed at once, and it is not called silent.
    beta?.server.kill('SIGTERM');
    await hugo.whenRead('* The server is shutting down. Goodbye.\n');
    hugo.end();
    await gina.whenRead('* hugo has left ale\n');
    expect(await beta?.server.whenEnded()).toMatchObject({ code: 0, stderr: '' });
    expect(gina.text).not.toContain('beta has gone silent');

    // A server that shuts down while NATS is down does not wait for it.
    await nats.kill();
    await gina.whenRead('* The other servers cannot be reached');
    alpha?.server.kill('SIGTERM');
    await gina.until((one) => one.ended, 'the end of gina').then((one) => one.end());
    expect(await alpha?.server.whenEnded(2000)).toMatchObject({ code: 0, stderr: '' });
  });
});
