/** The Redis demo, with all of its protections at their defaults. */
import { Database } from '../../redis/database.ts';
import { serveRedis } from '../../redis/serveRedis.ts';
import { readArguments } from './program.ts';

const { host, port } = readArguments();
serveRedis({ host, port }, new Database()).subscribe((event) => {
  if (event.type === 'listening') console.log(`listening on ${event.address.address}:${event.address.port}`);
});
