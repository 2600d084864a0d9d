/** Which Redis this one speaks like: clients look at it to know what they may ask. */
export const VERSION = '7.0.15';
