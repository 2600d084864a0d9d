import { type Check, checkArgument, describe, having } from '../options.ts';

/** An attribute of the user. */
const isAttribute = (value: unknown) =>
  typeof value === 'string' || (typeof value === 'number' && Number.isFinite(value));

/** Attributes of the user: strings and numbers by name. */
export const attributes: Check = (value) => {
  if (typeof value !== 'object' || value === null) return `must be an object, not ${describe(value)}`;
  const wrong = Object.entries(value).find(([name, one]) => name === '' || !isAttribute(one));
  return wrong && `must have strings and numbers by name, not ${describe(Object.fromEntries([wrong]))}`;
};

/** @throws TypeError if it is no Observable. */
export function checkEvents(events: unknown): void {
  const observable: Check = having('an Observable of events, such as serve(…).pipe(share())', 'subscribe', 'pipe');
  checkArgument('report metrics', 'events', events, observable);
}
