import { connect } from '@nats-io/transport-node';
import { afterEach, describe, expect, it } from 'vitest';
import { type Client, client, closeClients } from '../support/client.ts';
import { DemoServer, endDemos } from '../support/demoServer.ts';
import { endNats, NatsServer, skipped } from '../support/natsServer.ts';
import { spawnDemo } from '../support/spawnDemo.ts';

afterEach(async () => {
  closeClients();
  await endDemos();
  await endNats();
});

interface Started {
  readonly server: DemoServer;
  /** Connects, takes a name and goes to a room, and waits until that is done. */
  readonly enter: (name: string, room: string) => Promise<Client>;
  readonly port: number;
}

/** Starts the chat with such options: `'--history 3 --ttl 500'`. */
async function started(options = ''): Promise<Started> {
  const server = new DemoServer('chat', options.split(' ').filter(Boolean));
  const port = await server.whenListening();
  return {
    server,
    port,
    enter: (name, room) => client(port).write(`/name ${name}\n/join ${room}\n`).whenRead(`* You are in ${room}`),
  };
}

/** What was said, without what the server says. */
const said = ({ text }: Client): string[] => text.split('\n').filter((line) => line.startsWith('<'));

/** Asks again and again who is in a room, until that is the answer. */
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
  it('welcomes, explains itself, and says goodbye', async () => {
    const { port, server } = await started('--server-name alpha');
    const one = client(port).write(
      '/help\r\n/nonsense\n/who\n/leave\nhello\n/join a b\n/name *\n/rooms\n/quit\nnever\n',
    );
    await one.whenClosed();
    const lines = one.text.split('\n');
    expect(lines[0]).toBe('* Welcome to the chat on alpha. You are guest1.');
    for (const text of ['/name NAME', '/join ROOM', '/leave', '/who', '/rooms', '/quit'])
      expect(one.text).toContain(`* ${text}`);
    expect(lines.slice(-9)).toEqual([
      '* There is no command /nonsense; /help tells which there are.',
      '* You are in no room: /who ROOM tells who is there, /rooms where people are.',
      '* You are in no room.',
      '* You are in no room, and nobody hears you. /join ROOM takes you to one, /rooms tells which there are.',
      "* 'a b' is no name: letters, digits, - and _ make one.",
      "* '*' is no name: letters, digits, - and _ make one.",
      '* Nobody is in any room.',
      '* Goodbye.',
      '',
    ]);
    await server.whenSaid('closed');
    expect(server.closes).toEqual(['completed']);
  });

  it('keeps rooms apart, and announces who comes, goes and is renamed', async () => {
    const { enter } = await started();
    const anna = await enter('anna', 'tea');
    const bob = await enter('bob', 'tea');
    const carl = await enter('carl', 'ale');
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
    await bob.whenRead('* Rooms: tea (1) and ale (1).\n');
    expect(anna.text).toContain('* bob has joined tea\n<bob> in tea\n* bob is now robert\n* robert has left tea\n');
    expect(anna.text).not.toContain('ale');
    expect(said(carl)).toEqual(['<carl> in ale']);
    expect(carl.text).toContain('* robert has joined ale\n');
  });

  it('gives a name to one only, until they are gone', async () => {
    const { enter, port } = await started();
    const anna = await enter('Anna', 'tea');
    const other = client(port).write('/name anna\n');
    await other.whenRead('* Somebody is called anna already.\n');
    anna.reset();
    await whenThere(other, 'tea', 'Nobody is in tea');
    await other.write('/name anna\n').whenRead('* You are anna now.\n');
  });

  it('shows a newcomer the last lines of the room, and those of no other', async () => {
    const { enter } = await started('--history 3');
    const anna = await enter('anna', 'tea');
    await enter('carl', 'ale').then((carl) => carl.write('ale\n').whenRead('<carl> ale\n'));
    await anna.write('1\n2\n3\n4\n').whenRead('<anna> 4\n');
    const bob = await enter('bob', 'tea');
    expect(bob.text).toMatch(/\n<anna> 2\n<anna> 3\n<anna> 4\n\* You are in tea, with anna\.\n/);
    expect(said(bob)).toHaveLength(3);
  });

  it('shows nobody what their terminal would obey', async () => {
    const { enter } = await started();
    const anna = await enter('anna', 'tea');
    const bob = await enter('bob', 'tea');
    bob.write(Buffer.from('\u001b[2J\u0000x\r<anna> y\u0085\u202e\tz\xff\n//quit\n'));
    await anna.whenRead('<bob> /quit\n');
    expect(said(anna)).toEqual(['<bob> \ufffd[2J\ufffdx\ufffd<anna> y\ufffd\ufffd zÿ', '<bob> /quit']);
  });

  it('cuts off who reads too slowly, and the others get everything in its order', async () => {
    const { server, enter } = await started('--max-outbound 600000 --rate Infinity --stall Infinity');
    const anna = await enter('anna', 'tea');
    const bob = await enter('bob', 'tea');
    const slow = await enter('slow', 'tea');
    slow.socket.pause();
    const filling = 'x'.repeat(900);
    let count = 0;
    // Round by round, so that those who read are not slow, too: until the kernel's buffers are full, and then ours.
    while (server.closes.length === 0 && count < 100_000) {
      anna.write(Array.from({ length: 300 }, () => `${count++} ${filling}\n`).join(''));
      const last = `<anna> ${count - 1} ${filling}\n`;
      await Promise.all(
        [anna, bob].map((one) => one.until(() => one.received >= 0 && one.text.endsWith(last), `line ${count - 1}`)),
      );
    }
    expect(server.closes).toEqual(['slow-consumer']);
    await bob.whenRead('* slow has left tea\n');
    for (const one of [anna, bob])
      expect(said(one).map((line) => Number(line.split(' ')[1]))).toEqual([...Array(count).keys()]);
    const all = (one: Client) => one.text.slice(one.text.indexOf('* slow has joined'));
    expect(all(bob)).toBe(all(anna));
  });

  it('holds back who writes too fast, and loses nothing of it', async () => {
    const { enter, server } = await started('--rate 20');
    const anna = await enter('anna', 'tea');
    const bob = await enter('bob', 'tea');
    const from = performance.now();
    anna.write(Array.from({ length: 60 }, (_, i) => `${i}\n`).join(''));
    await bob.whenRead('<anna> 59\n');
    // Two seconds' worth are free, two of them were spent on a name and a room.
    expect(performance.now() - from).toBeGreaterThan(900);
    expect(said(bob)).toEqual([...Array(60).keys()].map((i) => `<anna> ${i}`));
    expect(server.closes).toEqual([]);
  });

  it('tells why it goes, where a line is too long or nothing is said for too long', async () => {
    const { port, server } = await started('--max-line 100 --idle 300');
    const long = client(port).write('x'.repeat(101));
    const silent = client(port).write('/rooms\n');
    await Promise.all([long.whenClosed(), silent.whenClosed()]);
    expect(long.text).toMatch(/\* A line may have 100 bytes\. Goodbye\.\n$/);
    expect(silent.text).toMatch(/\* You were silent for too long\. Goodbye\.\n$/);
    await server.whenSaid('closed', 2);
    expect(server.closes.sort()).toEqual(['frame-too-long', 'idle']);
  });

  it('says goodbye when it drains, and ends well', async () => {
    const { enter, server } = await started();
    const [anna, bob] = [await enter('anna', 'tea'), await enter('bob', 'ale')];
    anna.write('last words\n');
    await anna.whenRead('<anna> last words\n');
    server.kill('SIGTERM');
    for (const one of [anna, bob]) {
      await one.until(({ ended }) => ended, 'the end of the chat');
      expect(one.text).toMatch(/\* The server is going down\. Goodbye\.\n$/);
      one.end();
    }
    expect(await server.whenEnded()).toMatchObject({ code: 0, signal: null, stderr: '' });
    expect(server.report).toMatchObject({ drained: 2, aborted: 0, unsent: 0 });
  });

  it('tells in a sentence what it cannot do', async () => {
    const wrong: [string, RegExp][] = [
      ['--nats redis://127.0.0.1', /^chat: --nats must be like nats:\/\/127\.0\.0\.1:4222, and not 'redis:/],
      ['--nats nats://127.0.0.1:1', /^chat: cannot reach NATS at 127\.0\.0\.1:1: .+\n$/],
      ['--server-name a/b', /^chat: --server-name 'a\/b' is no name/],
      ['--subject a.>', /^chat: --subject must be words/],
    ];
    const results = await Promise.all(
      wrong.map(([args]) => spawnDemo('chat', ['--port', '0', ...args.split(' ')]).done),
    );
    wrong.forEach(([, says], i) => {
      expect(results[i]).toMatchObject({ code: 1, stdout: '' });
      expect(results[i]?.stderr).toMatch(says);
    });
  });
});

describe.skipIf(skipped)('chat on several servers', () => {
  const ttl = 800;
  const three = (url: string) =>
    Promise.all(
      ['alpha', 'beta', 'gamma'].map((name) => started(`--nats ${url} --ttl ${ttl} --server-name ${name}`)),
    ) as Promise<[Started, Started, Started]>;

  it('is one chat: rooms, names and who is there; the people of a killed server go, the others chat on', async () => {
    const nats = await NatsServer.start();
    const [alpha, beta, gamma] = await three(nats.url);
    const anna = await alpha.enter('anna', 'tea');
    const bob = await beta.enter('bob', 'tea');
    await bob.whenRead('with anna (alpha)');
    const carl = await gamma.enter('carl', 'tea');
    await gamma.enter('cora', 'tea');
    await whenThere(carl, 'tea', 'In tea: anna (alpha), bob (beta), carl and cora');
    await anna.whenRead('* cora has joined tea\n');
    await carl.write('/name Bob\n').whenRead('* Somebody is called Bob already.\n');
    anna.write('1\n2\n3\n');
    await Promise.all([bob, carl].map((one) => one.whenRead('<anna> 1\n<anna> 2\n<anna> 3\n')));

    const from = performance.now();
    gamma.server.kill('SIGKILL');
    const gone = '* carl and cora have left tea: server gamma has gone silent\n';
    await Promise.all([anna, bob].map((one) => one.whenRead(gone)));
    // The last beat may have been a quarter of the time before; what is beyond it is the machine's own slowness.
    const took = performance.now() - from;
    expect(took).toBeGreaterThan(ttl / 2);
    expect(took).toBeLessThan(ttl + 500);
    await whenThere(anna, 'tea', 'In tea: anna and bob (beta)');
    await whenThere(bob, 'tea', 'In tea: anna (alpha) and bob');
    await bob.write('still here\n').whenRead('<bob> still here\n');
    await anna.whenRead('<bob> still here\n');
    await anna.write('/name carl\n').whenRead('* anna is now carl\n');

    // One that ends in good order is no longer there at once, and nobody calls it silent.
    beta.server.kill('SIGTERM');
    await anna.whenRead('* bob has left tea\n');
    bob.end();
    expect(await beta.server.whenEnded()).toMatchObject({ code: 0, stderr: '' });
    expect(anna.text).not.toContain('beta has gone silent');
  });

  it('goes on by itself while NATS is away, says so, and heals', async () => {
    const nats = await NatsServer.start();
    const [alpha, beta] = [
      await started(`--nats ${nats.url} --ttl ${ttl} --server-name alpha`),
      await started(`--nats ${nats.url} --ttl ${ttl} --server-name beta`),
    ];
    const anna = await alpha.enter('anna', 'tea');
    const arno = await alpha.enter('arno', 'tea');
    const bob = await beta.enter('bob', 'tea');
    await whenThere(anna, 'tea', 'In tea: anna, arno and bob (beta)');

    await nats.kill();
    const lost = '* The other servers cannot be reached: only people on this one hear you.';
    await Promise.all([anna, arno, bob].map((one) => one.whenRead(lost)));
    await anna.write('among us\n').whenRead('<anna> among us\n');
    await arno.whenRead('<anna> among us\n');
    await whenThere(anna, 'tea', 'In tea: anna and arno');
    await whenThere(bob, 'tea', 'In tea: bob');
    // A name that is free on either side of the cut is given on both.
    const [amy, bea] = [await alpha.enter('eve', 'tea'), await beta.enter('eve', 'tea')];
    expect(bea.text).toContain(lost);

    await nats.start();
    await Promise.all([anna, arno, bob].map((one) => one.whenRead('* The other servers can be reached again.\n')));
    await bea.whenRead('* Somebody on another server was eve before you. You are guest');
    const now = /You are (guest\d+) now/.exec(bea.text)?.[1];
    await whenThere(amy, 'tea', `In tea: anna, arno, eve, bob (beta) and ${now} (beta)`);
    await anna.write('all of us\n').whenRead('<anna> all of us\n');
    await Promise.all([arno, bob, bea].map((one) => one.whenRead('<anna> all of us\n')));
    expect(said(bob)).toEqual(['<anna> all of us']);
    expect(said(arno)).toEqual(['<anna> among us', '<anna> all of us']);
  });

  it('takes nobody for dead because it stood still itself, and is not disturbed by what is no message', async () => {
    const nats = await NatsServer.start();
    const [alpha, beta] = [
      await started(`--nats ${nats.url} --ttl ${ttl} --server-name alpha`),
      await started(`--nats ${nats.url} --ttl ${ttl} --server-name beta`),
    ];
    const anna = await alpha.enter('anna', 'tea');
    const bob = await beta.enter('bob', 'tea');
    await whenThere(anna, 'tea', 'In tea: anna and bob (beta)');
    await whenThere(bob, 'tea', 'In tea: anna (alpha) and bob');
    beta.server.kill('SIGSTOP');
    await anna.whenRead('* bob has left tea: server beta has gone silent\n');
    beta.server.kill('SIGCONT');
    await anna.until(({ text }) => text.split('* bob has joined tea\n').length === 3, 'bob is back');

    const stranger = await connect({ servers: nats.url });
    stranger.publish(
      'sluice-chat.said',
      '{"type":"said","server":"x/1","name":"eve","room":"tea","text":"\\u001b[2J"}',
    );
    stranger.publish('sluice-chat.said', 'nonsense');
    await stranger.drain();
    await beta.server.until(
      (log) => log.types.filter((type) => String(type) === 'bus').length >= 2,
      'two faults in the log',
    );
    await anna.write('hello\n').whenRead('<anna> hello\n');
    await bob.whenRead('<anna> hello\n');
    expect(bob.text).not.toContain('left');
    expect(said(bob)).toEqual(['<anna> hello']);
  });
});
