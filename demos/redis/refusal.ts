/** Why a command was not executed. The message is sent to the client: a code and a sentence. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
}

export const wrongType = (): Refusal =>
  new Refusal('WRONGTYPE Operation against a key holding the wrong kind of value');
export const noRoom = (): Refusal =>
  new Refusal('OOM command not allowed: the limit for what clients queue, watch and subscribe to is reached');
export const replyTooLong = (most: number): Refusal =>
  new Refusal(`OOM command not allowed: its reply would be longer than ${most} bytes`);
export const syntaxError = (): Refusal => new Refusal('ERR syntax error');
export const wrongArity = (name: string): Refusal => new Refusal(`ERR wrong number of arguments for '${name}' command`);
