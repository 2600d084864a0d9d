import type { Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { Child } from './child.ts';
import { atMost, dial, exactly, percentiles, type Soak } from './measure.ts';

const HEALTHY = 19;
const BYTES = 1024;

/** Checks that messages arrive once and in order, and records the delay of each. */
class Subscriber {
  readonly delays: number[] = [];
  /** The number of the next message; each publication begins at 0. */
  next = 0;
  faults = 0;
  #rest = '';

  constructor(socket: Socket) {
    socket.setEncoding('latin1').on('data', (text: string) => {
      const now = process.hrtime.bigint();
      const lines = (this.#rest + text).split('\n');
      this.#rest = lines.pop() ?? '';
      for (const line of lines) {
        const [number, left] = line.split(' ', 2);
        if (Number(number) !== this.next || line.length !== BYTES - 1) this.faults++;
        this.next++;
        this.delays.push(Number(now - BigInt(left ?? 0)) / 1e6);
      }
    });
  }

  take(): number[] {
    this.next = 0;
    return this.delays.splice(0);
  }
}

/** One of twenty subscribers stops reading: the rest receive every message in order, with the same delay as before. */
export const topic: Soak = {
  name: 'one of 20 stops reading',
  async run({ quick }) {
    const count = quick ? 2000 : 20_000;
    const rounds = quick ? 2 : 5;
    const child = await Child.start('topic', { stall: 120_000, idle: 120_000, greeting: 120_000 });
    const sockets = await Promise.all(Array.from({ length: HEALTHY }, () => dial(child.port)));
    const subscribers = sockets.map((socket) => new Subscriber(socket));
    const odd = (await dial(child.port)).resume();
    await child.until(({ members }) => members === HEALTHY + 1, 5000, 'all are members');
    const measure = async () => {
      await child.ask({ ask: 'publish', count, bytes: BYTES, rate: 2 });
      await child.until((answer) => !answer.publishing, 60_000, 'all published');
      for (const end = performance.now() + 5000; performance.now() < end; await pause(20))
        if (subscribers.every(({ next }) => next === count)) break;
      complete += subscribers.filter(({ next }) => next === count).length;
      return subscribers.flatMap((subscriber) => subscriber.take());
    };
    let complete = 0;
    await measure();
    complete = 0;
    let calm: number[] = [];
    let stopped: number[] = [];
    // Alternating, because the speed of the machine varies from second to second.
    for (let round = 0; round < rounds; round++) {
      odd.resume();
      calm = calm.concat(await measure());
      odd.pause();
      stopped = stopped.concat(await measure());
    }
    const faults = subscribers.reduce((sum, subscriber) => sum + subscriber.faults, 0);
    for (const socket of [...sockets, odd]) socket.destroy();
    await child.stop();
    const [before, after] = [percentiles(calm), percentiles(stopped)];
    return [
      exactly(`subscribers with all ${count} messages, in ${2 * rounds} rounds`, complete, 2 * rounds * HEALTHY),
      exactly('messages out of order, doubled or truncated', faults, 0),
      atMost(`delay, p50 (before: ${before.p50.toFixed(3)} ms)`, after.p50, 1.2 * before.p50, 'ms'),
    ];
  },
};
