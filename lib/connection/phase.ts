/**
 * The phases of a connection, in the order in which it passes through them; each is entered at most once.
 *
 * | phase     | our side                                         | the socket            |
 * |-----------|--------------------------------------------------|-----------------------|
 * | waiting   | accepted; no operator has subscribed to it       | open                  |
 * | open      | the handler reads and writes                     | open                  |
 * | ending    | nothing more is written; what is queued is sent  | open                  |
 * | lingering | our FIN is sent; input is discarded              | open, until their FIN |
 * | detached  | the handler is unsubscribed                      | closed, or closing    |
 * | closed    | the close reason is emitted                      | closed                |
 */
export const Phase = { waiting: 0, open: 1, ending: 2, lingering: 3, detached: 4, closed: 5 } as const;

export type Phase = (typeof Phase)[keyof typeof Phase];

const { waiting, open, ending, lingering, detached, closed } = Phase;

/**
 * Which event leads where. An event that a phase does not list changes nothing in that phase.
 *
 * - `taken`: an operator subscribes to the connection, or a handler begins to send.
 * - `ended`: our side ends it, or the listener refuses it: a FIN is to follow what is queued.
 * - `flushed`: our FIN is sent, behind all that was queued.
 * - `detached`: it is aborted, or the socket was closed: the handler stops.
 * - `closed`: the handler has stopped and the socket is closed.
 */
export const transitions = {
  taken: { [waiting]: open },
  ended: { [waiting]: ending, [open]: ending },
  flushed: { [ending]: lingering },
  detached: { [waiting]: detached, [open]: detached, [ending]: detached, [lingering]: detached },
  closed: { [detached]: closed },
} as const satisfies Record<string, Partial<Record<Phase, Phase>>>;

export type PhaseEvent = keyof typeof transitions;

/** The phase after an event. */
export function after(phase: Phase, event: PhaseEvent): Phase {
  const table: Partial<Record<Phase, Phase>> = transitions[event];
  return table[phase] ?? phase;
}
