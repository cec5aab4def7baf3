import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Timers } from '../../../central/coordinator/timers.ts';

test('behaves like a map of deadlines whose earliest is taken, whatever is moved and cleared', () => {
  const step = fc.record({
    kind: fc.constantFrom('set', 'set', 'set', 'clear', 'take'),
    name: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
    at: fc.integer({ min: 0, max: 20 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
      const timers = new Timers<string>();
      const model = new Map<string, number>();
      for (const { kind, name, at } of steps) {
        if (kind === 'set') {
          timers.set(name, at, name);
          model.set(name, at);
        } else if (kind === 'clear') {
          timers.clear(name);
          model.delete(name);
        } else {
          const earliest = Math.min(...model.values());
          const taken = timers.take(at);
          if (earliest > at) expect(taken).toBeUndefined();
          else {
            expect(model.get(taken!)).toBe(earliest);
            model.delete(taken!);
          }
        }
        expect(timers.next()).toBe(model.size === 0 ? undefined : Math.min(...model.values()));
        expect(timers.has(name)).toBe(model.has(name));
      }
    }),
  );
});
