import { asyncScheduler, NEVER, type SchedulerLike, Subject } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { Ingest } from '../../../demos/ingest/ingest.ts';
import type { Store } from '../../../demos/ingest/stores/store.ts';
import { view } from '../../../demos/ingest/view.ts';
import { OTHERS, type Window } from '../../../demos/ingest/windows.ts';
import { type StatusLine, Traffic } from '../../../demos/support/index.ts';
import { Waitable } from '../../support/waitable.ts';

/** A terminal, and the text that it shows at present. */
class Screen extends Waitable implements StatusLine {
  readonly live = true;
  text = '';
  show(text: string): void {
    this.text = text;
    this.changed();
  }
  print(): void {}
  clear(): void {}
}

/** A store that accepts every write, or rejects every write while it is broken. */
class FakeStore implements Store {
  readonly name = 'a store of a spec';
  broken = false;
  why = 'the disk is full';
  async readings(batch: readonly unknown[]): Promise<boolean[]> {
    if (this.broken) throw new Error(this.why);
    return batch.map(() => true);
  }
  windows = (batch: readonly unknown[]) => this.readings(batch);
  async close(): Promise<void> {}
}

/** A clock whose time does not advance, so that all readings fall into one window. Its timers run. */
const STOPPED: SchedulerLike = { now: () => 1_000_010, schedule: asyncScheduler.schedule.bind(asyncScheduler) };

describe('the view of the windows', () => {
  it('shows the last window of each of the first devices, and the reason why devices have to wait', async () => {
    const screen = new Screen();
    const store = new FakeStore();
    const ingest = new Ingest(store, { width: 20, lateness: 0, patience: 50, clock: STOPPED });
    const drawing = view(screen, { ingest, traffic: new Traffic(), windows: true });
    const send = (device: string, seq: number, value: number, at = 1_000_005) =>
      ingest.store({ device, seq, at, value }).subscribe();

    for (let i = 1; i <= 15; i++) send(`d${i}`, 1, i / 3);
    send('d2', 2, 0, 0);
    await screen.until(({ text }) => /^ {2}d12 .* 4 /m.test(text), 'the windows');
    const rows = screen.text.split('\n').filter((line) => /^ {2}d\d/.test(line));
    expect(rows.map((row) => row.trim().split(/\s+/)[0])).toEqual([...Array(12).keys()].map((i) => `d${i + 1}`));
    expect(rows[0]).toMatch(/^ {2}d1 +1 +0\.333333 +0\.333333 +0\.333333 +0$/);
    expect(rows[1]).toMatch(/^ {2}d2 +1 +0\.666667 +0\.666667 +0\.666667 +1$/);
    expect(screen.text).toContain('… and 3 more devices');
    expect(screen.text).toContain('16 in all');
    expect(screen.text).not.toContain('have to wait');

    store.broken = true;
    send('d1', 2, 1);
    const why = 'have to wait: the store cannot be written: the disk is full';
    await screen.until(({ text }) => text.includes(why), 'the reason');
    store.why = 'nats sends \u001b[2J\u009b\nno';
    await screen.until(
      ({ text }) => text.includes('written: nats sends \\u001b[2J\\u009b no'),
      'the reason on one line',
    );
    store.broken = false;
    await screen.until(({ text }) => !text.includes('have to wait') && text.includes('17 in all'), 'the recovery');
    drawing?.unsubscribe();
  });

  it('shows a few of any number of devices, and the shared window', async () => {
    const screen = new Screen();
    const windows = new Subject<Window>();
    const ingest = { windows, trouble: NEVER, acknowledged: 0 } as unknown as Ingest;
    const drawing = view(screen, { ingest, traffic: new Traffic(), windows: true });
    const window = (device: string, start = 0): Window => ({
      ...{ device, start, width: 10, count: 7 },
      ...{ min: 1, mean: 2, max: 3, late: 0 },
    });
    // More than the arguments that a call can have.
    for (let i = 130_000; i > 0; i--) windows.next(window(`d${i}`));
    windows.next(window(OTHERS));
    await screen.until(({ text }) => text.includes('more devices'), 'the windows');
    expect(screen.text).toMatch(/^ {2}\(others\) +7 /m);
    expect(screen.text).toContain('d125001 ');
    expect(screen.text).toContain('… and 4,989 more devices, at least');
    windows.next(window('d1', 1000));
    await screen.until(({ text }) => !text.includes('more devices'), 'that silent devices are dropped');
    expect(screen.text).toMatch(/^ {2}d1 +7 /m);
    drawing?.unsubscribe();
  });

  it('does not exist without a terminal', () => {
    const ingest = new Ingest(new FakeStore());
    const screen = Object.assign(new Screen(), { live: false });
    expect(view(screen, { ingest, traffic: new Traffic(), windows: true })).toBeUndefined();
  });
});
