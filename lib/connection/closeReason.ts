import {
  DeadlineError,
  EvictedError,
  FrameInvalidError,
  FrameTooLongError,
  FrameTruncatedError,
  isA,
  SlowConsumerError,
} from '../errors.ts';
import type { CloseReason } from '../events.ts';

/** The reason for which an error in its input ends a connection: the peer's fault where the error is one of ours. */
export function closeReason(error: unknown): CloseReason {
  if (isA(error, DeadlineError)) {
    // A late reply is the handler's fault.
    if (error.deadline === 'reply') return 'failed';
    return error.deadline === 'stall' ? 'slow-consumer' : 'deadline';
  }
  if (isA(error, FrameTooLongError)) return 'frame-too-long';
  if (isA(error, FrameTruncatedError)) return 'frame-truncated';
  if (isA(error, FrameInvalidError)) return 'frame-invalid';
  if (isA(error, EvictedError)) return 'evicted';
  if (isA(error, SlowConsumerError)) return 'slow-consumer';
  return 'failed';
}
