import { connect } from 'node:net';

/** What one client of a load sent and received. */
export interface Pipelined {
  readonly sent: number;
  /** How many replies it received, in the order of their requests. */
  readonly acknowledged: number;
  /** The first reply that was not the expected one; `undefined` if all were. */
  readonly wrong: string | undefined;
  /** The error of the connection, if it did not end in good order. */
  readonly fault: string | undefined;
}

/**
 * Increments a number of its own, with `window` requests in flight, until the server sends its FIN. Every reply is one more than
 * the one before it, so a reply that is lost, duplicated or out of order is noticed.
 *
 * @param flowing Called once, when the first hundred replies have arrived.
 */
export function countUp(port: number, key: string, window: number, flowing: () => void): Promise<Pipelined> {
  return new Promise((resolve) => {
    const request = `incr ${key} 1\r\n`;
    let sent = 0;
    let acknowledged = 0;
    let wrong: string | undefined;
    let fault: string | undefined;
    let rest = '';
    const socket = connect(port, '127.0.0.1').setEncoding('latin1');
    const send = (count: number) => {
      sent += count;
      socket.write(request.repeat(count));
    };
    const expect = (reply: string, expected: string) => {
      if (reply !== expected) wrong ??= `${JSON.stringify(reply)} for ${JSON.stringify(expected)}`;
    };
    socket.on('connect', () => {
      socket.write(`set ${key} 0 0 1\r\n0\r\n`);
      send(window);
    });
    let stored = false;
    socket.on('data', (text: string) => {
      const lines = (rest + text).split('\r\n');
      rest = lines.pop() ?? '';
      const before = acknowledged;
      for (const line of lines) {
        if (stored) expect(line, String(++acknowledged));
        else expect(line, 'STORED');
        stored = true;
      }
      if (before < 100 && acknowledged >= 100) flowing();
      send(acknowledged - before);
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      fault = error.code ?? error.message;
    });
    socket.on('close', () => {
      if (rest !== '') wrong ??= `half a reply: ${JSON.stringify(rest)}`;
      resolve({ sent, acknowledged, wrong, fault });
    });
  });
}
