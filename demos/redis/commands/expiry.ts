import { toBigInt } from '../numbers.ts';
import { Refusal } from '../refusal.ts';
import type { ByteString } from '../resp/reply.ts';

/** The unit of an expiry time: seconds or milliseconds, from now or since 1970. */
export type Unit = 'EX' | 'PX' | 'EXAT' | 'PXAT';

export const isUnit = (word: string): word is Unit =>
  word === 'EX' || word === 'PX' || word === 'EXAT' || word === 'PXAT';

const MAX = 2n ** 63n - 1n;
const MIN = -(2n ** 63n);

/**
 * Parses an expiry time.
 *
 * @returns The time in milliseconds since 1970.
 * @throws {Refusal} If the text is not an integer, or the time does not fit in 64 bits.
 */
export function expiryTime(text: ByteString, unit: Unit, now: number, command: string): number {
  const amount = toBigInt(text);
  const milliseconds = unit === 'EX' || unit === 'EXAT' ? amount * 1000n : amount;
  const time = unit === 'EX' || unit === 'PX' ? milliseconds + BigInt(now) : milliseconds;
  if (time > MAX || milliseconds > MAX || milliseconds < MIN) throw invalidExpiry(command);
  return Number(time);
}

export const invalidExpiry = (command: string): Refusal =>
  new Refusal(`ERR invalid expire time in '${command}' command`);

/** The same for SET and GETEX, which refuse a time of zero or less. */
export function futureExpiry(text: ByteString, unit: Unit, now: number, command: string): number {
  if (toBigInt(text) <= 0n) throw invalidExpiry(command);
  return expiryTime(text, unit, now, command);
}
