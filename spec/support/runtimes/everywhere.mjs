// Checks echo, limit, deadline and drain of the built library on the runtime that runs this program: node, bun or deno. Exits
// with 0 if all laws hold, and otherwise prints those that do not. It is copied to a folder where the package is installed.
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { map, Subject } from 'rxjs';
import { encodeLine, lines, logTo, serve } from 'sluice';

/** A check that hangs counts as failed. */
setTimeout(() => {
  console.error('Not finished after 60 s');
  process.exit(1);
}, 60_000).unref();

const echo = (connection) => connection.pipe(lines(), map(encodeLine));

/** A server, and a function that waits for its events. */
async function open(options = {}, handler = echo) {
  const shutdown = new Subject();
  const events = [];
  const looks = new Set();
  const changed = () => {
    for (const look of looks) look();
  };
  const until = (type, count = 1) =>
    new Promise((resolve) => {
      const look = () => {
        const found = events.filter((event) => event.type === type);
        if (found.length < count) return;
        looks.delete(look);
        resolve(found[count - 1]);
      };
      looks.add(look);
      look();
    });
  serve({ port: 0, host: '127.0.0.1' }, handler, { ...options, shutdown }).subscribe({
    next: (event) => {
      events.push(event);
      changed();
    },
    error: (error) => {
      throw error;
    },
    complete: () => {
      events.push({ type: 'completed' });
      changed();
    },
  });
  const { address } = await until('listening');
  return { port: address.port, shutdown, until };
}

/** A client, and a function that waits for what it reads. */
function client(port) {
  const socket = connect(port, '127.0.0.1');
  let text = '';
  const over = new Promise((resolve) => {
    socket.on('error', () => {});
    socket.on('close', () => resolve(text));
  });
  const read = (wanted) =>
    new Promise((resolve) => {
      const look = () => text.length >= wanted.length && resolve(text);
      socket.on('data', look);
      look();
    });
  socket.on('data', (chunk) => {
    text += chunk;
  });
  return { socket, over, read };
}

const laws = {
  'echoes lines, and closes the connection when the client does': async () => {
    const server = await open();
    const one = client(server.port);
    const line = `${'x'.repeat(50_000)}\n`;
    one.socket.end(`hello\n${line}`);
    assert.equal(await one.over, `hello\n${line}`);
    assert.equal((await server.until('closed')).reason, 'ended');
    server.shutdown.next();
    await server.until('completed');
  },

  'serves as many connections as its limit, lets one more wait, and refuses others': async () => {
    const server = await open({ concurrency: 1, waiting: { max: 1, timeout: 30_000 } });
    const first = client(server.port);
    first.socket.write('first\n');
    await first.read('first\n');
    const second = client(server.port);
    second.socket.write('second\n');
    await new Promise((resolve) => second.socket.once('connect', resolve));
    const third = client(server.port);
    assert.equal((await server.until('refused')).reason, 'full');
    assert.equal(await third.over, '');
    first.socket.end();
    await second.read('second\n');
    second.socket.end();
    assert.equal(await second.over, 'second\n');
    server.shutdown.next();
    await server.until('completed');
  },

  'closes the connection of a silent client': async () => {
    const server = await open({ idle: 50, linger: 50 });
    const silent = client(server.port);
    silent.socket.write('once\n');
    assert.equal(await silent.over, 'once\n');
    const { reason, deadline } = await server.until('closed');
    assert.deepEqual([reason, deadline], ['deadline', 'idle']);
    server.shutdown.next();
    await server.until('completed');
  },

  'finishes a reply in progress in a drain, and completes': async () => {
    const replies = new Subject();
    const server = await open({}, () => replies);
    const one = client(server.port);
    one.socket.write('asks\n');
    await server.until('opened');
    server.shutdown.next();
    await server.until('draining');
    replies.next('answer\n');
    replies.complete();
    assert.equal(await one.over, 'answer\n');
    const { drained, aborted } = await server.until('drained');
    assert.deepEqual([drained, aborted], [1, 0]);
    await server.until('completed');
  },
};

logTo(console).next({ type: 'draining', active: 0, waiting: 0 });
for (const [law, test] of Object.entries(laws)) {
  await test();
  console.log(`${law}: yes`);
}
