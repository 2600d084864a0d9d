/** The version of Redis that this server imitates. Clients read it to decide which commands they may send. */
export const VERSION = '7.0.15';
