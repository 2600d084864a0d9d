import { attributes, ownAttributes } from '../metrics/options.ts';
import { type Check, describe } from '../options.ts';
import { sanitized } from './names.ts';

/** The labels of buckets and quantiles. Names that begin with two underscores are those of Prometheus, too. */
const isReserved = (label: string) => label === 'le' || label === 'quantile' || label.startsWith('__');

const ownLabels: ReadonlySet<string> = new Set([...ownAttributes].map(sanitized));

/** Attributes of the user that can be labels: each another one, and none that has a meaning already. */
export const labels: Check = (value) => {
  const wrong = attributes(value);
  if (wrong !== undefined) return wrong;
  const names = new Map<string, string>();
  for (const name of Object.keys(value as object)) {
    const label = sanitized(name);
    const other = names.get(label);
    if (other !== undefined) return `must not have both ${describe(other)} and ${describe(name)}, which are one label`;
    if (isReserved(label)) return `must not have ${describe(name)}: Prometheus reserves the label ${label}`;
    if (ownLabels.has(label)) return `must not have ${describe(name)}: metrics have the label ${label} themselves`;
    names.set(label, name);
  }
  return undefined;
};
