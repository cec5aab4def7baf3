import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Epochs, SILENT_MS } from '../../../shared/node/epochs.ts';
import { MAX_EPOCH } from '../../../shared/protocol/epoch.ts';

/** If one of these fails, one message makes a node ignore its central, or two centrals use one node. */

const REAL = 1763650000;

function following(epoch: number, central = 'hall'): Epochs {
  const epochs = new Epochs();
  epochs.claimed(central, { state: 'active', epoch });
  expect(epochs.enter(epoch, 0)).toMatchObject({ counts: true, isNew: true });
  return epochs;
}

describe("where centrals' statuses are visible", () => {
  test("an epoch that no central claims does not count, however high, and central's next message does", () => {
    fc.assert(
      fc.property(fc.integer({ min: REAL + 1, max: Number.MAX_SAFE_INTEGER }), (epoch) => {
        const epochs = following(REAL);
        expect(epochs.enter(epoch, 1)).toMatchObject({ counts: false });
        expect(epochs.enter(REAL, 2)).toMatchObject({ counts: true, isNew: false });
      }),
    );
  });

  test('a new leader counts once it has claimed its epoch, and the one before no more', () => {
    const epochs = following(REAL);
    epochs.claimed('attic', { state: 'claiming', epoch: REAL + 1 });
    expect(epochs.enter(REAL, 1)).toMatchObject({ counts: true });
    expect(epochs.enter(REAL + 1, 2)).toMatchObject({ counts: true, isNew: true });
    // Messages of the relieved central, which it sent late or before a pause.
    for (const at of [3, 4, SILENT_MS / 2]) expect(epochs.enter(REAL, at)).toMatchObject({ counts: false });
    expect(epochs.enter(REAL + 1, SILENT_MS)).toMatchObject({ counts: true, isNew: false });
    expect(epochs.enter(REAL, SILENT_MS + 5)).toMatchObject({ counts: false });
  });

  test('a central whose clock was set back and whose state was lost is followed from its first message', () => {
    const epochs = following(REAL);
    epochs.claimed('hall', { state: 'active', epoch: 12 });
    const verdict = epochs.enter(12, 1);
    expect(verdict).toMatchObject({ counts: true, isNew: true });
    expect(verdict).toHaveProperty('note');
    expect(epochs.followed).toBe(12);
  });

  test('a claim above the highest valid epoch is ignored', () => {
    const epochs = following(REAL);
    epochs.claimed('evil', { state: 'active', epoch: MAX_EPOCH + 1 });
    expect(epochs.enter(MAX_EPOCH + 1, 1)).toMatchObject({ counts: false });
    expect(epochs.enter(MAX_EPOCH + 1, 10 * SILENT_MS)).toMatchObject({ counts: false });
  });

  test('a withdrawn claim counts no more', () => {
    const epochs = following(REAL);
    epochs.claimed('attic', { state: 'active', epoch: REAL + 9 });
    epochs.claimed('attic', { state: 'lost', epoch: 0 });
    expect(epochs.enter(REAL + 9, 1)).toMatchObject({ counts: false });
  });
});

test("where no central's status is visible, the highest epoch counts", () => {
  const epochs = new Epochs();
  for (const epoch of [7, 9]) expect(epochs.enter(epoch, 0)).toMatchObject({ counts: true, isNew: true });
  expect(epochs.enter(8, 0)).toMatchObject({ counts: false });
});

test.each([
  ['seen', true],
  ['not seen', false],
])(
  'whatever messages came before, a central that keeps sending is followed in the end (centrals are %s)',
  (_, seen) => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 0, max: MAX_EPOCH }), fc.boolean()), { maxLength: 20 }),
        (past) => {
          const epochs = new Epochs();
          for (const [k, [epoch, claims]] of past.entries()) {
            if (seen && claims) epochs.claimed(`evil-${k}`, { state: 'active', epoch });
            epochs.enter(epoch, k);
          }
          if (seen) epochs.claimed('hall', { state: 'active', epoch: REAL });
          epochs.enter(REAL, 100);
          expect(epochs.enter(REAL, 100 + SILENT_MS)).toMatchObject({ counts: true });
          expect(epochs.followed).toBe(REAL);
        },
      ),
    );
  },
);
