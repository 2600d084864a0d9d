export { MemoryClient, type MemoryClientOptions } from './memoryClient.ts';
export { MemoryNetwork } from './memoryNetwork.ts';
