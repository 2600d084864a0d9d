import { once } from 'node:events';
import { connect, type TLSSocket } from 'node:tls';
import { concatMap, delay, of, Subject, tap } from 'rxjs';
import { expect, it } from 'vitest';
import { encodeLine, lines } from '../../lib/framing/lines.ts';
import type { Connection } from '../../lib/index.ts';
import { serve } from '../../lib/serve.ts';
import { authority } from '../support/certificates.ts';
import { Log } from '../support/log.ts';

/** How many servers are drained. More of them: `RUNS=100`. */
const RUNS = Number(process.env.RUNS ?? 5);
const CLIENTS = 20;

it('drains under load end each connection with all replies, and with `close_notify`', async () => {
  const root = await authority();
  const { cert, key } = await root.issue();
  for (let round = 0; round < RUNS; round++) {
    const shutdown = new Subject<void>();
    const emitted = new Map<number | undefined, string>();
    const handler = (connection: Connection) =>
      connection.pipe(
        lines(),
        concatMap((line) => of(encodeLine(line)).pipe(delay(line.length % 3))),
        tap((reply) => emitted.set(connection.peer.port, (emitted.get(connection.peer.port) ?? '') + reply)),
      );
    const limits = { shutdown, grace: 60_000, linger: 60_000 };
    const log = Log.follow(serve({ port: 0, host: '127.0.0.1' }, handler, { ...limits, tls: { cert, key } }));
    const port = await log.whenListening();

    let replies = 0;
    const ask = (socket: TLSSocket, count: number) => socket.write('a request\n'.repeat(count));
    const load = Array.from({ length: CLIENTS }, async () => {
      const socket = connect({ port, host: '127.0.0.1', ca: root.ca });
      let text = '';
      const events: string[] = [];
      for (const event of ['end', 'error', 'close']) socket.on(event, () => events.push(event));
      socket.on('data', (chunk) => {
        text += chunk;
        const count = String(chunk).split('\n').length - 1;
        replies += count;
        ask(socket, count);
        if (replies > CLIENTS * 20 && log.counters.active === CLIENTS && log.of('draining').length === 0)
          shutdown.next();
      });
      await once(socket, 'secureConnect');
      ask(socket, 8);
      const { localPort } = socket;
      await once(socket, 'close');
      expect(text).toBe(emitted.get(localPort));
      return events.join();
    });
    expect(new Set(await Promise.all(load))).toEqual(new Set(['end,close']));
    await log.whenCompleted();
    expect(log.report).toMatchObject({ drained: CLIENTS, aborted: 0, refused: 0, unsent: 0 });
    expect(log.counters).toEqual({ accepted: CLIENTS, waiting: 0, active: 0, closed: CLIENTS, refused: 0 });
    expect(new Set(log.closes)).toEqual(new Set(['drained']));
  }
});
