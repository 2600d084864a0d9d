import type { Observer } from 'rxjs';
import type { Chat, Room } from './chat.ts';
import { isName, isRoom, keyOf, list, NO_NAME, normal, notice, serverName } from './text.ts';

const HELP = notice(
  '/name NAME   changes your name',
  '/join ROOM   enters ROOM, and leaves the one you are in',
  '/leave       leaves your room',
  '/who [ROOM]  lists the people in your room, or in ROOM, on all servers',
  '/rooms       lists the rooms with people in them',
  '/quit        closes the connection',
  'Anything else is sent to your room; //x sends /x.',
);

const NOWHERE = 'You are in no room, so that line goes to nobody. /join ROOM enters a room, /rooms lists the rooms.';

const alphabet = new Intl.Collator();

/**
 * The commands of one user.
 *
 * @param current Receives the room that the user is in, on each change.
 * @returns A function that executes a line of the user, and returns the reply.
 */
export function commands(chat: Chat, id: number, current: Pick<Observer<Room | undefined>, 'next'>) {
  const me = () => chat.person(id);

  /** Leaves the old room before the move and enters the new one after it, so that users do not see their own moves. */
  const move = (name?: string): void => {
    current.next(undefined);
    chat.move(id, name);
    if (name !== undefined) current.next(chat.room(name));
  };

  /** The people in a room, each with its server if that is another one. */
  const names = (room: string): string[] =>
    chat
      .people()
      .filter((one) => one.room === room)
      .map(({ name, server }) => (server === chat.server ? name : `${name} (${serverName(server)})`))
      .sort(alphabet.compare);

  const all: Record<string, (rest: string) => string> = {
    __proto__: null as never,
    name(rest) {
      const name = normal(rest);
      if (!isName(name)) return notice(`'${name}' ${NO_NAME}.`);
      if (!chat.rename(id, name)) return notice(`The name ${name} is taken.`);
      // In a room everyone sees the change as news, this user included.
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
        return notice('You are in no room: /who ROOM lists the people in ROOM, /rooms lists the rooms.');
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
      return all[name]?.(rest) ?? notice(`There is no command /${command}; /help lists the commands.`);
    }
    if (text !== '' && me().room === undefined) return notice(NOWHERE);
    if (text !== '') chat.say(id, text.replace(/^\/\//, '/'));
    return '';
  };
}
