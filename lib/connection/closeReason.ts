import {
  DeadlineError,
  FrameInvalidError,
  FrameTooLongError,
  FrameTruncatedError,
  SlowConsumerError,
} from '../errors.ts';
import type { CloseReason } from '../events.ts';

/** The reason for which an error ends a connection: the peer's fault where it is one of ours, else the handler's. */
export function closeReason(error: unknown): CloseReason {
  if (error instanceof DeadlineError) return error.deadline === 'stall' ? 'slow-consumer' : 'deadline';
  if (error instanceof FrameTooLongError) return 'frame-too-long';
  if (error instanceof FrameTruncatedError) return 'frame-truncated';
  if (error instanceof FrameInvalidError) return 'frame-invalid';
  if (error instanceof SlowConsumerError) return 'slow-consumer';
  return 'failed';
}
