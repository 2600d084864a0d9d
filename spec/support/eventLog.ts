import { Waitable } from './waitable.ts';

/** Records the events of an Observable, as an observer of it. */
export class EventLog<Event extends { readonly type: string }> extends Waitable {
  readonly events: Event[] = [];
  fault: unknown;
  completed = false;

  /** Called with each event, once it is recorded. */
  protected seen(_event: Event): void {}

  readonly next = (event: Event): void => {
    this.events.push(event);
    this.seen(event);
    this.changed();
  };

  readonly error = (error: unknown): void => {
    this.fault = error;
    this.changed();
  };

  readonly complete = (): void => {
    this.completed = true;
    this.changed();
  };

  /** All events of a type. */
  of<Type extends Event['type']>(type: Type): Extract<Event, { readonly type: Type }>[] {
    return this.events.filter((event): event is Extract<Event, { readonly type: Type }> => event.type === type);
  }
}
