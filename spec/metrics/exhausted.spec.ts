import { afterEach, describe, expect, it } from 'vitest';
import { endPrograms, Program } from '../support/program.ts';
import { Page } from './page.ts';

afterEach(endPrograms);

interface Scraped {
  readonly type: 'scraped';
  readonly files: number;
  readonly memoryUsage: string;
  readonly text: string;
  readonly again: string;
  readonly errors: readonly string[];
  readonly accepted: readonly { readonly value: number }[];
}

describe('a scrape in a process without a free descriptor', () => {
  it.each([false, true])('is complete (with the default metrics of prom-client: %s)', async (withDefaults) => {
    // Loading the program takes some hundred.
    const program = new Program('scraped', { descriptors: 1000, options: { withDefaults } });
    await program.whenExited();
    const scraped = program.events.find((event): event is never => (event.type as string) === 'scraped') as unknown;
    const { files, memoryUsage, text, again, errors, accepted } = scraped as Scraped;
    expect(program.output).toBe('');
    // The shortage is real: process.memoryUsage reads a file, and throws.
    expect(files).toBeGreaterThan(500);
    expect(memoryUsage).toBe('EMFILE');
    for (const page of [text, again].map((json) => new Page(JSON.parse(json)))) {
      expect(page.get('sluice_accepted_connections_total')).toBe(1);
      expect(page.get('sluice_active_connections')).toBe(1);
      expect(page.get('sluice_descriptor_limit')).toBe(1000);
      expect(page.get('nodejs_eventloop_time_seconds_total', { nodejs_eventloop_state: 'active' })).toBeGreaterThan(0);
    }
    expect(errors).toEqual([]);
    expect(accepted).toMatchObject([{ value: 1 }]);
  });
});
