import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

export const MIB = 1024 * 1024;

/** The extent of a soak: `quick` for CI. */
export interface Effort {
  readonly quick: boolean;
}

/** One figure, and its limit. */
export interface Finding {
  readonly what: string;
  readonly found: string;
  readonly allowed: string;
  readonly met: boolean;
  /** For a time: its multiple of the limit. */
  readonly late?: number;
}

export interface Soak {
  readonly name: string;
  run(effort: Effort): Promise<Finding[]>;
}

/** A figure with an upper limit. */
export const atMost = (what: string, found: number, allowed: number, unit: string): Finding => ({
  what,
  found: `${round(found)} ${unit}`,
  allowed: `≤ ${round(allowed)} ${unit}`,
  met: found <= allowed,
  ...(unit === 'ms' ? { late: found / allowed } : {}),
});

/** A value that must be equal. */
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

/** Median, 99th percentile and maximum of some times. */
export function percentiles(times: readonly number[]): { p50: number; p99: number; max: number } {
  const sorted = [...times].sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
  return { p50: at(0.5), p99: at(0.99), max: at(1) };
}

/** A client that sends a request, waits for the reply, and repeats that after a pause, until it is stopped. */
export class Pinger {
  readonly times: number[] = [];
  readonly #socket: Socket;
  #timer: NodeJS.Timeout | undefined;
  #sent = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', () => {
      this.times.push(performance.now() - this.#sent);
      this.#timer = setTimeout(() => this.#ping(), 2);
    });
    this.#ping();
  }

  static async start(port: number): Promise<Pinger> {
    return new Pinger(await dial(port));
  }

  #ping(): void {
    this.#sent = performance.now();
    this.#socket.write('ping\n');
  }

  /** The round trips since the last call. */
  take(): number[] {
    return this.times.splice(0);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#socket.destroy();
  }
}
