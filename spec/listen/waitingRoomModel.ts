import type { WaitingOrder } from '../../lib/listen/handOutOrder.ts';
import { WaitingRoom } from '../../lib/listen/waitingRoom.ts';
import { Clock } from '../support/clock.ts';

/** How the waiting room begins. */
export interface Settings {
  max: number;
  timeout: number;
  ahead: number;
  order: WaitingOrder;
  /** One in so many connections gives way to others at first; 0 if none ever does. */
  every: number;
}

interface Waiting {
  id: number;
  since: number;
}

interface HandedOut extends Waiting {
  slotSince: number;
  alive: boolean;
}

/** What the handler of the waiting room says, in both. */
class Circumstances {
  hasPlace = true;
  /** One in so many connections gives way: by `id % every`. 0 for none. */
  every = 0;
  readonly abandoned = new Set<number>();

  yields(id: number): boolean {
    return this.every > 0 && id % this.every === 0;
  }
}

/** The waiting room in its simplest form: lists, and a clock that advances millisecond by millisecond. */
export class Model extends Circumstances {
  now = 0;
  next = 0;
  open = true;
  /** How many connections the operator takes in the call that hands them out. */
  slots = 0;
  /** Those that give way, and the others. */
  readonly yielding: Waiting[] = [];
  readonly queue: Waiting[] = [];
  handedOut: HandedOut[] = [];
  readonly log: string[] = [];
  settings: Settings;
  /** When the queue was last found empty by one that came, and each time at which the first in it had waited for less than 5 ms. */
  #emptyAt = 0;
  #calm: number[] = [];

  constructor(settings: Settings) {
    super();
    this.settings = settings;
    this.every = settings.every;
  }

  get waiting(): number {
    return this.queue.length + this.yielding.length + this.handedOut.filter(({ alive }) => alive).length;
  }

  refuse(item: { id: number }, reason: string): void {
    const yielded = this.yielding.some(({ id }) => id === item.id);
    this.log.push(`${item.id} refused: ${reason}${yielded ? ', yielded' : ''}`);
    this.leave(item.id);
  }

  arrive(): void {
    const id = this.next++;
    if (!this.open) return this.refuse({ id }, 'draining');
    if (this.yields(id)) this.yielding.push({ id, since: this.now });
    else {
      if (this.queue.length === 0) this.#emptyAt = this.now;
      this.queue.push({ id, since: this.now });
    }
    this.release();
    if (this.waiting <= this.settings.max) return;
    const last = this.yielding.at(-1);
    const longest = this.queue[0];
    if (last) this.refuse(last, 'full');
    else if (longest && this.isNewestFirst()) this.refuse(longest, 'full');
    else if (this.has(id)) this.refuse({ id }, 'full');
  }

  has(id: number): boolean {
    return [...this.queue, ...this.handedOut.filter(({ alive }) => alive)].some((one) => one.id === id);
  }

  /** The rule of CoDel: the wait of the first one was above 5 ms each time it was looked at for 100 ms. */
  isNewestFirst(): boolean {
    const { order } = this.settings;
    const first = this.queue[0];
    if (order !== 'adaptive' || !first) return order === 'newest';
    if (this.now - first.since < 5) this.#calm.push(this.now);
    this.#calm = this.#calm.filter((at) => this.now - at < 100);
    return this.#calm.length === 0 && this.now - this.#emptyAt >= 100;
  }

  release(): void {
    while (this.open && this.hasPlace && this.queue.length + this.yielding.length > 0) {
      const [oldest] = this.handedOut;
      const expired = oldest && !oldest.alive && oldest.slotSince + this.settings.timeout <= this.now;
      if (this.handedOut.length >= this.settings.ahead && expired) this.handedOut.shift();
      if (this.handedOut.length >= this.settings.ahead) break;
      const next = this.#takeNext();
      if (!next) break;
      if (this.abandoned.has(next.id)) {
        this.log.push(`${next.id} abandoned`);
        continue;
      }
      this.log.push(`${next.id} handed`);
      if (this.slots > 0) this.slots--;
      else this.handedOut.push({ ...next, slotSince: this.now, alive: true });
    }
  }

  #takeNext(): Waiting | undefined {
    if (this.queue.length > 0) return this.isNewestFirst() ? this.queue.pop() : this.queue.shift();
    const at = this.yielding.findIndex(({ id }) => !this.yields(id));
    return at < 0 ? undefined : this.yielding.splice(at, 1)[0];
  }

  taken(id: number): void {
    const before = this.handedOut.length;
    this.handedOut = this.handedOut.filter((one) => one.id !== id);
    if (this.handedOut.length < before) this.release();
  }

  leave(id: number): void {
    for (const list of [this.queue, this.yielding]) {
      const at = list.findIndex((one) => one.id === id);
      if (at >= 0) list.splice(at, 1);
    }
    for (const one of this.handedOut) if (one.id === id) one.alive = false;
  }

  /** All that wait, in the order in which they are refused together. */
  #all(): Waiting[] {
    const handedOut = this.handedOut.filter(({ alive }) => alive).toSorted((a, b) => a.since - b.since);
    return [...handedOut, ...this.queue, ...this.yielding];
  }

  advance(ms: number): void {
    const end = this.now + ms;
    for (; this.now <= end; this.now++) {
      for (const one of this.#all()) if (one.since + this.settings.timeout <= this.now) this.refuse(one, 'timeout');
      this.release();
    }
    this.now = end;
  }

  close(): void {
    this.open = false;
    for (const one of this.#all()) this.refuse(one, 'draining');
    this.handedOut = [];
  }
}

/** The real one, with an operator behind it that buffers the connections it cannot take, as `mergeMap` does. */
export class Real extends Circumstances {
  readonly clock = new Clock();
  readonly log: string[] = [];
  /** Connections that were handed to the operator and that it has not subscribed to. */
  readonly buffer: number[] = [];
  slots = 0;
  next = 0;
  readonly settings: Settings;
  readonly waitingRoom: WaitingRoom<number>;

  constructor(settings: Settings) {
    super();
    this.settings = settings;
    this.every = settings.every;
    this.waitingRoom = new WaitingRoom<number>(Object.assign(this.settings, { clock: this.clock }), {
      hand: (id) => {
        this.log.push(`${id} handed`);
        if (this.slots > 0) {
          this.slots--;
          this.waitingRoom.taken(id);
        } else {
          this.buffer.push(id);
        }
      },
      refuse: (id, reason, yielded) => this.log.push(`${id} refused: ${reason}${yielded ? ', yielded' : ''}`),
      hasPlace: () => this.hasPlace,
      yields: (id) => this.yields(id),
      isAbandoned: (id) => {
        if (!this.abandoned.has(id)) return false;
        this.log.push(`${id} abandoned`);
        return true;
      },
    });
  }
}
