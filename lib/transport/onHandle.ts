import { plainAddress } from '../address.ts';
import type { Handle } from './handle.ts';
import { isPeerKnown } from './nodeInternals.ts';
import { NodeSocket } from './nodeSocket.ts';
import type { Address } from './transport.ts';

/** What the sockets on handles of libuv have in common, with TLS and without. They read into one shared buffer. */
export abstract class OnHandle extends NodeSocket {
  /** The handle of the connection, with TLS the one beneath; `undefined` once it is closed. */
  protected abstract get raw(): Handle | undefined;

  get borrows(): boolean {
    return true;
  }

  protected get isClosed(): boolean {
    return this.raw === undefined;
  }

  /** Looked up on each call, because it is rarely needed. Unlike the peer's address it is known after the peer has closed. */
  get local(): Address {
    const answer: Partial<Address> = {};
    this.raw?.getsockname?.(answer);
    return { address: plainAddress(answer.address), port: answer.port };
  }

  get descriptor(): number | undefined {
    return this.raw?.fd;
  }

  protected get isPeerKnown(): boolean | undefined {
    return isPeerKnown(this.raw);
  }
}
