import type { ServerResponse } from 'node:http';

/** Milliseconds after which a viewer that has not read what it was sent is cut off. Not events: an action is one, too. */
const PATIENCE = 10_000;

/** A live page that is open. */
interface Viewer<Query> {
  readonly to: ServerResponse;
  readonly query: Query;
  /** Since when it has not read what it was sent. */
  behindSince: number | undefined;
}

/**
 * The live pages that are open: they receive server-sent events.
 *
 * A viewer that has not read the last event is not sent the next one, so at most one is kept for each. Each event has all that is
 * shown, so nothing is missing afterwards.
 */
export class Viewers<Query> {
  readonly #all = new Set<Viewer<Query>>();
  readonly #most: number;
  readonly #now: () => number;

  /** @param most How many may be open. @param now The time in milliseconds. */
  constructor(most: number, now: () => number) {
    this.#most = most;
    this.#now = now;
  }

  get size(): number {
    return this.#all.size;
  }

  get isFull(): boolean {
    return this.#all.size >= this.#most;
  }

  add(to: ServerResponse, query: Query): void {
    const viewer: Viewer<Query> = { to, query, behindSince: undefined };
    this.#all.add(viewer);
    to.on('close', () => this.#all.delete(viewer));
  }

  /** Sends an event to each viewer that has read the last one. @param dataFor The data for a query, as JSON. */
  send(event: string, dataFor: (query: Query) => string): void {
    const now = this.#now();
    for (const viewer of this.#all) {
      if (viewer.to.writableNeedDrain) {
        viewer.behindSince ??= now;
        if (now - viewer.behindSince >= PATIENCE) viewer.to.destroy();
        continue;
      }
      viewer.behindSince = undefined;
      viewer.to.write(frame(event, dataFor(viewer.query)));
    }
  }

  /** Ends all streams. */
  end(): void {
    for (const { to } of this.#all) to.end();
  }
}

/** One server-sent event. JSON has no newline. */
export const frame = (event: string, data: string): string => `event: ${event}\ndata: ${data}\n\n`;
