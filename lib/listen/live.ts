import { isObservable, type Observable, Subscription } from 'rxjs';
import type { FailedEvent } from '../events.ts';
import { type Check, checkArgument } from '../options.ts';

/** A value, or an Observable of values, of which the last one holds. */
export type Live<T> = T | Observable<T>;

/** The check of an option that may be an Observable. The values that it emits are checked later, when they come. */
export const live =
  (allowed: Check): Check =>
  (value) => {
    if (isObservable(value)) return undefined;
    const wrong = allowed(value);
    if (wrong === undefined) return undefined;
    return typeof wrong === 'string' ? `${wrong}, nor an Observable` : wrong;
  };

/** The current value of an option. */
export interface Current<T> {
  readonly value: T;
}

/** How the values of an option are checked and used. */
export interface Reading<V, T> {
  /** As the user writes it, for messages. */
  readonly name: string;
  readonly allowed: Check;
  /** What is made of each value. @default the value itself */
  readonly read?: (value: V) => T;
  /** Called with each value after the first one, once all options have a value. */
  readonly changed?: (value: T) => void;
}

class LiveValue<V, T> implements Current<T> {
  readonly reading: Reading<V, T>;
  readonly source: Observable<V> | undefined;
  hasValue = false;
  // Before the first value the port is closed, and nothing asks for it.
  value = undefined as T;

  constructor(given: Live<V>, reading: Reading<V, T>) {
    this.reading = reading;
    if (isObservable(given)) this.source = given;
    else this.set(given);
  }

  set(value: V): void {
    const { read = (same: V) => same as unknown as T } = this.reading;
    this.value = read(value);
    this.hasValue = true;
  }
}

export interface LiveOptionsHandler {
  /** Each option has a value: the port can be opened. */
  ready(): void;
  /** An option has no value and will have none, or its Observable has failed. */
  failed(error: unknown): void;
  emit(event: FailedEvent): void;
}

/**
 * The options of one port that may be Observables.
 *
 * The port opens when each of them has emitted. A later value holds at once. If it is not allowed, the one before stays, and there
 * is a `failed` event. An Observable that completes keeps its last value; one that fails ends the stream with its error.
 */
export class LiveOptions {
  readonly #values: LiveValue<unknown, unknown>[] = [];
  readonly #subscription = new Subscription();
  readonly #handler: LiveOptionsHandler;
  #missing = 0;

  constructor(handler: LiveOptionsHandler) {
    this.#handler = handler;
  }

  /** Adds an option. To be called before `start`. */
  add<V, T = V>(given: Live<V>, reading: Reading<V, T>): Current<T> {
    const value = new LiveValue(given, reading);
    if (value.source !== undefined) this.#values.push(value as LiveValue<unknown, unknown>);
    return value;
  }

  start(): void {
    this.#missing = this.#values.length;
    if (this.#missing === 0) return this.#handler.ready();
    for (const option of this.#values) {
      if (this.#subscription.closed) return;
      const { name } = option.reading;
      const subscription = option.source?.subscribe({
        next: (value) => this.#receive(option, value),
        error: (error) => this.#fail(error),
        complete: () => option.hasValue || this.#fail(new TypeError(`Cannot listen: ${name} has emitted no value`)),
      });
      this.#subscription.add(subscription);
    }
  }

  close(): void {
    this.#subscription.unsubscribe();
  }

  #receive(option: LiveValue<unknown, unknown>, value: unknown): void {
    if (this.#subscription.closed) return;
    const { hasValue, reading } = option;
    try {
      checkArgument('use what an Observable has emitted', reading.name, value, reading.allowed);
      option.set(value);
    } catch (error) {
      if (hasValue) this.#handler.emit({ type: 'failed', error });
      else this.#fail(error);
      return;
    }
    if (!hasValue && --this.#missing === 0) this.#handler.ready();
    // Before all of them have a value, there is nothing that could change.
    else if (hasValue && this.#missing === 0) reading.changed?.(option.value);
  }

  #fail(error: unknown): void {
    this.close();
    this.#handler.failed(error);
  }
}
