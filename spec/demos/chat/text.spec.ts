import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readMessage } from '../../../demos/chat/message.ts';
import { Rooms } from '../../../demos/chat/rooms.ts';
import { harmless, keyOf, list, serverKey, serverName, wrongWith } from '../../../demos/chat/text.ts';

describe('what may be shown', () => {
  it('holds no controls of any terminal, and is otherwise as it was', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const shown = harmless(text);
        expect(shown).not.toMatch(/[\p{Cc}\p{Zl}\p{Zp}]/u);
        const kept = [...text].every((one, i) => [one, ' ', '\ufffd'].includes([...shown][i] ?? ''));
        expect(kept).toBe(true);
      }),
    );
    expect(harmless('a\u001b[2Jb\u0007\u009b\u202e\tc é 漢 👍🏽')).toBe('a\ufffd[2Jb\ufffd\ufffd\ufffd c é 漢 👍🏽');
  });
});

describe('a name', () => {
  it.each(['anna', 'Jürgen', '漢字', 'x', '7of9', 'a-b_c', 'a'.repeat(24)])('may be %s', (name) => {
    expect(wrongWith(name)).toBeUndefined();
  });

  it.each(['', ' ', 'a b', '-a', '<a>', '*', 'a\n', 'a\u200b', '\u202ea', 'a'.repeat(25), '/a'])(
    'may not be %j',
    (name) => {
      expect(wrongWith(name)).toMatch(/^is /);
    },
  );

  it('is the same in other letters', () => {
    expect(keyOf('ＡＮＮＡ')).toBe('anna');
    expect(keyOf('Ju\u0308rgen')).toBe(keyOf('JÜRGEN'));
  });

  it('of a server is found in its key', () => {
    expect(serverName(serverKey('alpha', 'f00'))).toBe('alpha');
  });
});

it('lists names as one says them', () => {
  expect([[], ['a'], ['a', 'b'], ['a', 'b', 'c']].map((names) => list(names))).toEqual([
    '',
    'a',
    'a and b',
    'a, b and c',
  ]);
  expect(list(['a', 'b', 'c', 'd'], 2)).toBe('a, b and 2 more');
});

describe('a message', () => {
  it('that is none is not taken', () => {
    const said = { type: 'said', server: 'b/1', name: 'bob', room: 'tea', text: 'hi' };
    expect(readMessage(JSON.stringify(said))).toEqual(said);
    const wrong = [
      { ...said, text: 'a\u001b[2J' },
      { ...said, text: 'a\n* The server is going down' },
      { ...said, name: 'b>ob' },
      { ...said, room: undefined },
      { ...said, server: 7 },
      { ...said, type: 'constructor' },
      { type: 'beat', server: 'b/1', version: -1 },
      { type: 'state', server: 'b/1', version: 1, part: 0, last: true, people: [{ id: 1, name: 'x' }] },
      { type: 'change', server: 'b/1', version: 1, person: null },
    ];
    for (const one of wrong) expect(() => readMessage(JSON.stringify(one)), JSON.stringify(one)).toThrow(TypeError);
    for (const text of ['null', '7', '[]', '""']) expect(() => readMessage(text)).toThrow(TypeError);
    expect(() => readMessage('{')).toThrow(SyntaxError);
  });

  it('is read or refused, whatever it is', () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        try {
          readMessage(text);
        } catch (error) {
          expect(error).toBeInstanceOf(TypeError);
        }
      }),
    );
  });
});

describe('rooms', () => {
  it('remember the last lines, and no more', () => {
    const room = new Rooms(1, 3).open('tea');
    for (let i = 1; i <= 100; i++) {
      room?.say(`${i}\n`);
      expect(room?.history).toEqual([i - 2, i - 1, i].filter((line) => line > 0).map((line) => `${line}\n`));
    }
    const silent = new Rooms(1, 0).open('tea');
    silent?.say('1\n');
    expect(silent?.history).toEqual([]);
  });

  it('are so many at most: the one unused for longest is forgotten', () => {
    const rooms = new Rooms(2, 3);
    rooms.open('tea')?.say('1\n');
    rooms.open('ale')?.say('2\n');
    rooms.open('tea');
    rooms.open('wine');
    expect(rooms.find('ale')).toBeUndefined();
    expect(rooms.find('tea')?.history).toEqual(['1\n']);
  });
});
