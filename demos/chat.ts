/**
 * A chat for people with `nc`: rooms, names, history; on one machine or on any number of them.
 *
 *     npx tsx demos/chat.ts                                 listens on 127.0.0.1:7001
 *     nc 127.0.0.1 7001                                     say /help
 *     npx tsx demos/chat.ts --port 7002 --nats nats://127.0.0.1:4222 --server-name beta
 *                                                           one chat with all others that have the same NATS
 *     npx tsx demos/chat.ts --help                          every limit and deadline
 *
 * Each room is a `broadcast()`: who reads too slowly is cut off at `--max-outbound`, and holds nobody else up. Who writes too
 * fast is held back by his own TCP, at `--rate` lines a second.
 *
 * With `--nats` the servers tell each other what is said, and who is there. A server that is killed falls silent, and after
 * `--ttl` its people are gone everywhere. While NATS is away each server is a chat of its own, and says so; then it heals.
 * Ctrl-C (or SIGTERM) says goodbye to all and drains.
 */
import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { finalize, skip } from 'rxjs';
import { logTo, serve } from '../lib/index.ts';
import { hub } from './chat/bus.ts';
import { Chat } from './chat/chat.ts';
import { natsBus } from './chat/nats.ts';
import { converse } from './chat/session.ts';
import { wrongWith } from './chat/text.ts';
import {
  type AddressOptions,
  address,
  interrupts,
  logger,
  numberOption,
  program,
  reason,
  type ServerLimits,
  serverLimits,
  serverOptions,
  shown,
  statusLine,
  Traffic,
} from './support/index.ts';

interface Options extends AddressOptions, ServerLimits {
  serverName: string;
  nats?: URL;
  subject: string;
  ttl: number;
  history: number;
  maxRooms: number;
  maxLine: number;
  rate: number;
  verbose?: true;
}

const command = program('chat', 'Rooms, names and history for people with nc, on any number of servers.', {
  port: 7001,
});
const preset = `${hostname()
  .replace(/[^A-Za-z0-9-]/g, '-')
  .slice(0, 16)}-${process.pid}`.replace(/^-+/, '');
command
  .option(
    '--nats <url>',
    'be one chat with all servers that use this NATS: nats://[user:password@]host:port',
    (text) => {
      const url = URL.canParse(text) ? new URL(text) : undefined;
      if (url && /^(nats|tls):$/.test(url.protocol) && url.hostname !== '') return url;
      return command.error(`--nats must be like nats://127.0.0.1:4222, and not '${text}'`);
    },
  )
  .option(
    '--subject <prefix>',
    'what the subjects of this chat begin with',
    (text) => {
      if (/^[\w-]+(\.[\w-]+)*$/.test(text)) return text;
      return command.error(`--subject must be words of letters, digits, - and _ with dots between, and not '${text}'`);
    },
    'sluice-chat',
  )
  .option(
    '--server-name <name>',
    'what users see of this server',
    (text) => {
      const wrong = wrongWith(text);
      return wrong === undefined ? text : command.error(`--server-name '${text}' ${wrong}`);
    },
    preset,
  )
  .option('-v, --verbose', 'log connections that open, too');
numberOption(command, '--ttl <ms>', 'until the people of a silent server are gone; the same on all', {
  min: 100,
  max: 3_600_000,
  default: 5000,
});
numberOption(command, '--history <lines>', 'of a room that a newcomer is shown', { min: 0, max: 10_000, default: 20 });
numberOption(command, '--max-rooms <count>', 'kept in mind, the one unused for longest is forgotten', {
  min: 1,
  max: 1_000_000,
  default: 1000,
});
numberOption(command, '--max-line <bytes>', 'longest line, without its newline', {
  min: 1,
  max: 65_536,
  default: 1024,
});
numberOption(command, '--rate <lines>', 'a second that each may say, or Infinity', {
  min: 1,
  max: Number.POSITIVE_INFINITY,
  default: 10,
  whole: false,
});
// People think, and may only listen.
serverOptions(command, { idle: 30 * 60_000, greeting: 5 * 60_000 });
const { host, port, nats, subject, serverName, verbose, ttl, history, maxRooms, maxLine, rate, ...limits } = command
  .parse()
  .opts<Options>();

const traffic = new Traffic();
const status = statusLine();
const log = logger({ status, fields: false, level: verbose ? 'debug' : 'info' });

const bus = nats
  ? await natsBus(nats, { name: serverName, subject }).catch((error) =>
      command.error(`cannot reach NATS at ${nats.host}: ${reason(error)}`),
    )
  : hub()();
bus.connected
  .pipe(skip(1))
  .subscribe((connected) =>
    connected
      ? log.info({ type: 'bus', connected }, 'NATS is back')
      : log.warn({ type: 'bus', connected }, 'NATS is lost, trying again'),
  );
bus.faults.subscribe((err) => log.warn({ type: 'bus', err }, `NATS: ${reason(err)}`));

const { maxOutbound, overrun } = limits;
const chat = new Chat(bus, {
  serverName,
  run: randomBytes(6).toString('hex'),
  ttl,
  history,
  maxRooms,
  maxLine,
  rate,
  member: { maxOutbound, overrun },
  heard: () => {
    traffic.requests++;
  },
});
const running = chat.run().subscribe();
const shutdown = interrupts();
// To the very end: npm passes a Ctrl-C on that this process had already, and the late one must not kill it.
shutdown.subscribe(() => {
  chat.closing = true;
});

serve({ host, port }, converse(chat), { ...serverLimits(limits), shutdown })
  .pipe(
    shown(traffic, status, verbose),
    finalize(() => {
      running.unsubscribe();
      void bus.close();
    }),
  )
  .subscribe({
    ...logTo(log),
    error: (error) => command.error(`cannot listen on ${address(host, port)}: ${reason(error)}`),
  });
