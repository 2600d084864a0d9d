import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { TransportSocket } from '../../lib/transport/transport.ts';
import { open } from '../support/sockets.ts';

/** The next call of `freed` on a socket, and what it heard before. */
function hearing(socket: TransportSocket, heard: string[] = []): Promise<string[]> {
  return new Promise((resolve) => {
    socket.handler = {
      received: (chunk) => heard.push(`received ${chunk.length}`),
      peerEnded: () => heard.push('peerEnded'),
      drained: () => heard.push('drained'),
      finished: () => heard.push('finished'),
      broken: (error) => heard.push(`broken ${(error as NodeJS.ErrnoException).code}`),
      freed: () => resolve(heard),
    };
  });
}

const kinds = { 'a TCP socket': () => undefined, 'a unix socket': unixPath };

async function unixPath() {
  return { path: join(await mkdtemp(join(tmpdir(), 'sluice-')), 's') };
}

describe.each(Object.entries(kinds))('nodeTransport, %s', (_kind, place) => {
  const withPort = async (
    run: (opened: Awaited<ReturnType<typeof open>>, next: () => Promise<TransportSocket>) => Promise<void>,
  ) => {
    const where = await place();
    const waiting: ((socket: TransportSocket) => void)[] = [];
    const opened = await open((socket) => {
      socket.handler = { received() {}, peerEnded() {}, drained() {}, finished() {}, broken() {}, freed() {} };
      waiting.shift()?.(socket);
    }, where);
    await run(opened, () => new Promise((resolve) => waiting.push(resolve)));
    opened.port.close();
    if (where) await rm(join(where.path, '..'), { recursive: true });
  };

  it('frees a socket that is reset while its FIN is under way', async () => {
    await withPort(async ({ connect }, next) => {
      const accepted = next();
      const client = connect();
      const socket = await accepted;
      const freed = hearing(socket);
      socket.resume();
      socket.write('last words');
      socket.end();
      socket.reset();
      client.resume();
      expect((await freed).join()).not.toMatch(/EINVAL/);
      client.destroy();
      if (!client.closed) await once(client, 'close');
    });
  });
});
