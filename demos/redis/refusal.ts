/** Why a command was not carried out, in the words that go to the client: a code and a sentence. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
}

export const wrongType = (): Refusal =>
  new Refusal('WRONGTYPE Operation against a key holding the wrong kind of value');
export const noRoom = (): Refusal =>
  new Refusal(
    'OOM command not allowed: clients have queued, watched and subscribed to as much as may be kept for them',
  );
export const replyTooLong = (most: number): Refusal =>
  new Refusal(`OOM command not allowed: its reply would be too long, ${most} bytes are allowed`);
export const syntaxError = (): Refusal => new Refusal('ERR syntax error');
export const wrongArity = (name: string): Refusal => new Refusal(`ERR wrong number of arguments for '${name}' command`);
