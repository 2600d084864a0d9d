/** How often a value fell into each bucket. Cheap: a record is one comparison for each bound, and no allocation. */
export class Histogram {
  /** The upper bounds of the buckets, which belong to them. One more bucket has no bound. */
  readonly bounds: readonly number[];
  /** How many values each bucket has, one more than there are bounds. */
  readonly counts: number[];
  sum = 0;
  count = 0;

  /** @param bounds Upper bounds, ascending. */
  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = new Array(bounds.length + 1).fill(0);
  }

  record(value: number): void {
    const { bounds, counts } = this;
    let bucket = 0;
    while (bucket < bounds.length && value > (bounds[bucket] as number)) bucket++;
    (counts[bucket] as number)++;
    this.sum += value;
    this.count++;
  }
}
