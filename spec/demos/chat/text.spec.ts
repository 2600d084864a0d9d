import fc from 'fast-check';
import { Subject, Subscription } from 'rxjs';
import { afterAll, describe, expect, it } from 'vitest';
import { localBus } from '../../../demos/chat/bus.ts';
import { type Chat, openChat, type Room } from '../../../demos/chat/chat.ts';
import { commands } from '../../../demos/chat/commands.ts';
import { readMessage } from '../../../demos/chat/message.ts';
import { harmless, isName, isRoom, keyOf, list, normal, serverName } from '../../../demos/chat/text.ts';
import { reason } from '../../../demos/support/index.ts';

describe('harmless text', () => {
  it('has no control characters, and is unchanged apart from that', () => {
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
    expect(isName(name)).toBe(true);
  });

  it.each(['', ' ', 'a b', '-a', '<a>', '*', 'a\n', 'a\u200b', '\u202ea', 'a'.repeat(25), '/a'])(
    'may not be %j',
    (name) => {
      expect(isName(name)).toBe(false);
    },
  );

  it('has the same key in every spelling', () => {
    expect(keyOf('ＡＮＮＡ')).toBe('anna');
    expect(keyOf('Ju\u0308rgen')).toBe(keyOf('JÜRGEN'));
  });

  // Variation selectors, the combining grapheme joiner, fillers of Hangul, Khmer vowels; some are letters or marks.
  const ignorable = fc.constantFrom(
    ...[
      '\ufe0f',
      '\u034f',
      '\u180b',
      '\u3164',
      '\uffa0',
      '\u115f',
      '\u{e0100}',
      '\u17b4',
      '\u00ad',
      '\u200d',
      '\u2060',
    ],
  );

  it('has no ignorable characters: with them a text is not a name, and normalizes to the same name', () => {
    const names = fc.constantFrom('anna', 'Jürgen', 'Ju\u0308rgen', '漢字', '한글', 'ＡＮＮＡ', 'e\u0301');
    fc.assert(
      fc.property(names, fc.array(fc.tuple(fc.nat(12), ignorable), { minLength: 1, maxLength: 4 }), (name, added) => {
        const chars = [...name];
        for (const [at, char] of added) chars.splice(at, 0, char);
        const like = chars.join('');
        expect(isName(like)).toBe(false);
        expect(normal(like)).toBe(normal(name));
        expect(keyOf(like)).toBe(keyOf(name));
        expect(isName(normal(like))).toBe(true);
      }),
    );
  });

  it('has at least one visible character', () => {
    fc.assert(
      fc.property(fc.array(ignorable, { minLength: 1, maxLength: 24 }), (chars) => {
        expect(isName(chars.join(''))).toBe(false);
        expect(normal(chars.join(''))).toBe('');
      }),
    );
  });

  it('does not change when it is normalized twice', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(normal(normal(text))).toBe(normal(text));
        expect(keyOf(normal(text))).toBe(keyOf(text));
      }),
    );
  });

  it('of a room equals its key', () => {
    expect(['tea', 'Tea', 'ｔｅａ', 'te\ufe0fa', ''].map(isRoom)).toEqual([true, false, false, false, false]);
  });

  it('of a server is its key without the suffix of the run', () => {
    expect(serverName('alpha/f00')).toBe('alpha');
  });
});

it('lists names with commas and a final "and"', () => {
  expect([[], ['a'], ['a', 'b'], ['a', 'b', 'c']].map((names) => list(names))).toEqual([
    '',
    'a',
    'a and b',
    'a, b and c',
  ]);
  expect(list(['a', 'b', 'c', 'd'], 2)).toBe('a, b and 2 more');
});

describe('a message', () => {
  it('is rejected if it is not valid', () => {
    const said = { server: 'b/1', name: 'bob', room: 'tea', text: 'hi' };
    expect(readMessage(JSON.stringify(said))).toEqual(said);
    const person = { id: 1, name: 'bob', since: 1, room: 'tea' };
    for (const one of [
      { server: 'b/1', there: [person] },
      { server: 'b/1', gone: 7 },
    ])
      expect(readMessage(JSON.stringify(one))).toEqual(one);
    const wrong = [
      { ...said, text: 'a\u001b[2J' },
      { ...said, text: 'a\n* The server is shutting down' },
      { ...said, name: 'b>ob' },
      { ...said, room: undefined },
      { ...said, room: 'Tea' },
      { ...said, name: 'bob\ufe0f' },
      { ...said, room: 'tea\u3164' },
      { server: 'b/1', there: [{ ...person, room: 'TEA' }] },
      { server: 'b/1', there: [{ ...person, name: 'bob\u034f' }] },
      { ...said, server: 7 },
      { ...said, server: 'b\u001b[2J/1' },
      { server: 'b/1' },
      { server: 'b/1', gone: '7' },
      { server: 'b/1', there: [{ id: 1, name: 'x' }] },
      { server: 'b/1', there: [{ ...person, id: 0.5 }] },
      { server: 'b/1', there: [null] },
      { server: 'b/1', there: person },
      { server: 'b/1', there: [person], text: '\u001b[2J' },
      { server: 'b/1', there: [person], gone: '7' },
    ];
    for (const one of wrong) expect(() => readMessage(JSON.stringify(one)), JSON.stringify(one)).toThrow(TypeError);
    for (const text of ['null', '7', '[]', '""']) expect(() => readMessage(text)).toThrow(TypeError);
    expect(() => readMessage('{')).toThrow(SyntaxError);
  });

  it('that is not valid is reported without control characters', () => {
    // Text that is not JSON, and JSON that is not a message.
    for (const text of ['\u001b[2J\u009b', JSON.stringify({ server: '\u009b2J\u202e\u001b[2J' })]) {
      try {
        readMessage(text);
        expect.unreachable();
      } catch (error) {
        expect(reason(error)).toMatch(/\\u00[19]b/);
        expect(reason(error)).not.toMatch(/[\p{Cc}\u202e]/u);
      }
    }
  });

  it('is accepted, or rejected with a TypeError, for any JSON', () => {
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
  const running = new Subscription();
  afterAll(() => running.unsubscribe());

  const open = (history: number): Chat => {
    const chat = openChat(localBus(), 'a/1', { ttl: 1000, history });
    running.add(chat.run.subscribe());
    chat.enter(1);
    chat.move(1, 'tea');
    return chat;
  };

  it('and names are the same with ignorable characters, and cannot consist of them alone', () => {
    const chat = open(3);
    chat.rename(1, 'anna');
    chat.enter(2);
    const execute = commands(chat, 2, new Subject<Room | undefined>());
    for (const char of ['\ufe0f', '\u034f', '\u180b', '\u3164', '\u{e0100}', '\u17b4']) {
      expect(execute(`/name an${char}na${char}`)).toBe('* The name anna is taken.\n');
      expect(execute(`/name ${char}${char}`)).toMatch(/^\* '' is not a name/);
      expect(execute(`/join ${char}`)).toMatch(/^\* '' is not a name/);
      expect(execute(`/who t${char}ea`)).toBe('* In tea: anna.\n');
      expect(execute(`/join t${char}ea${char}`)).toBe('* You are in tea, with anna.\n');
      expect(chat.person(2).room).toBe('tea');
      chat.move(2);
    }
  });

  it('keep the last lines up to the limit', () => {
    const [chat, silent] = [open(3), open(0)];
    for (let i = 1; i <= 100; i++) {
      for (const { say } of [chat, silent]) say(1, `${i}`);
      const last = [i - 2, i - 1, i].filter((line) => line > 0).map((line) => `<guest1> ${line}\n`);
      expect(chat.room('tea').history).toEqual(last);
      expect(silent.room('tea').history).toEqual([]);
    }
  });

  it('drop the empty room that has been unused for longest, beyond 1000', () => {
    const chat = open(3);
    chat.say(1, 'hello');
    chat.room('ale').history.push('cheers\n');
    for (let i = 1; i < 999; i++) chat.room(`${i}`);
    expect(chat.room('tea').history).toEqual(['<guest1> hello\n']);
    chat.room('one more');
    expect(chat.room('tea').history).toEqual(['<guest1> hello\n']);
    expect(chat.room('ale').history).toEqual([]);
  });
});
