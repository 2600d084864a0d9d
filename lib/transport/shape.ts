/**
 * Makes a check whether an object has all methods and all numbers that are used of it.
 *
 * @param methods Their names.
 * @param figures The names of the numbers.
 */
export function shape<T extends object>(
  methods: readonly (keyof T)[],
  figures: readonly (keyof T)[],
): (value: object | null | undefined) => value is T {
  /** The prototype of the last object that passed the check: nearly always all have the same. */
  let known: object | null | undefined;
  return (value): value is T => {
    if (value === null || value === undefined) return false;
    const prototype: object | null = Object.getPrototypeOf(value);
    if (prototype === known) return true;
    const has = value as Partial<Record<keyof T, unknown>>;
    const fits =
      methods.every((name) => typeof has[name] === 'function') &&
      figures.every((name) => typeof has[name] === 'number');
    if (fits) known = prototype;
    return fits;
  };
}
