/** Plain RxJS in its usual form: `fromEvent`, `timeout({ each })`, `mergeMap` with a limit, a `write` per value. */
import { createServer, type Socket } from 'node:net';
import {
  catchError,
  concatMap,
  EMPTY,
  finalize,
  from,
  fromEvent,
  map,
  mergeMap,
  type Observable,
  reduce,
  startWith,
  take,
  takeUntil,
  takeWhile,
  tap,
  timeout,
} from 'rxjs';
import type { BytesMode } from '../load/job.ts';
import { count64, limit, pattern, pick, readArguments, silence, start } from './program.ts';

/** The bytes of a peer until its end, or an error when it is silent for too long. */
const reads = (socket: Socket): Observable<Buffer> =>
  (fromEvent(socket, 'data') as Observable<Buffer>).pipe(
    takeUntil(fromEvent(socket, 'end')),
    timeout({ each: silence }),
  );

function lines(socket: Socket): Observable<string> {
  let rest = '';
  return reads(socket).pipe(
    mergeMap((bytes) => {
      const all = (rest + bytes.toString('utf8')).split('\n');
      rest = all.pop() ?? '';
      return from(all);
    }),
  );
}

const handlers: Record<BytesMode, (socket: Socket) => Observable<unknown>> = {
  echo: (socket) => reads(socket).pipe(tap((bytes) => socket.write(bytes))),

  lines(socket) {
    return lines(socket).pipe(
      map((line) => `${line}\n`),
      tap((reply) => socket.write(reply)),
    );
  },

  once(socket) {
    return lines(socket).pipe(
      take(1),
      tap((line) => socket.write(`${line}\n`)),
    );
  },

  async(socket) {
    return lines(socket).pipe(
      concatMap(async (line) => `${line}\n`),
      tap((reply) => socket.write(reply)),
    );
  },

  'length-prefixed'(socket) {
    let rest: Buffer = Buffer.alloc(0);
    return reads(socket).pipe(
      mergeMap((bytes) => {
        const input = rest.length === 0 ? bytes : Buffer.concat([rest, bytes]);
        const frames: Buffer[] = [];
        let at = 0;
        while (input.length - at >= 4) {
          const end = at + 4 + input.readUInt32BE(at);
          if (end > input.length) break;
          frames.push(input.subarray(at, end));
          at = end;
        }
        rest = input.subarray(at);
        return from(frames);
      }),
      tap((frame) => socket.write(frame)),
    );
  },

  discard: (socket) =>
    reads(socket).pipe(
      reduce((count, bytes) => count + bytes.length, 0),
      tap((count) => socket.end(count64(count))),
    ),

  // Not a `concatMap` over the blocks: with many blocks that are written synchronously it stalls forever (ReactiveX/rxjs#7334).
  source: (socket) =>
    reads(socket).pipe(
      take(1),
      mergeMap((request) => {
        let left = Number(request.readBigUInt64BE());
        return fromEvent(socket, 'drain').pipe(
          startWith(undefined),
          tap(() => {
            for (let room = true; room && left > 0; left -= pattern.length)
              room = socket.write(left < pattern.length ? pattern.subarray(0, left) : pattern);
          }),
          takeWhile(() => left > 0),
        );
      }),
    ),
};

const settings = readArguments();
const handle = pick(handlers, settings.mode);
const server = createServer({ noDelay: true, allowHalfOpen: settings.mode === 'discard' });
(fromEvent(server, 'connection') as Observable<Socket>)
  .pipe(
    mergeMap((socket) => {
      const closed = fromEvent(socket, 'close');
      socket.on('error', () => socket.destroy());
      return handle(socket).pipe(
        takeUntil(closed),
        catchError(() => EMPTY),
        finalize(() => socket.end()),
      );
    }, limit),
  )
  .subscribe();
start(server, settings);
