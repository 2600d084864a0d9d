import { connect } from 'node:net';
import { describe, expect, it, vi } from 'vitest';
import { HandshakeSocket } from '../../lib/tls/handshakeSocket.ts';
import { secure } from '../../lib/tls/secure.ts';
import { tlsServer } from '../../lib/tls/tlsSide.ts';
import { nodeTransport } from '../../lib/transport/node.ts';
import { handles } from '../../lib/transport/nodeInternals.ts';
import { NO_HANDLER } from '../../lib/transport/noHandler.ts';
import type { TransportSocket } from '../../lib/transport/transport.ts';
import { iteration } from '../support/clock.ts';
import { open } from '../support/sockets.ts';
import { cert, key } from './securePair.ts';

describe.runIf(handles())('a handshake on the handle of a socket that reads', () => {
  it.each([
    ['fails when the peer sends a FIN', true],
    ['fails if the peer has sent a FIN before', false],
  ])('%s', async (_what, beginsFirst) => {
    vi.stubEnv('SLUICE_TRANSPORT', 'handle');
    const side = tlsServer({ cert, key });
    for (let i = 0; i < 10; i++) await iteration();
    const outcome = new Promise<Error>((resolve, reject) => {
      const begin = (socket: TransportSocket) => {
        const during = secure(side, socket, new Uint8Array(0), () => reject(new Error('it is secured')));
        expect(during).toBeInstanceOf(HandshakeSocket);
        during.handler = { ...NO_HANDLER, failed: resolve };
      };
      const accept = (socket: TransportSocket) => {
        socket.handler = { ...NO_HANDLER, peerEnded: () => begin(socket) };
        socket.resume();
        if (beginsFirst) begin(socket);
      };
      void open(accept, undefined, nodeTransport).then(({ port, address }) => {
        const peer = connect({ host: address.address, port: address.port ?? 0 }, () => peer.end());
        peer.on('close', () => port.close());
      }, reject);
    });
    expect(await outcome).toMatchObject({ code: 'ECONNRESET' });
    vi.unstubAllEnvs();
  });
});
