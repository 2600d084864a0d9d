import type { Observer } from 'rxjs';
import type { Chat, Room } from './chat.ts';
import { isName, isRoom, keyOf, list, NO_NAME, normal, notice, serverName } from './text.ts';

const HELP = notice(
  '/name NAME   to be called NAME',
  '/join ROOM   to go to a room, and out of the one you are in',
  '/leave       to go out of it',
  '/who [ROOM]  who is there, on all servers',
  '/rooms       the rooms that somebody is in',
  '/quit        goodbye',
  'Anything else is said in your room; //x says /x.',
);

const NOWHERE = 'You are in no room, and nobody hears you. /join ROOM takes you to one, /rooms tells which there are.';

const alphabet = new Intl.Collator();

/**
 * What somebody can do.
 *
 * @param current Is told of the room they are in.
 * @returns What obeys a line of theirs, and returns the answer.
 */
export function commands(chat: Chat, id: number, current: Pick<Observer<Room | undefined>, 'next'>) {
  const me = () => chat.person(id);

  /** Nobody is told of his own coming and going. */
  const move = (name?: string): void => {
    current.next(undefined);
    chat.move(id, name);
    if (name !== undefined) current.next(chat.room(name));
  };

  /** Who is in a room, and on which server if it is another one. */
  const names = (room: string): string[] =>
    chat
      .people()
      .filter((one) => one.room === room)
      .map(({ name, server }) => (server === chat.server ? name : `${name} (${serverName(server)})`))
      .sort(alphabet.compare);

  const obey: Record<string, (rest: string) => string> = {
    __proto__: null as never,
    name(rest) {
      const name = normal(rest);
      if (!isName(name)) return notice(`'${name}' ${NO_NAME}.`);
      if (!chat.rename(id, name)) return notice(`Somebody is called ${name} already.`);
      // In a room all are told, and so is he.
      return me().room === undefined ? notice(`You are ${name} now.`) : '';
    },
    join(rest) {
      const name = keyOf(rest);
      if (!isRoom(name)) return notice(`'${name}' ${NO_NAME}.`);
      if (me().room === name) return notice(`You are in ${name} already.`);
      const others = names(name);
      move(name);
      const { history } = chat.room(name);
      return history.join('') + notice(`You are in ${name}, ${others.length > 0 ? `with ${list(others)}` : 'alone'}.`);
    },
    leave() {
      const { room } = me();
      if (room === undefined) return notice('You are in no room.');
      move();
      return notice(`You have left ${room}.`);
    },
    who(rest) {
      const room = rest === '' ? me().room : keyOf(rest);
      if (room === undefined)
        return notice('You are in no room: /who ROOM tells who is there, /rooms where people are.');
      const there = names(room);
      return notice(there.length > 0 ? `In ${room}: ${list(there)}.` : `Nobody is in ${room}.`);
    },
    rooms() {
      const counts = new Map<string, number>();
      for (const { room } of chat.people()) if (room !== undefined) counts.set(room, (counts.get(room) ?? 0) + 1);
      const rooms = [...counts].map(([room, count]) => `${room} (${count})`).sort(alphabet.compare);
      return notice(rooms.length > 0 ? `Rooms: ${list(rooms)}.` : 'Nobody is in any room.');
    },
    help: () => HELP,
    quit: () => notice('Goodbye.'),
  };

  return (text: string): string => {
    const [, command, rest = ''] = /^\/([^/\s]\S*)\s*(.*)$/.exec(text) ?? [];
    if (command !== undefined) {
      const name = command.toLowerCase();
      return obey[name]?.(rest) ?? notice(`There is no command /${command}; /help tells which there are.`);
    }
    if (text !== '' && me().room === undefined) return notice(NOWHERE);
    if (text !== '') chat.say(id, text.replace(/^\/\//, '/'));
    return '';
  };
}
