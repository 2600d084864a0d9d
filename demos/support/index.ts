/** What the demos share: command line, log, status line, and the formats of numbers and errors. */
export { administered, movable } from './administered.ts';
export { after, every } from './after.ts';
export { address, bytes, count, duration, paint, rate } from './format.ts';
export { type LoggerOptions, logger } from './logger.ts';
export { type PortOptions, type PortSettings, portOptions, portSettings } from './portOptions.ts';
export { type AddressOptions, type NumberRange, numberOption, type ProgramOptions, program } from './program.ts';
export { codeOf, oneLine, reason } from './reason.ts';
export { type ServerLimits, serverLimits, serverOptions } from './serverOptions.ts';
export { shown } from './shown.ts';
export { type StatusLine, statusLine } from './statusLine.ts';
export { Traffic } from './traffic.ts';
