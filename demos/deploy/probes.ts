import { createServer } from 'node:http';
import { Observable } from 'rxjs';
import type { ServerEvent } from '../../lib/index.ts';

/**
 * A port for the probes of a supervisor.
 *
 * - `/livez`: 200 while the event loop turns. A busy server, or one that drains, is alive: a restart would abort its connections.
 * - `/readyz`: 200 while the server listens, and 503 before that and from the first signal on.
 *
 * @param events The events of `serve`, shared. When they end, the port is closed.
 * @param where The port and the address to listen on.
 * @returns Nothing; it completes when the events do, and errors if the port cannot be opened.
 */
export function probes(
  events: Observable<ServerEvent>,
  where: { readonly port: number; readonly host: string },
): Observable<never> {
  return new Observable((subscriber) => {
    let isReady = false;
    const server = createServer((request, response) => {
      const isKnown = request.url === '/livez' || request.url === '/readyz';
      const isWell = isReady || request.url === '/livez';
      // A supervisor asks seldom: a connection that is kept would only delay the end of the process.
      response.writeHead(isKnown ? (isWell ? 200 : 503) : 404, { Connection: 'close' }).end();
    });
    server.on('error', (error) => subscriber.error(error)).listen(where);
    subscriber.add(() => void server.close());
    subscriber.add(
      events.subscribe({
        next: ({ type }) => {
          if (type === 'listening') isReady = true;
          if (type === 'draining') isReady = false;
        },
        error: () => subscriber.complete(),
        complete: () => subscriber.complete(),
      }),
    );
  });
}
