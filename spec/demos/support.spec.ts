import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { PassThrough } from 'node:stream';
import { setImmediate as iteration } from 'node:timers/promises';
import { stripVTControlCharacters } from 'node:util';
import type { Logger } from 'pino';
import { describe, expect, it } from 'vitest';
import {
  address,
  bytes,
  count,
  duration,
  logger,
  numberOption,
  paint,
  program,
  rate,
  reason,
  type ServerLimits,
  type StatusLine,
  serverOptions,
  statusLine,
} from '../../demos/support/index.ts';

describe('numbers', () => {
  it('are formatted for people: thousands separated, units that fit', () => {
    expect(count(1_234_567.4)).toBe('1,234,567');
    expect(rate(500, 250)).toBe('2,000/s');
    expect(rate(500, 0)).toBe('0/s');
    expect([0, 1023, 1536, 26_424_115, 2 ** 40].map(bytes)).toEqual([
      '0 B',
      '1023 B',
      '1.50 KiB',
      '25.2 MiB',
      '1.00 TiB',
    ]);
    expect([0.0852, 0.9999, 1.84, 999.6, 12_340, 125_000].map(duration)).toEqual([
      '85.2 µs',
      '1.00 ms',
      '1.84 ms',
      '1.00 s',
      '12.3 s',
      '2 min 5 s',
    ]);
    expect([address('127.0.0.1', 7000), address('::1', 7000)]).toEqual(['127.0.0.1:7000', '[::1]:7000']);
  });

  it('have no colours without a terminal', () => {
    expect(process.stdout.isTTY).not.toBe(true);
    expect(paint('red', 'plain')).toBe('plain');
  });
});

describe('reason', () => {
  it('explains the error of a port that is taken', async () => {
    const first = createServer().listen(0, '127.0.0.1');
    await once(first, 'listening');
    const second = createServer().listen(first.address() as { port: number });
    const [error] = await once(second, 'error').catch((error: unknown) => [error]);
    await new Promise((resolve) => first.close(resolve));
    expect(reason(error)).toBe('the port is already taken (EADDRINUSE)');
  });

  it('accepts a code, an error with an unknown code, and a value that is not an error', () => {
    expect(reason('ECONNREFUSED')).toBe('nothing is listening there (ECONNREFUSED)');
    expect(reason(new Error('it broke'))).toBe('it broke');
    expect(reason(Object.assign(new Error(''), { code: 'EODD' }))).toBe('EODD');
    expect(reason('odd')).toBe('odd');
  });

  it('is one line with its control characters escaped, whatever the text', () => {
    const text = 'no\u001b[2J such\r\n  stream\u009b31m\u202e\u007f\n';
    const shown = 'no\\u001b[2J such stream\\u009b31m\\u202e\\u007f';
    expect(reason(new Error(text))).toBe(shown);
    expect(reason(text)).toBe(shown);
    expect(reason(Object.assign(new Error(''), { code: text }))).toBe(shown);
    expect(parse(['--port', '7\u001b[2J'])).toBe(
      "demo: --port must be a whole number from 0 to 65535, and not '7\\u001b[2J'\n",
    );
  });
});

/** Parses a command line with `program`, and returns its options, or the sentence that it prints for a wrong one. */
function parse(args: string[], settings = {}): unknown {
  let printed = '';
  const command = program('demo', 'Shows something.', settings).exitOverride();
  command.configureOutput({ writeErr: (text) => (printed += text) });
  numberOption(command, '-r, --rate <n>', 'how often', { min: 0.5, max: 10, default: 1, whole: false });
  try {
    return command.parse(args, { from: 'user' }).opts();
  } catch {
    return printed;
  }
}

describe('program', () => {
  it('has a host, a port, and numbers with defaults', () => {
    expect(parse([])).toEqual({ host: '127.0.0.1', port: 0, rate: 1 });
    expect(parse([], { host: '::1', port: 7000 })).toEqual({ host: '::1', port: 7000, rate: 1 });
    expect(parse(['--port', '80', '-r', '2.5'])).toEqual({ host: '127.0.0.1', port: 80, rate: 2.5 });
  });

  it.each([
    [['--port', '65536'], "demo: --port must be a whole number from 0 to 65535, and not '65536'\n"],
    [['--port', '1.5'], "demo: --port must be a whole number from 0 to 65535, and not '1.5'\n"],
    [['--port', ''], "demo: --port must be a whole number from 0 to 65535, and not ''\n"],
    [['--port'], "demo: option '--port <number>' argument missing\n"],
    [['-r', '0.1'], "demo: --rate must be a number from 0.5 to 10, and not '0.1'\n"],
    [['--pot', '1'], "demo: unknown option '--pot' (Did you mean --port?)\n"],
    [['more'], 'demo: too many arguments. Expected 0 arguments but got 1.\n'],
  ])('refuses %j in one line', (args, sentence) => {
    expect(parse(args)).toBe(sentence);
  });

  it('does not let a client connect to port 0', () => {
    expect(parse(['--port', '0'], { connects: true, port: 7000 })).toMatch(/from 1 to 65535/);
  });
});

/** What a terminal shows after this output. Only the escape sequences that draw a status line are supported. */
function shown(output: string): string[] {
  const rows: string[] = [''];
  let row = 0;
  let column = 0;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: it matches escape sequences
  for (const [token, amount = '', command] of output.matchAll(/\x1b\[\??(\d*)([A-Za-z])|[^\x1b]/g)) {
    const current = rows[row] ?? '';
    if (command === 'A') row = Math.max(0, row - Number(amount || 1));
    else if (command === 'B') row += Number(amount || 1);
    else if (command === 'G') column = Number(amount || 1) - 1;
    else if (command === 'K') rows[row] = amount === '2' ? '' : current.slice(0, column);
    else if (command === 'h' || command === 'l') continue;
    else if (command !== undefined) throw new Error(`Cannot show ${JSON.stringify(token)}`);
    else if (token === '\n') {
      row++;
      column = 0;
      rows[row] ??= '';
    } else {
      rows[row] = current.slice(0, column).padEnd(column) + token + current.slice(column + 1);
      column++;
    }
  }
  return rows.filter((line) => line !== '');
}

describe('statusLine', () => {
  const terminal = () => {
    const screen = Object.assign(new PassThrough({ encoding: 'utf8' }), { isTTY: true, columns: 60, rows: 20 });
    let output = '';
    screen.on('data', (text: string) => (output += text));
    return { status: statusLine(screen), rows: () => shown(output), output: () => output };
  };

  it('replaces the status by the next one', async () => {
    const { status, rows } = terminal();
    status.show('one\nof two rows');
    status.show('two\nof two rows');
    status.show('three');
    await iteration();
    expect(rows()).toEqual(['three']);
  });

  it('prints above the status, and draws the status once after a burst', async () => {
    const { status, rows, output } = terminal();
    status.show('open 1\nqueued 2');
    for (let i = 0; i < 10; i++) status.print(`line ${i}\n`);
    await iteration();
    await iteration();
    const printed = Array.from({ length: 10 }, (_, i) => `line ${i}`);
    expect(rows()).toEqual([...printed, 'open 1', 'queued 2']);
    expect(output().split('queued 2').length - 1).toBe(2);
    status.print('last\n');
    status.show('open 0');
    await iteration();
    expect(rows()).toEqual([...printed, 'last', 'open 0']);
  });

  it('removes the status when cleared, and keeps what was printed', async () => {
    const { status, rows } = terminal();
    status.show('first');
    status.print('log\n');
    status.clear();
    status.print('end\n');
    await iteration();
    expect(rows()).toEqual(['log', 'end']);
  });

  it('only prints without a terminal', async () => {
    const screen = new PassThrough({ encoding: 'utf8' });
    const status = statusLine(screen);
    status.show('status');
    status.print('line\n');
    status.clear();
    expect(status.live).toBe(false);
    expect(screen.read()).toBe('line\n');
  });
});

describe('logger', () => {
  it('writes JSON lines when piped, and loses none when the process exits at once', async () => {
    const index = new URL('../../demos/support/index.ts', import.meta.url).href;
    const script = `import { logger } from '${index}'; const log = logger();
      for (let i = 0; i < 2000; i++) log.info({ i }, 'line'); log.debug('not this'); process.exit(0);`;
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script]);
    let output = '';
    child.stdout.on('data', (text) => (output += text));
    await once(child, 'close');
    const lines = output
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines.map((line) => line.i)).toEqual(Array.from({ length: 2000 }, (_, i) => i));
    expect(lines[0]).toMatchObject({ level: 30, msg: 'line' });
  });
});

describe('logger on a terminal', () => {
  const printed = (fields: boolean, use: (log: Logger) => void): string => {
    let text = '';
    const status: StatusLine = { live: true, show() {}, clear() {}, print: (line) => (text += line) };
    use(logger({ status, fields }));
    return stripVTControlCharacters(text).replaceAll(/\[[\d:.]+\] /g, '');
  };

  it('writes one sentence a line, with the cause of an error but without its stack', () => {
    const text = printed(false, (log) => {
      log.info({ id: 1, err: new Error('reset') }, 'connection 1 closed');
      log.error({ id: 1, err: new Error('no backend') }, 'connection 1: its handler failed');
      log.error('out of descriptors');
    });
    expect(text).toBe(
      'INFO: connection 1 closed\nERROR: connection 1: its handler failed: no backend\nERROR: out of descriptors\n',
    );
  });

  it('ends a line with the fields when asked to', () => {
    expect(printed(true, (log) => log.info({ id: 1 }, 'opened'))).toBe('INFO: opened {"id":1}\n');
  });
});

describe("a peer's text on a terminal", () => {
  it('is printed with control characters, newlines and changes of direction escaped', () => {
    let text = '';
    const status: StatusLine = { live: true, show() {}, clear() {}, print: (line) => (text += line) };
    const sent = 'a\u001b[2Jb\u009b2Jc\u007fd\u202ee\nINFO: f';
    const log = logger({ status, fields: false });
    log.warn(sent);
    log.error({ err: new Error(sent) }, 'failed');
    const shown = 'a\\u001b[2Jb\\u009b2Jc\\u007fd\\u202ee\\nINFO: f';
    expect(text.replaceAll(/\[[\d:.]+\] /g, '')).toBe(`WARN: ${shown}\nERROR: failed: ${shown}\n`);
  });

  it('is escaped in JSON lines as well', () => {
    let text = '';
    const status: StatusLine = { live: false, show() {}, clear() {}, print: (line) => (text += line) };
    logger({ status }).warn({ name: '\u202e' }, '\u001b\u009b\u007f');
    expect(text).toContain('"name":"\\u202e","msg":"\\u001b\\u009b\\u007f"}\n');
  });
});

it("replaces the limits of a server that a demo presets, and keeps the library's default for the rest", () => {
  const ask = (...args: string[]) =>
    serverOptions(program('x', ''), { idle: 7, keepAlive: 8 }).parse(args, { from: 'user' }).opts<ServerLimits>();
  expect(ask()).toMatchObject({ idle: 7, keepAlive: 8, greeting: 10_000 });
  expect(ask('--idle', '9')).toMatchObject({ idle: 9, keepAlive: 8 });
});
