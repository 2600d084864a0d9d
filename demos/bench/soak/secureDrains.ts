import { setTimeout as pause } from 'node:timers/promises';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import { authority } from '../../../spec/support/certificates.ts';
import { Child } from './child.ts';
import { atMost, dial, exactly, type Soak } from './measure.ts';
import { secured, Visitors } from './secureClients.ts';
import { Wire } from './wire.ts';

const CONNECTIONS = 20;
const IN_FLIGHT = 4;

/** Lengths of replies: small ones, one byte less than a record of TLS, and many records. */
const SIZES = [16, 200, 16_383, 100_000];

/** Milliseconds that a refused client has for the end of its handshake. */
const LINGER = 100;

/** A client with some requests in flight, which compares each byte of each reply. */
class Requester {
  readonly wire: Wire;
  /** Replies that were received as a whole. */
  replies = 0;
  /** Bytes that are not those of the replies in their order. */
  wrong = 0;
  hasEnded = false;
  readonly #socket: TLSSocket;
  /** When each request without a reply was sent. */
  readonly #sent: number[] = [];
  #next = 0;
  /** Bytes of the current reply that were received. */
  #part = 0;

  private constructor(socket: TLSSocket, wire: Wire) {
    this.wire = wire;
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    socket.on('end', () => {
      this.hasEnded = true;
    });
    for (let i = 0; i < IN_FLIGHT; i++) this.#ask();
  }

  static async start(port: number, options: ConnectionOptions): Promise<Requester> {
    const wire = new Wire(await dial(port));
    return new Requester(await secured({ ...options, socket: wire }), wire);
  }

  #ask(): void {
    if (!this.#socket.writable) return;
    const number = this.#next++;
    this.#sent.push(performance.now());
    this.#socket.write(`${number} ${SIZES[number % SIZES.length]}\n`);
  }

  #read(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      const size = SIZES[this.replies % SIZES.length] as number;
      const text = `${this.replies} `;
      const taken = Math.min(size - this.#part, chunk.length - at);
      for (let i = 0; i < taken; i++) {
        const place = this.#part + i;
        const wanted = place === size - 1 ? 10 : place < text.length ? text.charCodeAt(place) : 120;
        if (chunk[at + i] !== wanted) this.wrong++;
      }
      at += taken;
      this.#part += taken;
      if (this.#part < size) return;
      this.#part = 0;
      this.replies++;
      this.#sent.shift();
      this.#ask();
    }
  }

  /** Whether it has received the begin of a reply, but not its end. */
  get isCut(): boolean {
    return this.#part > 0;
  }

  /** When the first request was sent that has no reply. */
  get unanswered(): number {
    return this.#sent[0] ?? Number.POSITIVE_INFINITY;
  }
}

/** Drains under load: each reply that was begun arrives, and each connection ends by close_notify and a FIN. */
export const secureDrains: Soak = {
  name: 'tls-drains',
  async run({ quick }) {
    const drains = quick ? 5 : 100;
    const root = await authority();
    const tls = await root.issue();
    const endings: Record<string, number> = {};
    const ends: Record<string, number> = {};
    let [begun, replies, wrong, cut, aborted, unsent, visits, resets, late, accepted] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let early = 0;
    for (let round = 0; round < drains; round++) {
      const child = await Child.start('replies', { tls, grace: 30_000 });
      const client = { ca: root.ca, servername: 'localhost' };
      const requesters = await Promise.all(
        Array.from({ length: CONNECTIONS }, () => Requester.start(child.port, client)),
      );
      // New connections come meanwhile. Some are in their handshake when the drain begins.
      const visitors = new Visitors({ ...client, port: child.port }, 7);
      await pause(200 + (round % 10) * 20);
      const signal = performance.now();
      await child.ask({ ask: 'drain' });
      const answer = await child.until(({ drained }) => drained !== undefined, 40_000, 'drained');
      await Promise.race([Promise.all(requesters.map(({ wire }) => wire.over)), pause(10_000)]);
      await visitors.stop();
      await child.stop();
      for (const one of requesters) {
        count(endings, one.wire.ending);
        count(ends, one.hasEnded ? 'end' : 'none');
        replies += one.replies;
        wrong += one.wrong;
        if (one.isCut) cut++;
        early = Math.max(early, signal - one.unanswered);
      }
      const notServed = visitors.errors.filter(({ what }) => !what.includes('ECONNREFUSED'));
      late += notServed.length;
      resets += notServed.filter(({ what, at }) => what.includes('ECONNRESET') && at - signal <= LINGER).length;
      visits += visitors.times.length;
      begun += answer.handled;
      accepted += sum(answer.refused) + sum(answer.closed);
      aborted += answer.drained?.aborted ?? 0;
      unsent += answer.drained?.unsent ?? 0;
    }
    const all = CONNECTIONS * drains;
    const unseen = all + visits + late - accepted;
    return [
      exactly(
        `connections, by their end, in ${drains} drains`,
        [endings, ends],
        [{ 'close_notify, FIN': all }, { end: all }],
      ),
      exactly('replies that are cut, and wrong bytes', [cut, wrong], [0, 0]),
      exactly('requests that the handler began, and that have no whole reply', begun - visits - replies, 0),
      // The kernel resets those that it has completed when the port is closed, and that the server has never seen.
      exactly(
        `new connections: ${visits} served, ${late} too late, ${unseen} of them never accepted; resets of others within ${LINGER} ms`,
        Math.max(0, resets - unseen),
        0,
      ),
      atMost('a request without a reply was sent before the signal by', Math.max(early, 0), 250, 'ms'),
      exactly('aborted, and unsent bytes', [aborted, unsent], [0, 0]),
    ];
  },
};

const sum = (counts: Record<string, number>) => Object.values(counts).reduce((all, each) => all + each, 0);

function count(counts: Record<string, number>, what: string): void {
  counts[what] = (counts[what] ?? 0) + 1;
}
