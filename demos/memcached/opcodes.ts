/** The commands of the binary protocol, in the form that is not quiet: it is always answered. */
export const Opcode = {
  get: 0x00,
  set: 0x01,
  add: 0x02,
  replace: 0x03,
  delete: 0x04,
  increment: 0x05,
  decrement: 0x06,
  quit: 0x07,
  flush: 0x08,
  noop: 0x0a,
  version: 0x0b,
  getk: 0x0c,
  append: 0x0e,
  prepend: 0x0f,
  stat: 0x10,
  touch: 0x1c,
  gat: 0x1d,
  gatk: 0x23,
} as const;

/**
 * Each quiet opcode, and that of the same command in the form that is not quiet. A quiet command is answered only if the outcome
 * is not the expected one.
 */
const QUIET: ReadonlyMap<number, number> = new Map([
  [0x09, Opcode.get],
  [0x0d, Opcode.getk],
  [0x11, Opcode.set],
  [0x12, Opcode.add],
  [0x13, Opcode.replace],
  [0x14, Opcode.delete],
  [0x15, Opcode.increment],
  [0x16, Opcode.decrement],
  [0x17, Opcode.quit],
  [0x18, Opcode.flush],
  [0x19, Opcode.append],
  [0x1a, Opcode.prepend],
  [0x1e, Opcode.gat],
  [0x24, Opcode.gatk],
]);

/** The statuses of replies. */
export const Status = {
  ok: 0x00,
  notFound: 0x01,
  exists: 0x02,
  tooLarge: 0x03,
  invalid: 0x04,
  notStored: 0x05,
  nonNumeric: 0x06,
  auth: 0x20,
  unknown: 0x81,
  noMemory: 0x82,
} as const;

/** The form of a command that is not quiet. */
export function nonQuiet(opcode: number): number {
  return QUIET.get(opcode) ?? opcode;
}

/** Whether a command is a quiet form. */
export function isQuiet(opcode: number): boolean {
  return QUIET.has(opcode);
}

/**
 * Whether the parts of a request have the lengths that its command requires.
 *
 * @returns `undefined` if there is no such command.
 */
export function wellFormed(opcode: number, extras: number, key: number, value: number): boolean | undefined {
  switch (nonQuiet(opcode)) {
    case Opcode.version:
    case Opcode.noop:
    case Opcode.quit:
      return extras === 0 && key === 0 && value === 0;
    case Opcode.flush:
      return key === 0 && value === 0 && (extras === 0 || extras === 4);
    case Opcode.set:
    case Opcode.add:
    case Opcode.replace:
      return extras === 8 && key > 0;
    case Opcode.get:
    case Opcode.getk:
    case Opcode.delete:
      return extras === 0 && key > 0 && value === 0;
    case Opcode.increment:
    case Opcode.decrement:
      return extras === 20 && key > 0 && value === 0;
    case Opcode.append:
    case Opcode.prepend:
      return extras === 0 && key > 0;
    case Opcode.stat:
      return extras === 0 && value === 0;
    case Opcode.touch:
    case Opcode.gat:
    case Opcode.gatk:
      return extras === 4 && key > 0 && value === 0;
    default:
      return undefined;
  }
}

/** Whether a command stores its value. */
export function stores(opcode: number): boolean {
  const command = nonQuiet(opcode);
  return (
    command === Opcode.append || command === Opcode.prepend || (command >= Opcode.set && command <= Opcode.replace)
  );
}
