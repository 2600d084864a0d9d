import { expect, it } from 'vitest';
import { closeReasonOf } from '../../lib/connection/closing.ts';
import {
  DeadlineError,
  EvictedError,
  FrameInvalidError,
  FrameTooLongError,
  FrameTruncatedError,
  SlowConsumerError,
} from '../../lib/errors.ts';

it.each([
  [new DeadlineError('idle', 1), 'deadline'],
  [new DeadlineError('greeting', 1), 'deadline'],
  [new DeadlineError('frame', 1), 'deadline'],
  [new DeadlineError('total', 1), 'deadline'],
  [new DeadlineError('stall', 1), 'slow-consumer'],
  [new FrameTooLongError(1, 2), 'frame-too-long'],
  [new FrameTruncatedError(1), 'frame-truncated'],
  [new FrameInvalidError('no'), 'frame-invalid'],
  [new SlowConsumerError(1, 2), 'slow-consumer'],
  [new EvictedError(1, 2, 3), 'evicted'],
  [new Error('any other'), 'failed'],
  ['a string', 'failed'],
  [undefined, 'failed'],
])('%o closes a connection as %s', (error, reason) => {
  expect(closeReasonOf(error)).toBe(reason);
});
