import { asyncScheduler, NEVER, type SchedulerLike, Subject } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { Ingest } from '../../../demos/ingest/ingest.ts';
import type { Store } from '../../../demos/ingest/stores/store.ts';
import { view } from '../../../demos/ingest/view.ts';
import { OTHERS, type Window } from '../../../demos/ingest/windows.ts';
import { type StatusLine, Traffic } from '../../../demos/support/index.ts';
import { Watched } from '../../support/watched.ts';

/** A terminal, and what it shows now. */
class Screen extends Watched implements StatusLine {
  readonly live = true;
  text = '';
  show(text: string): void {
    this.text = text;
    this.changed();
  }
  print(): void {}
  clear(): void {}
}

/** A store that takes everything, or nothing while it is broken. */
class Pretended implements Store {
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

/** It is always the same moment, so that all readings fall into one window; but its timers go on. */
const STOPPED: SchedulerLike = { now: () => 1_000_010, schedule: asyncScheduler.schedule.bind(asyncScheduler) };

describe('the view of the windows', () => {
  it('has a line for the last window of each device, some of many, and says why devices are held back', async () => {
    const screen = new Screen();
    const store = new Pretended();
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
    expect(screen.text).not.toContain('held back');

    store.broken = true;
    send('d1', 2, 1);
    await screen.until(({ text }) => text.includes('held back: the store cannot be written: the disk is full'), 'why');
    store.why = 'nats says \u001b[2J\u009b\nno';
    await screen.until(({ text }) => text.includes('written: nats says \\u001b[2J\\u009b no'), 'why, on one line');
    store.broken = false;
    await screen.until(({ text }) => !text.includes('held back') && text.includes('17 in all'), 'that it is over');
    drawing?.unsubscribe();
  });

  it('shows a few of any number of devices, and those that are summed up together', async () => {
    const screen = new Screen();
    const windows = new Subject<Window>();
    const ingest = { windows, trouble: NEVER, acknowledged: 0 } as unknown as Ingest;
    const drawing = view(screen, { ingest, traffic: new Traffic(), windows: true });
    const window = (device: string, start = 0): Window => ({
      ...{ device, start, width: 10, count: 7 },
      ...{ min: 1, mean: 2, max: 3, late: 0 },
    });
    // More than there are arguments of a call.
    for (let i = 130_000; i > 0; i--) windows.next(window(`d${i}`));
    windows.next(window(OTHERS));
    await screen.until(({ text }) => text.includes('more devices'), 'the windows');
    expect(screen.text).toMatch(/^ {2}\(others\) +7 /m);
    expect(screen.text).toContain('d125001 ');
    expect(screen.text).toContain('… and 4,989 more devices, at least');
    windows.next(window('d1', 1000));
    await screen.until(({ text }) => !text.includes('more devices'), 'that the others are silent');
    expect(screen.text).toMatch(/^ {2}d1 +7 /m);
    drawing?.unsubscribe();
  });

  it('is not there where there is no terminal', () => {
    const ingest = new Ingest(new Pretended());
    const screen = Object.assign(new Screen(), { live: false });
    expect(view(screen, { ingest, traffic: new Traffic(), windows: true })).toBeUndefined();
  });
});
