import { type Observable, Subscription } from 'rxjs';
import type { ServerEvent } from '../events.ts';
import type { Attributes, HistogramInstrument } from './instrument.ts';
import type { Sample } from './instruments.ts';
import { type Recording, ServerFigures } from './serverFigures.ts';

/** @returns Where to record values with the attributes of the instrument, and those of the server. */
export type ServerRecorder = (instrument: HistogramInstrument, own: Attributes, ofServer: Attributes) => Recording;

/** A server whose events are observed, with the attributes that tell it apart from others. */
export class ObservedServer {
  readonly #figures: ServerFigures;
  readonly #given: Attributes;
  #attributes: Attributes | undefined;
  #sample: Sample | undefined;

  /**
   * @param given Attributes of the user, which overrule ours.
   * @param recorder Called again for the same attributes when the server begins anew: it may have another address then.
   */
  constructor(given: Attributes, recorder: ServerRecorder) {
    this.#given = given;
    this.#figures = new ServerFigures((instrument, own) => recorder(instrument, own, this.#attributes ?? {}));
  }

  /** Its attributes; `undefined` until it is listening, when there is nothing to report either. */
  get attributes(): Attributes | undefined {
    return this.#attributes;
  }

  /**
   * Observes the events. An error of theirs is left to their other subscribers.
   *
   * @returns A subscription that stays open when the events are over, because the last figures are still to be reported.
   */
  observe(events: Observable<ServerEvent>): Subscription {
    const over = () => this.#figures.end();
    const observed = new Subscription();
    observed.add(events.subscribe({ next: (event) => this.#next(event), error: over, complete: over }));
    return observed;
  }

  /** Its figures now. */
  sample(): Sample | undefined {
    if (this.#attributes === undefined) return undefined;
    try {
      this.#sample = { figures: this.#figures, totals: this.#figures.totals() };
    } catch {
      // A socket of the user's transport threw. The sums of the last time are still true: they were reached.
    }
    return this.#sample;
  }

  #next(event: ServerEvent): void {
    if (event.type === 'listening') {
      const { address, port } = event.address;
      this.#attributes = {
        ...(address !== undefined && { 'server.address': address }),
        ...(port !== undefined && { 'server.port': port }),
        ...this.#given,
      };
    }
    this.#figures.next(event);
  }
}
