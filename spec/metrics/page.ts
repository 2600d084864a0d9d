import { expect } from 'vitest';

const SAMPLE = /^([a-zA-Z_][a-zA-Z0-9_]*)(?:\{(.*)\})? (-?[0-9.e+-]+|[Nn]a[Nn]|[+-]Inf)$/;
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/g;
/** The names that a family's samples may have besides its own. */
const PARTS = { histogram: ['_bucket', '_sum', '_count'], counter: [''], gauge: [''] };

/** One sample of a page of metrics. */
export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** A page in the text format of Prometheus. It is checked as it is read. */
export class Page {
  readonly samples: readonly Sample[];
  /** The type of each family. */
  readonly types = new Map<string, string>();

  constructor(text: string) {
    const samples: Sample[] = [];
    let family = '';
    const seen = new Set<string>();
    expect(text.endsWith('\n')).toBe(true);
    for (const line of text.split('\n')) {
      if (line === '') continue;
      const [, word, name = '', rest = ''] = line.match(/^# (HELP|TYPE) (\S+) (.+)$/) ?? [];
      if (word === 'HELP') {
        expect(seen.has(name), `${name} is there once`).toBe(false);
        seen.add(name);
        family = name;
      } else if (word === 'TYPE') {
        expect(name).toBe(family);
        this.types.set(name, rest);
      } else {
        const sample = sampleOf(line);
        const type = this.types.get(family) as keyof typeof PARTS;
        expect(PARTS[type].map((part) => family + part)).toContain(sample.name);
        samples.push(sample);
      }
    }
    this.samples = samples;
    const keys = samples.map(keyOf);
    expect(new Set(keys).size, 'each series is there once').toBe(keys.length);
    for (const [name, type] of this.types) if (type === 'histogram') this.#checkHistogram(name);
  }

  /** Buckets only grow, and the last one counts all. */
  #checkHistogram(name: string): void {
    const counts = this.samples.filter((one) => one.name === `${name}_count`);
    for (const { labels, value: count } of counts) {
      const isOfThese = (one: Sample) => Object.keys(labels).every((label) => one.labels[label] === labels[label]);
      const all = this.samples.filter((one) => one.name === `${name}_bucket` && isOfThese(one));
      const buckets = all.filter((one) => Object.keys(one.labels).length === Object.keys(labels).length + 1);
      const bounds = buckets.map((one) => Number(one.labels.le?.replace('+Inf', 'Infinity')));
      expect(bounds).toEqual([...bounds].sort((one, other) => one - other));
      expect(bounds.at(-1)).toBe(Number.POSITIVE_INFINITY);
      const values = buckets.map(({ value }) => value);
      expect(values).toEqual([...values].sort((one, other) => one - other));
      expect(values.at(-1)).toBe(count);
    }
  }

  /** The value of the series with these labels, and any others. */
  get(name: string, labels: Readonly<Record<string, string>> = {}): number | undefined {
    const fits = (sample: Sample) =>
      sample.name === name && Object.entries(labels).every(([label, value]) => sample.labels[label] === value);
    const fitting = this.samples.filter(fits);
    expect(fitting.length, `series of ${name}`).toBeLessThan(2);
    return fitting[0]?.value;
  }

  /** The values by a label, without those that are 0. */
  by(name: string, label: string): Record<string, number> {
    const of = this.samples.filter((sample) => sample.name === name && sample.value !== 0);
    return Object.fromEntries(of.map(({ labels, value }) => [labels[label] ?? '', value]));
  }

  /** All samples by name and labels. */
  get all(): Map<string, number> {
    return new Map(this.samples.map((sample) => [keyOf(sample), sample.value]));
  }
}

function sampleOf(line: string): Sample {
  const [, name, labels = '', value = ''] = line.match(SAMPLE) ?? [];
  if (name === undefined) throw new Error(`This is no sample: ${line}`);
  const found = [...labels.matchAll(LABEL)];
  expect(found.map(([text]) => text).join('')).toBe(labels);
  const entries = found.map(([, label = '', text = '']) => [label, text] as const);
  expect(new Set(entries.map(([label]) => label)).size, 'each label is there once').toBe(entries.length);
  return { name, labels: Object.fromEntries(entries), value: Number(value.replace('Inf', 'Infinity')) };
}

const keyOf = ({ name, labels }: Sample) => `${name} ${JSON.stringify(Object.entries(labels).sort())}`;
