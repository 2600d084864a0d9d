/** What tells values of one instrument apart. The names are those of OpenTelemetry where it has one. */
export type Attributes = Readonly<Record<string, string | number>>;

/** Receives the values of an instrument. */
export type Report = (value: number, attributes?: Attributes) => void;

/** What all instruments have. */
interface Described {
  readonly name: string;
  /** By UCUM, as OpenTelemetry has it: `s`, `By`, and in braces what is counted. */
  readonly unit: string;
  readonly description: string;
  /** The names of its attributes, besides those of the server. */
  readonly attributes: readonly string[];
}

/** An instrument that is read: it costs nothing until then. */
export interface Instrument<Source> extends Described {
  /** Whether it only grows, or its values can be added up, or neither. */
  readonly kind: 'counter' | 'upDownCounter' | 'gauge';
  read(source: Source, report: Report): void;
}

/** Reads an instrument. What cannot be read is not reported: a collection without one value is better than none. */
export function readTo<Source>(report: Report, instrument: Instrument<Source>, source: Source): void {
  try {
    instrument.read(source, report);
  } catch {
    // An event that a user has made may lack what those of the library have.
  }
}

/** An instrument whose values are recorded one by one. */
export interface HistogramInstrument extends Described {
  readonly kind: 'histogram';
  /** The upper bounds of its buckets, ascending. */
  readonly bounds: readonly number[];
}
