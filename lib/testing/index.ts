export { MemoryClient, type MemoryClientOptions, MemoryNetwork } from './memory.ts';
