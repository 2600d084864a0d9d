import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { firstValueFrom } from 'rxjs';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { connect, lines } from '../../lib/index.ts';
import { type Authority, authority } from '../support/certificates.ts';
import { endNats, NatsServer, skipped } from '../support/natsServer.ts';

let folder: string;
let root: Authority;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-nats-'));
  root = await authority();
  const { cert, key } = await root.issue();
  await writeFile(join(folder, 'server.pem'), cert + key);
});
afterEach(endNats);
afterAll(() => rm(folder, { recursive: true }));

describe.skipIf(skipped)('a client of nats-server', () => {
  it('begins TLS after the first line of the server, in clear text', async () => {
    const { port } = await NatsServer.start(undefined, join(folder, 'server.pem'));
    const connection = await firstValueFrom(connect({ port, host: '127.0.0.1' }));
    const seen: string[] = [];
    for await (const line of connection.pipe(lines())) {
      seen.push(line.trim());
      if (line.startsWith('INFO') && connection.security === undefined) {
        expect(JSON.parse(line.slice(5))).toMatchObject({ tls_required: true });
        const { isVerified } = await connection.upgrade({ ca: root.ca });
        expect(isVerified).toBe(true);
        void connection.write('CONNECT {"verbose":true}\r\nPING\r\n');
      }
      if (line.startsWith('PONG')) break;
    }
    expect(seen.slice(1)).toEqual(['+OK', 'PONG']);
  });
});
