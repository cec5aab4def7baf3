import { drainCommand } from '../drain.ts';

/** `tessera node drain ID`: has central give a node no new work. */
export const command = drainCommand({
  drained: true,
  description:
    'Central gives a node no new work, so that it can be stopped: the node finishes what it was given. This stays so, also ' +
    'after a restart of central, until `tessera node resume`.',
  examples: [['node drain pi-3', 'pi-3 finishes its work and gets no more']],
  said: 'gets no new work',
});
