import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import type { Reading } from './reading.ts';

/** What all devices have in common. Times are in milliseconds. */
export interface DeviceSettings {
  readonly host: string;
  readonly port: number;
  /** Between two readings. */
  readonly every: number;
  /** Readings that may be sent and not acknowledged. Further ones are kept, and sent later. */
  readonly window: number;
  /** The longest pause before a device connects again. */
  readonly backoff: number;
}

/** What the devices did, all together, and what they heard. */
export interface DeviceTally {
  /** A reading was acknowledged, as the first of those that had been sent and were not. */
  acknowledged(reading: Reading): void;
  /** The server said something that this protocol does not have, or out of order. */
  puzzled(device: string, line: string): void;
  sent: number;
  resent: number;
  connects: number;
  /** `wait` lines. */
  waits: number;
}

/** The first pause before a device connects again, in milliseconds. It doubles. */
const FIRST_PAUSE = 25;

/**
 * A device: measures, sends, and keeps each reading until it is acknowledged.
 *
 * Whenever it is connected it begins with the first that is not acknowledged. When the connection is lost it waits, longer
 * each time and never as long as the others (jitter), and connects again.
 */
export class Device {
  readonly #name: string;
  readonly #settings: DeviceSettings;
  readonly #tally: DeviceTally;
  /** Measured and not acknowledged, in order; the first `#onTheWay` have been sent on this connection. */
  readonly #kept: Reading[] = [];
  #onTheWay = 0;
  /** The highest that was ever sent. */
  #sentUpTo = 0;
  #seq = 0;
  #socket: Socket | undefined;
  #attempts = 0;
  #retry: NodeJS.Timeout | undefined;
  #measuring: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(name: string, settings: DeviceSettings, tally: DeviceTally) {
    this.#name = name;
    this.#settings = settings;
    this.#tally = tally;
  }

  /** How many are not acknowledged. */
  get kept(): number {
    return this.#kept.length;
  }

  start(): void {
    const { every } = this.#settings;
    this.#connect();
    // Not all in the same millisecond.
    this.#measuring = setTimeout(() => {
      this.#measuring = setInterval(() => this.#measure(), every);
    }, every * Math.random());
  }

  /** Measures no more, and goes on until all is acknowledged. */
  rest(): void {
    clearInterval(this.#measuring);
  }

  /** Ends the connection. What is kept stays unacknowledged. */
  stop(): void {
    this.rest();
    this.#stopped = true;
    clearTimeout(this.#retry);
    this.#socket?.end();
  }

  #measure(): void {
    const seq = ++this.#seq;
    this.#kept.push({ device: this.#name, seq, at: Date.now(), value: measured(this.#name, seq) });
    this.#send();
  }

  #connect(): void {
    const { host, port } = this.#settings;
    const socket = connect({ host, port, noDelay: true });
    this.#socket = socket;
    this.#onTheWay = 0;
    socket.on('connect', () => {
      this.#tally.connects++;
      this.#send();
    });
    socket.on('drain', () => this.#send());
    // Any error is followed by 'close', and the answer is always the same. The reader of lines repeats the socket's.
    const lines = createInterface({ input: socket }).on('line', (line) => this.#hear(line));
    for (const emitter of [socket, lines]) emitter.on('error', () => undefined);
    socket.on('close', () => {
      this.#socket = undefined;
      if (this.#stopped) return;
      const { backoff } = this.#settings;
      const longest = Math.min(FIRST_PAUSE * 2 ** this.#attempts++, backoff);
      this.#retry = setTimeout(() => this.#connect(), longest * (0.5 + Math.random() / 2));
    });
  }

  #send(): void {
    const socket = this.#socket;
    if (socket === undefined || socket.pending || socket.writableNeedDrain || !socket.writable) return;
    const reach = Math.min(this.#kept.length, this.#settings.window);
    let text = '';
    for (; this.#onTheWay < reach; this.#onTheWay++) {
      const reading = this.#kept[this.#onTheWay];
      if (reading === undefined) break;
      text += `${JSON.stringify(reading)}\n`;
      this.#tally.sent++;
      if (reading.seq <= this.#sentUpTo) this.#tally.resent++;
      else this.#sentUpTo = reading.seq;
    }
    if (text !== '') socket.write(text);
  }

  #hear(line: string): void {
    const [first] = this.#kept;
    if (line.startsWith('wait ')) {
      this.#tally.waits++;
    } else if (first !== undefined && this.#onTheWay > 0 && line === `ack ${first.seq}`) {
      this.#kept.shift();
      this.#onTheWay--;
      this.#attempts = 0;
      this.#tally.acknowledged(first);
      this.#send();
    } else {
      this.#tally.puzzled(this.#name, line);
    }
  }
}

/** What a device measures. Anybody can compute it, and so see whether what was stored is what was sent. */
export function measured(device: string, seq: number): number {
  let hash = seq;
  for (const character of device) hash = (Math.imul(hash, 31) + character.charCodeAt(0)) | 0;
  return 20 + (hash % 1_000_003) / 100_000;
}
