/** A reply as a client sees it. Its kind distinguishes a set from an array, and a status from a bulk. */
export type Reply =
  | { readonly kind: 'status' | 'error' | 'bulk' | 'text' | 'double'; readonly text: string }
  | { readonly kind: 'integer'; readonly value: bigint }
  | { readonly kind: 'null' | 'nullArray' | 'nullBulk' }
  | { readonly kind: 'boolean'; readonly value: boolean }
  | { readonly kind: 'array' | 'set' | 'push' | 'map'; readonly items: readonly Reply[] };

/** Decodes replies of both versions of the protocol. It is written for specs: simple, and independent of the tested code. */
export class ReplyReader {
  #text = '';
  #at = 0;

  add(bytes: Uint8Array): void {
    this.#text = this.#text.slice(this.#at) + Buffer.from(bytes).toString('latin1');
    this.#at = 0;
  }

  get rest(): string {
    return this.#text.slice(this.#at);
  }

  /** The next complete reply, if there is one. */
  next(): Reply | undefined {
    const start = this.#at;
    const reply = this.#read();
    if (reply === undefined) this.#at = start;
    return reply;
  }

  #line(): string | undefined {
    const end = this.#text.indexOf('\r\n', this.#at);
    if (end < 0) return undefined;
    const line = this.#text.slice(this.#at, end);
    this.#at = end + 2;
    return line;
  }

  #read(): Reply | undefined {
    const line = this.#line();
    if (line === undefined) return undefined;
    const text = line.slice(1);
    switch (line[0]) {
      case '+':
        return { kind: 'status', text };
      case '-':
        return { kind: 'error', text };
      case ',':
        return { kind: 'double', text };
      case ':':
        return { kind: 'integer', value: BigInt(text) };
      case '_':
        return { kind: 'null' };
      case '#':
        return { kind: 'boolean', value: text === 't' };
      case '$':
        return text === '-1' ? { kind: 'nullBulk' } : this.#bytes('bulk', Number(text));
      case '=':
        return this.#bytes('text', Number(text));
      case '*':
        return text === '-1' ? { kind: 'nullArray' } : this.#items('array', Number(text));
      case '~':
        return this.#items('set', Number(text));
      case '>':
        return this.#items('push', Number(text));
      case '%':
        return this.#items('map', Number(text) * 2);
      default:
        throw new Error(`No reply begins with ${JSON.stringify(line)}`);
    }
  }

  #bytes(kind: 'bulk' | 'text', length: number): Reply | undefined {
    if (this.#text.length < this.#at + length + 2) return undefined;
    const text = this.#text.slice(this.#at, this.#at + length);
    if (this.#text.slice(this.#at + length, this.#at + length + 2) !== '\r\n')
      throw new Error('A bulk without its end');
    this.#at += length + 2;
    return { kind, text };
  }

  #items(kind: 'array' | 'set' | 'push' | 'map', count: number): Reply | undefined {
    const items: Reply[] = [];
    while (items.length < count) {
      const item = this.#read();
      if (item === undefined) return undefined;
      items.push(item);
    }
    return { kind, items };
  }
}

/** All replies in some bytes. Bytes that are left over are an error. */
export function repliesIn(bytes: Uint8Array): Reply[] {
  const reader = new ReplyReader();
  reader.add(bytes);
  const replies: Reply[] = [];
  for (let reply = reader.next(); reply !== undefined; reply = reader.next()) replies.push(reply);
  if (reader.rest !== '') throw new Error(`Half a reply: ${JSON.stringify(reader.rest)}`);
  return replies;
}
