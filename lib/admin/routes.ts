import type { IncomingMessage, ServerResponse } from 'node:http';
import { describe } from '../options.ts';
import type { ConnectionTable } from '../table.ts';
import type { Address } from '../transport/transport.ts';
import { closeSome, inJson, LONGEST, limitRows, moveLimit, rehearseWith } from './actions.ts';
import { readJson } from './body.ts';
import { addressesOf, foundBy, jsonRow, type Query, type Sorting, sortings } from './connectionsView.ts';
import type { AdminEvent } from './events.ts';
import type { Access } from './guard.ts';
import type { LivePages } from './livePages.ts';
import type { Monitor } from './monitor.ts';
import type { AdminOptions } from './options.ts';
import { type PageFile, pagePaths } from './pageFiles.ts';
import { invalid, RequestError } from './requestError.ts';

/** A request, and what it is answered from. */
export interface Context {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly peer: Address;
  readonly given: Pick<AdminOptions, 'metrics' | 'limits' | 'drain'>;
  readonly monitor: Monitor;
  readonly pages: LivePages;
  readonly files: ReadonlyMap<string, PageFile>;
  readonly drain: Drain;
  readonly emit: (event: AdminEvent) => void;
  /** Emits an error. */
  readonly failed: (error: unknown) => void;
}

/** The option `drain`, and whether it was called. */
export interface Drain {
  isAsked: boolean;
}

/** What a path is for. */
interface Route {
  readonly method: 'GET' | 'POST';
  readonly access: Access;
  readonly answer: (context: Context) => void | Promise<void>;
}

const TEXT = 'text/plain; charset=utf-8';

/** Rows that a live page is sent, unless it asks for fewer; and how many it may ask for. */
const ROWS = 200;
const MOST_ROWS = 500;

/** All paths. Those of actions are for POST, so that no link and no image can cause one. */
export const routes: ReadonlyMap<string, Route> = new Map<string, Route>([
  ['/livez', get('open', ({ response }) => text(response, 200, 'alive'))],
  ['/readyz', get('open', readiness)],
  ['/metrics', get('open', metrics)],
  ...pagePaths.map((path): [string, Route] => [path, get('page', page)]),
  ['/connections', get('token', connections)],
  ['/addresses', get('token', addresses)],
  ['/limits', get('token', limits)],
  ['/rehearsal', get('token', rehearsal)],
  ['/events', get('token', events)],
  ['/connections/drain', post((context) => close(context, 'drain'))],
  ['/connections/abort', post((context) => close(context, 'abort'))],
  ['/limits/move', post(move)],
  ['/drain', post(drain)],
]);

function get(access: Access, answer: Route['answer']): Route {
  return { method: 'GET', access, answer };
}

function post(answer: Route['answer']): Route {
  return { method: 'POST', access: 'token', answer };
}

function readiness({ response, monitor }: Context): void {
  if (monitor.isReady) text(response, 200, 'ready');
  else text(response, 503, `not ready: the server is ${PHASES[monitor.phase]}`);
}

const PHASES = {
  starting: 'starting',
  serving: 'serving',
  draining: 'draining',
  drained: 'drained',
  closed: 'closed',
  ended: 'at its end',
} as const satisfies Record<Monitor['phase'], string>;

async function metrics({ response, given, failed }: Context): Promise<void> {
  const { metrics: source } = given;
  if (source === undefined)
    return text(response, 404, 'there are no metrics: the option metrics of admin is not given');
  let all: string;
  try {
    all = await source.metrics();
    if (typeof all !== 'string') throw new TypeError('Cannot answer /metrics: metrics() must resolve to a string');
  } catch (error) {
    failed(error);
    return text(response, 500, 'the metrics cannot be collected: the event failed of the admin port has the error');
  }
  response.writeHead(200, { 'Content-Type': source.contentType }).end(all);
}

function page({ response, path, files }: Context): void {
  const file = files.get(path);
  if (file === undefined) throw new RequestError(404, 'missing', 'The files of the page are not beside this program');
  response.writeHead(200, { 'Content-Type': file.type, 'Content-Length': file.content.length }).end(file.content);
}

function connections({ response, monitor, query }: Context): void {
  const { first, ...asked } = queryOf(query, Number.POSITIVE_INFINITY);
  json(response, foundBy(tableOf(monitor).rows(), asked).slice(0, first).map(jsonRow));
}

function addresses({ response, monitor, query }: Context): void {
  refuseOthers('list addresses', query);
  json(response, addressesOf(tableOf(monitor).rows(), 1000));
}

function limits({ response, given, query }: Context): void {
  refuseOthers('list limits', query);
  json(response, limitRows(given.limits ?? {}));
}

function rehearsal({ response, monitor, query }: Context): void {
  json(response, rehearseWith(tableOf(monitor), query));
}

function events({ request, response, pages, query: given }: Context): void {
  const query = queryOf(given, ROWS, MOST_ROWS);
  if (pages.isFull) {
    const later = { 'Retry-After': '10' };
    throw new RequestError(503, 'viewers', 'As many live pages are open as may be: close one, or raise viewers', later);
  }
  response.writeHead(200, { 'Content-Type': 'text/event-stream', 'X-Accel-Buffering': 'no', Connection: 'close' });
  if (request.method === 'HEAD') response.end();
  else pages.show(response, query);
}

/** @param first How many are listed unless that is asked for. @param most How many may be asked for. */
function queryOf(query: URLSearchParams, first: number, most = Number.POSITIVE_INFINITY): Query {
  refuseOthers('list connections', query, 'search', 'sort', 'first');
  const search = (query.get('search') ?? '').trim();
  if (search.length > LONGEST) throw invalid(`Cannot list connections: search must have ${LONGEST} characters at most`);
  const sort = (query.get('sort') ?? 'oldest') as Sorting;
  if (!sortings.includes(sort)) throw invalid(`Cannot list connections: sort must be one of ${sortings.join(', ')}`);
  const asked = query.get('first');
  if (asked === null) return { search, sort, first };
  const count = Number(asked);
  if (!/^\d{1,9}$/.test(asked) || count < 1 || count > most) {
    const range = most === Number.POSITIVE_INFINITY ? 'of 1 or more' : `from 1 to ${most}`;
    throw invalid(`Cannot list connections: first must be a whole number ${range}`);
  }
  return { search, sort, first: count };
}

/** A name that is misspelt would otherwise list what was not asked for. */
function refuseOthers(what: string, query: URLSearchParams, ...known: readonly string[]): void {
  const unknown = [...query.keys()].find((name) => !known.includes(name));
  if (unknown === undefined) return;
  const names = known.length === 0 ? 'the query must be empty' : `the query may have ${known.join(', ')}`;
  throw invalid(`Cannot ${what}: ${names}, not ${describe(unknown)}`);
}

async function close(context: Context, action: 'drain' | 'abort'): Promise<void> {
  const { request, response, monitor, pages, peer, emit } = context;
  const done = closeSome(tableOf(monitor), action, await readJson(request));
  emit({ type: 'action', action, peer, ...done });
  json(response, { connections: done.connections });
  pages.refresh();
}

async function move({ request, response, given, pages, peer, emit }: Context): Promise<void> {
  const { name, was, value } = moveLimit(given.limits ?? {}, await readJson(request));
  emit({ type: 'action', action: 'limit', peer, name, was, value });
  json(response, { name, was: inJson(was), value: inJson(value) });
  pages.refresh();
}

async function drain({ request, response, given, monitor, drain, peer, emit }: Context): Promise<void> {
  const body = await readJson(request);
  const isEmpty = typeof body === 'object' && body !== null && Object.keys(body).length === 0;
  if (!isEmpty) throw invalid('Cannot drain the server: the body must be {}');
  if (given.drain === undefined) {
    throw new RequestError(404, 'missing', 'The server cannot be drained from here: the option drain is not given');
  }
  // A second value of the option `shutdown` would abort the requests in progress. Nothing is awaited from here on.
  if (drain.isAsked || (monitor.phase !== 'starting' && monitor.phase !== 'serving')) {
    throw new RequestError(409, 'draining', 'The server is draining already');
  }
  drain.isAsked = true;
  emit({ type: 'action', action: 'shutdown', peer });
  try {
    given.drain();
  } catch (error) {
    // It may be asked for again, unless the drain has begun all the same.
    drain.isAsked = false;
    throw error;
  }
  json(response, {}, 202);
}

function tableOf({ connections }: Monitor): ConnectionTable {
  if (connections === undefined) throw new RequestError(503, 'starting', 'The server is not listening yet');
  return connections;
}

function text(response: ServerResponse, status: number, sentence: string): void {
  response.writeHead(status, { 'Content-Type': TEXT }).end(`${sentence}\n`);
}

function json(response: ServerResponse, value: unknown, status = 200): void {
  response.writeHead(status, { 'Content-Type': 'application/json; charset=utf-8' }).end(`${JSON.stringify(value)}\n`);
}
