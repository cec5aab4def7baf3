import { expect, it } from 'vitest';
import { Turns } from '../../../shared/node/turns.ts';

it('actions of one key run in order, whether those before fail; other keys do not wait', async () => {
  const turns = new Turns();
  const ran: string[] = [];
  let go = (): void => {};
  const first = turns.take('a', () => {
    ran.push('a1');
    return new Promise<void>((_, reject) => {
      go = () => reject(new Error('a1 failed'));
    });
  });
  const second = turns.take('a', async () => ran.push('a2'));
  expect(await turns.take('b', async () => ran.push('b1'))).toBe(2);
  expect(ran).toEqual(['a1', 'b1']);
  go();
  await expect(first).rejects.toThrow('a1 failed');
  expect(await second).toBe(3);
});
