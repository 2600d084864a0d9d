import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

export const MIB = 1024 * 1024;

/** How much is done: `quick` for CI. */
export interface Effort {
  readonly quick: boolean;
}

/** One thing that was measured, and what it may be. */
export interface Finding {
  readonly what: string;
  readonly found: string;
  readonly allowed: string;
  readonly met: boolean;
  /** Of a time: how many times what is allowed it took. */
  readonly late?: number;
}

export interface Soak {
  readonly name: string;
  run(effort: Effort): Promise<Finding[]>;
}

/** A figure that may be so much at most. */
export const atMost = (what: string, found: number, allowed: number, unit: string): Finding => ({
  what,
  found: `${round(found)} ${unit}`,
  allowed: `≤ ${round(allowed)} ${unit}`,
  met: found <= allowed,
  ...(unit === 'ms' ? { late: found / allowed } : {}),
});

/** Something that must be just so. */
export const exactly = (what: string, found: unknown, allowed: unknown): Finding => {
  const [one, other] = [JSON.stringify(found), JSON.stringify(allowed)];
  return { what, found: one, allowed: other, met: one === other };
};

const round = (value: number) => (Math.abs(value) >= 100 ? value.toFixed(0) : value.toFixed(2));

/** A connected client. */
export async function dial(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1').setNoDelay(true);
  await once(socket, 'connect');
  socket.on('error', () => undefined);
  return socket;
}

/** The middle, and what 99 of a hundred are below; of times in milliseconds. */
export function percentiles(times: readonly number[]): { p50: number; p99: number; max: number } {
  const sorted = [...times].sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
  return { p50: at(0.5), p99: at(0.99), max: at(1) };
}

/** A client that asks, waits for the answer, and asks again, with a pause in between; until it is stopped. */
export class Pinger {
  readonly times: number[] = [];
  readonly #socket: Socket;
  #timer: NodeJS.Timeout | undefined;
  #sent = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', () => {
      this.times.push(performance.now() - this.#sent);
      this.#timer = setTimeout(() => this.#ask(), 2);
    });
    this.#ask();
  }

  static async start(port: number): Promise<Pinger> {
    return new Pinger(await dial(port));
  }

  #ask(): void {
    this.#sent = performance.now();
    this.#socket.write('ping\n');
  }

  /** What it has measured since the last time, the one that is under way with the time it has taken so far. */
  take(): number[] {
    return this.times.splice(0);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#socket.destroy();
  }
}
