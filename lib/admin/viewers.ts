import type { ServerResponse } from 'node:http';

/** Ticks after which a viewer that has not read what it was sent is cut off. */
const PATIENCE = 10;

/** A live page that is open. */
interface Viewer<Query> {
  readonly to: ServerResponse;
  readonly query: Query;
  /** For how many ticks it has not read what it was sent. */
  behind: number;
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

  constructor(most: number) {
    this.#most = most;
  }

  get size(): number {
    return this.#all.size;
  }

  get isFull(): boolean {
    return this.#all.size >= this.#most;
  }

  add(to: ServerResponse, query: Query): void {
    const viewer: Viewer<Query> = { to, query, behind: 0 };
    this.#all.add(viewer);
    to.on('close', () => this.#all.delete(viewer));
  }

  /** Sends an event to each viewer that has read the last one. @param dataFor The data for a query, as JSON. */
  send(event: string, dataFor: (query: Query) => string): void {
    for (const viewer of this.#all) {
      if (viewer.to.writableNeedDrain) {
        if (++viewer.behind >= PATIENCE) viewer.to.destroy();
        continue;
      }
      viewer.behind = 0;
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
