// The names of `sluice/admin`: a port for those who run a server. A server without it loads none of this.

export { admin } from './admin.ts';
export type {
  AdminActionEvent,
  AdminEvent,
  AdminFailedEvent,
  AdminListeningEvent,
  AdminRefusedEvent,
} from './events.ts';
export type { AdminLimits, AdminOptions, LimitName, MetricsSource } from './options.ts';
