/** Specs that do not run over TLS, by file and by a part of their name, and why. */
export const skipped: Record<string, Record<string, string>> = {
  'spec/connect/sockets.spec.ts': {
    'cancels a connect that is not answered':
      'the server never accepts, so no handshake completes before its queue is full',
  },
  'spec/listen/admissionRules.spec.ts': {
    'where there has to be an object: options': 'the options of the spec become part of others, to which TLS is added',
  },
  'spec/listen/inherited.spec.ts': {
    'leaves the clients in its queue':
      'clients in the queue of the kernel have a connection, but no handshake that the spec can await',
  },
  'spec/listen/overflow.spec.ts': {
    'that were reset in the queue of the kernel':
      'the port does not stop before a handshake is complete, for which a client in that queue does not wait',
    'accepts in a drain those':
      'clients in the queue of the kernel have a connection, but no handshake that the spec can await',
  },
  'spec/listen/resetWhileWaiting.spec.ts': {
    '3000 closed connections': '3000 handshakes of both sides take one process longer than the spec waits',
  },
  'spec/serve/calls.spec.ts': {
    'a pause of the input for an async request makes': 'it replaces methods of the handle, which TLS calls natively',
  },
  'spec/serve/handedOver.spec.ts': {
    'when the promise of write() is resolved':
      'Node completes a write of TLS in a later iteration, and keeps the next one of the same callback until then',
  },
};

/** Why a spec is skipped, if it is. */
export function reasonToSkip(file: string, name: string): string | undefined {
  if (process.env.SLUICE_TLS !== '1') return undefined;
  const [, of] = Object.entries(skipped).find(([path]) => file.endsWith(path)) ?? [];
  return Object.entries(of ?? {}).find(([part]) => name.includes(part))?.[1];
}
