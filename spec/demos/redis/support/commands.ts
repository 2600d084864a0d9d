import fc from 'fast-check';

/** Few keys, so that several commands use the same one. Some have bytes that a wrong parser would take for the protocol. */
export const key = fc.constantFrom('a', 'b', 'c', 'k\r\n\0', '\xff\xfe');
const value = fc.oneof(
  fc.constantFrom(
    '',
    '0',
    '1',
    '-1',
    '10',
    '007',
    ' 1',
    '9223372036854775807',
    '-9223372036854775808',
    '1.5',
    '3.0e3',
    'x',
  ),
  fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)), maxLength: 20 }),
);
const whole = fc.constantFrom(
  '0',
  '1',
  '2',
  '-1',
  '-2',
  '5',
  '-100',
  '100',
  'x',
  '',
  '9223372036854775807',
  '99999999999999999999',
);
const fraction = fc.oneof(
  fc.constantFrom('1', '0.1', '-0.25', '1.5e2', '.5', '5.', 'x', 'inf', '', ' 1', '1e', '100'),
  // Numbers with more digits than their bits can represent.
  fc.constantFrom('99999999999999999999', '0.1234567890123456789', '1e308', '-1e17', '1e-17', '5e-18', '4e-18'),
  fc.constantFrom(
    '1e4932',
    '-1.18e4932',
    '9e4932',
    '1e-4932',
    '1e-4960',
    '1e-99999',
    '1e99999',
    '0e-99999',
    '-0.0e123456789012',
    '10e00001',
    `${'0'.repeat(5200)}1`,
  ),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map(String),
);
/** Far from now, so that the seconds that pass during the test do not matter. */
const seconds = fc.constantFrom('100', '5000', '0', '-1', 'x', '9223372036854775807');
const member = fc.constantFrom('m', 'n', 'o', '1', '2');
const field = fc.constantFrom('f', 'g', 'h');
const cased = (name: string) => fc.constantFrom(name, name.toLowerCase(), `${name[0]}${name.slice(1).toLowerCase()}`);

const some = <T>(item: fc.Arbitrary<T>, maxLength = 4) => fc.array(item, { minLength: 1, maxLength });
const line = (name: string, ...args: fc.Arbitrary<string | string[]>[]): fc.Arbitrary<string[]> =>
  fc.tuple(cased(name), ...args).map((parts) => parts.flat());
const options = (...words: (string | string[])[]) =>
  fc.array(fc.constantFrom(...words), { maxLength: 3 }).map((chosen) => chosen.flat());

/** Commands whose replies depend only on the commands before; valid ones and invalid ones. */
export const command: fc.Arbitrary<string[]> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.oneof(
      line('GET', key),
      line('SET', key, value),
      line(
        'SET',
        key,
        value,
        options(
          'NX',
          'XX',
          'GET',
          'KEEPTTL',
          ['EX', '100'],
          ['PX', '500000'],
          ['EX', '0'],
          ['PX', 'x'],
          'EX',
          ['EXAT', '1'],
          ['PXAT', '99999999999999'],
          'nonsense',
        ),
      ),
      line('GETSET', key, value),
      line('GETDEL', key),
      line('GETEX', key, options('PERSIST', ['EX', '100'], ['PXAT', '1'], ['EXAT', '99999999999'], 'x')),
      line('MGET', some(key)),
      line(
        'MSET',
        some(fc.tuple(key, value)).map((pairs) => pairs.flat()),
      ),
      line(
        'MSETNX',
        some(fc.tuple(key, value)).map((pairs) => pairs.flat()),
      ),
      line('SETNX', key, value),
      line('SETEX', key, seconds, value),
      line('PSETEX', key, fc.constantFrom('500000', '0', 'x'), value),
      line('APPEND', key, value),
      line('STRLEN', key),
    ),
  },
  {
    weight: 5,
    arbitrary: fc.oneof(
      line('INCR', key),
      line('DECR', key),
      line('INCRBY', key, whole),
      line('DECRBY', key, fc.oneof(whole, fc.constant('-9223372036854775808'))),
      line('INCRBYFLOAT', key, fraction),
    ),
  },
  {
    weight: 10,
    arbitrary: fc.oneof(
      line('DEL', some(key)),
      line('UNLINK', some(key)),
      line('EXISTS', some(key)),
      line('EXPIRE', key, seconds, options('NX', 'XX', 'GT', 'LT', 'x')),
      line('PEXPIRE', key, fc.constantFrom('500000', '-1', '9223372036854775807', '-9223372036854775808')),
      line('EXPIREAT', key, fc.constantFrom('1', '99999999999', 'x')),
      line('PEXPIREAT', key, fc.constantFrom('1', '99999999999999')),
      line('TTL', key),
      line('PERSIST', key),
      line('TYPE', key),
      line('KEYS', fc.constantFrom('*', 'a', '[ab]', '?', '[^a]*', '\\a', 'k*', '[a-', '*\r*')),
      line(
        'SCAN',
        fc.constantFrom('0', 'x', '18446744073709551616'),
        options(['COUNT', '1000'], ['MATCH', '[ab]'], ['TYPE', 'string'], ['COUNT', '0'], ['COUNT', 'x'], 'x').map(
          (words) => [...words, 'COUNT', '1000'],
        ),
      ),
      line('RENAME', key, key),
      line('RENAMENX', key, key),
      line('DBSIZE'),
      line('FLUSHALL', options('ASYNC', 'SYNC', 'x')),
      line('SELECT', fc.constantFrom('0', '1', 'x', '-1', '2147483648', '-9223372036854775808')),
    ),
  },
  {
    weight: 6,
    arbitrary: fc.oneof(
      line('LPUSH', key, some(value)),
      line('RPUSH', key, some(value)),
      line('LPOP', key),
      line('RPOP', key),
      line('LPOP', key, whole),
      line('RPOP', key, whole),
      line('LRANGE', key, whole, whole),
      line('LLEN', key),
    ),
  },
  {
    weight: 6,
    arbitrary: fc.oneof(
      line('SADD', key, some(member)),
      line('SREM', key, some(member)),
      line('SMEMBERS', key),
      line('SISMEMBER', key, member),
      line('SCARD', key),
      line('SPOP', key, fc.constantFrom('100', '0', '-1', 'x')),
    ),
  },
  {
    weight: 6,
    arbitrary: fc.oneof(
      line(
        'HSET',
        key,
        some(fc.tuple(field, value)).map((pairs) => pairs.flat()),
      ),
      line(
        'HMSET',
        key,
        some(fc.tuple(field, value)).map((pairs) => pairs.flat()),
      ),
      line('HSET', key, field, value, field),
      line('HGET', key, field),
      line('HDEL', key, some(field)),
      line('HGETALL', key),
      line('HMGET', key, some(field)),
      line('HLEN', key),
      line('HEXISTS', key, field),
    ),
  },
  {
    weight: 4,
    arbitrary: fc.oneof(line('MULTI'), line('EXEC'), line('DISCARD'), line('WATCH', some(key)), line('UNWATCH')),
  },
  {
    weight: 3,
    arbitrary: fc.oneof(
      line('PING', options('hello', '')),
      line('ECHO', value),
      line(
        'HELLO',
        options('4', '03', '-0', '9223372036854775807', 'x', ['4', 'SETNAME', 'me'], ['x', 'AUTH', 'x', 'y']).filter(
          (words) => words.length > 0,
        ),
      ),
      line(
        'CLIENT',
        fc.constantFrom(
          ['GETNAME'],
          ['SETNAME', 'me'],
          ['SETNAME', 'a b'],
          ['SETNAME'],
          ['nonsense'],
          ['KILL', 'nobody'],
          ['KILL', 'ID', 'x'],
          ['KILL', 'ID', '123456789'],
        ),
      ),
      line(
        'COMMAND',
        fc.constantFrom(
          ['GETKEYS', 'MSET', 'a', '1', 'b', '2'],
          ['GETKEYS', 'GET'],
          ['GETKEYS', 'nonsense'],
          ['nonsense'],
          ['INFO', 'nonsense'],
          ['INFO', 'config|nonsense', 'get|x', 'config|get|x'],
          ['GETKEYS', 'config', 'nonsense', 'x'],
          ['GETKEYS', 'CONFIG', 'GET', 'x'],
          ['LIST', 'x'],
          ['LIST', 'FILTERBY', 'PATTERN', 'nonsense'],
        ),
      ),
      line('PUBLISH', key, value),
      line('CONFIG', fc.constantFrom(['GET'], ['nonsense'])),
    ),
  },
  {
    weight: 3,
    arbitrary: fc.oneof(
      fc
        .tuple(
          fc.constantFrom(
            'GET',
            'SET',
            'HSET',
            'LPUSH',
            'EXPIRE',
            'EXEC',
            'MSET',
            'PING',
            'SPOP',
            'DBSIZE',
            'SCAN',
            'CLIENT',
            'CONFIG',
            'HELLO',
          ),
          fc.array(fc.constantFrom('a', 'b'), { maxLength: 5 }),
        )
        .filter(([name, args]) =>
          name === 'HELLO' ? args.length > 0 : !['CLIENT', 'CONFIG', 'SPOP'].includes(name) || args.length === 0,
        )
        .map(([name, args]) => [name, ...args]),
      fc
        .tuple(fc.constantFrom('nonsense', 'GETS', '', '\r\n', 'x'.repeat(200)), fc.array(value, { maxLength: 5 }))
        .map(([name, args]) => [name, ...args]),
    ),
  },
);
