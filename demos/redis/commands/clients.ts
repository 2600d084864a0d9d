import type { Client } from '../client.ts';
import type { Database } from '../database.ts';
import { toNumber } from '../numbers.ts';
import { Refusal, syntaxError } from '../refusal.ts';
import { integer, OK, type Reply } from '../resp/reply.ts';
import type { Args } from '../resp/request.ts';
import type { Session } from '../session.ts';

/** One line for each client, with the fields that this server has values for. */
export function listing(db: Database, clients: Iterable<Client>, args: readonly string[] = []): string {
  const accepts = args.length > 2 ? chosen(args.slice(2)) : () => true;
  let text = '';
  for (const client of clients) if (accepts(client)) text += `${line(client, db.store.now)}\n`;
  return text;
}

function chosen([word = '', ...values]: readonly string[]): (client: Client) => boolean {
  if (word.toUpperCase() === 'ID' && values.length > 0) {
    const ids = new Set(values.map((text) => toNumber(text, 'ERR Invalid client ID')));
    return ({ id }) => ids.has(id);
  }
  if (word.toUpperCase() === 'TYPE' && values.length === 1) return ofType(values[0] ?? '');
  throw syntaxError();
}

function ofType(type: string): (client: Client) => boolean {
  const word = type.toLowerCase();
  if (!['normal', 'pubsub', 'master', 'replica', 'slave'].includes(word)) {
    throw new Refusal(`ERR Unknown client type '${type}'`);
  }
  return ({ subscriptions }) => (subscriptions > 0 ? 'pubsub' : 'normal') === word;
}

function line(client: Client, now: number): string {
  const { id, peer, clientName, transaction, form, library } = client;
  const seconds = (since: number): number => Math.max(0, Math.floor((now - since) / 1000));
  const flags = `${client.subscriptions > 0 ? 'P' : ''}${transaction.open ? 'x' : ''}` || 'N';
  return [
    `id=${id} addr=${peer.address} laddr=${peer.localAddress} name=${clientName}`,
    `age=${seconds(client.since)} idle=${seconds(client.lastActive)} flags=${flags} db=0`,
    `sub=${client.channels.size} psub=${client.patterns.size} multi=${transaction.length} multi-mem=${transaction.bytes} omem=${peer.unsent}`,
    `cmd=${client.lastCommand} user=default resp=${form.version}`,
    `lib-name=${library.get('lib-name') ?? ''} lib-ver=${library.get('lib-ver') ?? ''}`,
  ].join(' ');
}

/**
 * `CLIENT KILL host:port`, or any number of filters that must all match: `ID`, `ADDR`, `LADDR`, `TYPE`, `USER`.
 * `SKIPME no` includes the client that sent the command.
 */
export function kill(args: Args, session: Session): Reply {
  const clients = [...session.db.sessions.values()];
  if (args.length === 3) {
    const found = clients.find(({ peer }) => peer.address === args[2]);
    if (found === undefined) throw new Refusal('ERR No such client');
    end(found, session);
    return OK;
  }
  const { accepts, skipMe } = filters(args.slice(2));
  const found = clients.filter((other) => accepts.every((accept) => accept(other)) && !(skipMe && other === session));
  for (const other of found) end(other, session);
  return integer(found.length);
}

/** A client that kills its own connection still gets the reply. */
function end(other: Client, session: Session): void {
  if (other === session) session.quit();
  else other.kill();
}

function filters(words: readonly string[]): { accepts: ((client: Client) => boolean)[]; skipMe: boolean } {
  const accepts: ((client: Client) => boolean)[] = [];
  let skipMe = true;
  for (let index = 0; index < words.length; index += 2) {
    const word = words[index]?.toUpperCase();
    const value = words[index + 1];
    if (value === undefined) throw syntaxError();
    if (word === 'ID') {
      const wanted = toNumber(value, 'ERR client-id should be greater than 0');
      if (wanted < 1) throw new Refusal('ERR client-id should be greater than 0');
      accepts.push(({ id }) => id === wanted);
    } else if (word === 'ADDR') accepts.push(({ peer }) => peer.address === value);
    else if (word === 'LADDR') accepts.push(({ peer }) => peer.localAddress === value);
    else if (word === 'TYPE') accepts.push(ofType(value));
    else if (word === 'USER') {
      if (value !== 'default') throw new Refusal(`ERR No such user '${value}'`);
    } else if (word === 'SKIPME' && /^(yes|no)$/i.test(value)) skipMe = value.toLowerCase() === 'yes';
    else throw syntaxError();
  }
  return { accepts, skipMe };
}
