import { type Check, checkArgument, describe, having } from '../options.ts';
import { histograms } from './histograms.ts';
import { processInstruments, serverInstruments } from './instruments.ts';

/** The attributes that tell values of one instrument apart. */
export const ownAttributes: ReadonlySet<string> = new Set(
  [...serverInstruments, ...Object.values(histograms), ...processInstruments].flatMap((one) => one.attributes),
);

/** An attribute of the user. */
const isAttribute = (value: unknown) =>
  typeof value === 'string' || (typeof value === 'number' && Number.isFinite(value));

/** Attributes of the user: strings and numbers by name. */
export const attributes: Check = (value) => {
  if (typeof value !== 'object' || value === null) return `must be an object, not ${describe(value)}`;
  const wrong = Object.entries(value).find(([name, one]) => name === '' || !isAttribute(one));
  if (wrong) return `must have strings and numbers by name, not ${describe(Object.fromEntries([wrong]))}`;
  // Otherwise two values of one instrument could have the same attributes.
  const taken = Object.keys(value).find((name) => ownAttributes.has(name));
  return taken && `must not have ${describe(taken)}, which metrics have themselves`;
};

/** @throws TypeError if it is no Observable. */
export function checkEvents(events: unknown): void {
  const observable: Check = having('an Observable of events, such as serve(…).pipe(share())', 'subscribe', 'pipe');
  checkArgument('report metrics', 'events', events, observable);
}
