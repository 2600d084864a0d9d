import { type Observable, Subscription } from 'rxjs';
import type { ServerEvent } from '../events.ts';
import type { Attributes } from './instrument.ts';
import type { Sample } from './instruments.ts';
import { type Recorder, type Recording, ServerFigures } from './serverFigures.ts';

/** A server whose events are observed, with the attributes that tell it apart from others. */
export class ObservedServer {
  readonly #figures: ServerFigures;
  readonly #given: Attributes;
  #attributes: Attributes | undefined;
  #sample: Sample | undefined;

  /**
   * @param given Attributes of the user, which overrule ours.
   * @param recorder Called with all attributes, those of the server included.
   */
  constructor(given: Attributes, recorder: Recorder) {
    this.#given = given;
    this.#figures = new ServerFigures(
      (instrument, attributes): Recording => recorder(instrument, { ...this.#attributes, ...attributes }),
    );
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
