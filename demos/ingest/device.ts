import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import type { Reading } from './reading.ts';

/** Settings of all devices. Times are in milliseconds. */
export interface DeviceSettings {
  readonly host: string;
  readonly port: number;
  /** Time between two readings. */
  readonly every: number;
  /** Readings that may be sent and not acknowledged. Any more are kept, and sent later. */
  readonly window: number;
  /** Longest pause before a device reconnects. */
  readonly backoff: number;
}

/** Counters of all devices together, and the calls that each device makes. */
export interface DeviceTally {
  /** The oldest reading that was sent and not acknowledged has been acknowledged. */
  acknowledged(reading: Reading): void;
  /** A line from the server was not part of the protocol, or out of order. */
  unexpected(device: string, line: string): void;
  sent: number;
  resent: number;
  connects: number;
  /** `wait` lines received. */
  waits: number;
}

/** First pause before a device reconnects, in milliseconds. It doubles with each attempt. */
const FIRST_PAUSE = 25;

/**
 * A device: measures, sends, and keeps each reading until it is acknowledged.
 *
 * On each connection it starts with the oldest reading that is not acknowledged. When the connection is lost it reconnects after
 * a pause. The pause grows with each attempt, and has jitter, so that devices do not reconnect at the same time.
 */
export class Device {
  readonly #name: string;
  readonly #settings: DeviceSettings;
  readonly #tally: DeviceTally;
  /** Readings that are not acknowledged, in order. The first `#inFlight` of them have been sent on this connection. */
  readonly #kept: Reading[] = [];
  #inFlight = 0;
  /** Highest sequence number that was ever sent. */
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

  /** Number of readings that are not acknowledged. */
  get kept(): number {
    return this.#kept.length;
  }

  start(): void {
    const { every } = this.#settings;
    this.#connect();
    // After a random delay, so that devices do not all measure in the same millisecond.
    this.#measuring = setTimeout(() => {
      this.#measuring = setInterval(() => this.#measure(), every);
    }, every * Math.random());
  }

  /** Stops measuring. It continues to send until every reading is acknowledged. */
  rest(): void {
    clearInterval(this.#measuring);
  }

  /** Ends the connection. Readings that are kept stay unacknowledged. */
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
    this.#inFlight = 0;
    socket.on('connect', () => {
      this.#tally.connects++;
      this.#send();
    });
    socket.on('drain', () => this.#send());
    // Errors are ignored, because 'close' follows each of them. The line reader repeats the errors of the socket.
    const lines = createInterface({ input: socket }).on('line', (line) => this.#receive(line));
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
    for (; this.#inFlight < reach; this.#inFlight++) {
      const reading = this.#kept[this.#inFlight];
      if (reading === undefined) break;
      text += `${JSON.stringify(reading)}\n`;
      this.#tally.sent++;
      if (reading.seq <= this.#sentUpTo) this.#tally.resent++;
      else this.#sentUpTo = reading.seq;
    }
    if (text !== '') socket.write(text);
  }

  #receive(line: string): void {
    const [first] = this.#kept;
    if (line.startsWith('wait ')) {
      this.#tally.waits++;
    } else if (first !== undefined && this.#inFlight > 0 && line === `ack ${first.seq}`) {
      this.#kept.shift();
      this.#inFlight--;
      this.#attempts = 0;
      this.#tally.acknowledged(first);
      this.#send();
    } else {
      this.#tally.unexpected(this.#name, line);
    }
  }
}

/** The value of a reading. It is a function of its key, so an audit can compute it and compare it with the stored value. */
export function measured(device: string, seq: number): number {
  let hash = seq;
  for (const character of device) hash = (Math.imul(hash, 31) + character.charCodeAt(0)) | 0;
  return 20 + (hash % 1_000_003) / 100_000;
}
