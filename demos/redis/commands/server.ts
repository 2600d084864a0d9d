import { glob } from '../glob.ts';
import { bulk, type Reply } from '../resp/reply.ts';
import type { Args } from '../resp/request.ts';
import type { Session } from '../session.ts';
import { VERSION } from '../version.ts';
import { container, family, NO_KEYS, rest } from './command.ts';

function configGet(args: Args, { db, form }: Session): Reply {
  const patterns = rest(args, 2).map((pattern) => glob(pattern.toLowerCase()));
  const found = [...db.config].filter(([name]) => patterns.some((matches) => matches(name)));
  return form.map(found.flat().map(bulk));
}

/** The sections of INFO. */
const sections: Readonly<Record<string, (session: Session) => Record<string, string | number>>> = {
  server: ({ db }) => ({
    redis_version: VERSION,
    redis_mode: 'standalone',
    os: process.platform,
    arch_bits: 64,
    node_version: process.version,
    process_id: process.pid,
    tcp_port: db.config.get('port') ?? 0,
    uptime_in_seconds: Math.floor((db.store.now - db.startedAt) / 1000),
  }),
  clients: ({ db }) => ({
    connected_clients: db.sessions.size,
    maxclients: db.config.get('maxclients') ?? 0,
    pubsub_clients: [...db.sessions.values()].filter(({ subscriptions }) => subscriptions > 0).length,
  }),
  memory: () => {
    const { rss, heapUsed } = process.memoryUsage();
    return { used_memory: heapUsed, used_memory_rss: rss, maxmemory: 0, maxmemory_policy: 'noeviction' };
  },
  persistence: ({ db }) => ({
    loading: 0,
    aof_enabled: db.log === undefined ? 0 : 1,
    aof_last_write_status: db.log?.problem === undefined ? 'ok' : 'err',
    ...(db.log === undefined ? {} : { aof_current_size: db.log.size }),
  }),
  stats: ({ db }) => ({
    total_connections_received: db.stats.connections,
    total_commands_processed: db.stats.commands,
    rejected_connections: db.stats.refused,
    expired_keys: db.stats.expired,
    pubsub_channels: db.pubsub.channels,
    pubsub_patterns: db.pubsub.patterns,
  }),
  replication: () => ({ role: 'master', connected_slaves: 0 }),
  keyspace: ({ db: { store } }): Record<string, string> =>
    store.size === 0 ? {} : { db0: `keys=${store.size},expires=${store.expiringKeys},avg_ttl=0` },
};

function info(args: Args, session: Session): Reply {
  const wanted = rest(args).map((word) => word.toLowerCase());
  const all = wanted.length === 0 || wanted.some((word) => ['all', 'default', 'everything'].includes(word));
  const text = Object.entries(sections)
    .filter(([name]) => all || wanted.includes(name))
    .map(([name, fields]) => {
      const lines = Object.entries(fields(session)).map(([field, value]) => `${field}:${value}\r\n`);
      return `# ${name[0]?.toUpperCase()}${name.slice(1)}\r\n${lines.join('')}`;
    });
  return session.form.text(text.join('\r\n'));
}

const config = container(
  'config',
  -2,
  family('server', ['get', -3, 'admin loading stale', NO_KEYS, 'Returns the settings that match patterns.', configGet]),
  'Returns settings.',
);

export const server = [
  config,
  ...family('server', ['info', -1, 'loading stale', NO_KEYS, 'Returns figures about the server.', info]),
];
