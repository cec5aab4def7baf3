import { drainCommand } from '../drain.ts';

/** `tessera node resume ID`: has central give a drained node work again. */
export const command = drainCommand({
  drained: false,
  description: 'Central gives a node work again that was drained.',
  examples: [['node resume pi-3', 'pi-3 gets work again']],
  said: 'gets work again',
});
