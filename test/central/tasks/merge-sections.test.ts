import { describe, expect, it } from 'vitest';
import { mergeSections } from '../../../central/tasks/merge-sections.ts';
import { sectionsOf } from '../../../shared/model/sections.ts';
import type { Prediction } from '../../../shared/protocol/messages/result.ts';

/** Two halves of a picture of 180x100 that share 20 columns: 0 to 100 and 80 to 180; and the whole. */
const picture = { width: 180, height: 100 };
const sections = sectionsOf({ rows: 1, columns: 2, overlap: 0.2, whole: true }, picture);

const at = (label: string, score: number, ...box: [number, number, number, number]): Prediction => ({
  label,
  score,
  box,
});
const merged = (left: Prediction[], right: Prediction[], whole: Prediction[] = []) =>
  mergeSections([left, right, whole], sections, picture, 0.45).predictions;

describe('mergeSections', () => {
  it('moves boxes to where their section lies', () => {
    expect(sections[1]).toMatchObject({ left: 80, width: 100 });
    expect(merged([], [at('a', 0.8, 30, 10.25, 60, 50)])).toEqual([at('a', 0.8, 110, 10.3, 140, 50)]);
  });

  it('names an object once that two sections see whole in what they share', () => {
    expect(merged([at('a', 0.7, 83, 10, 96, 30)], [at('a', 0.9, 3, 10, 17, 31)])).toEqual([
      at('a', 0.9, 83, 10, 97, 31),
    ]);
  });

  it('prefers the uncut box of an object to the part that the other section sees, also where that has the better score', () => {
    // The left half ends at 100: its box is cut there.
    expect(merged([at('a', 0.95, 85, 10, 100, 30)], [at('a', 0.6, 5, 10, 35, 30)])).toEqual([
      at('a', 0.6, 85, 10, 115, 30),
    ]);
  });

  it('prefers the whole picture for an object that is larger than what sections share', () => {
    const parts = [at('a', 0.9, 20, 10, 100, 90)];
    expect(merged(parts, [at('a', 0.9, 0, 10, 60, 90)], [at('a', 0.7, 20, 10, 140, 90)])).toEqual([
      at('a', 0.7, 20, 10, 140, 90),
    ]);
  });

  it('keeps objects of other labels, apart from one another, or both of one section', () => {
    const left = [at('a', 0.9, 83, 10, 96, 30), at('a', 0.8, 84, 10, 97, 30)];
    const right = [at('b', 0.7, 3, 10, 16, 30), at('a', 0.6, 40, 10, 60, 30)];
    expect(merged(left, right).map(({ label, score }) => [label, score])).toEqual([
      ['a', 0.9],
      ['a', 0.8],
      ['b', 0.7],
      ['a', 0.6],
    ]);
  });

  it("does not call a box at the picture's own edge cut", () => {
    // Uncut, it stays beside a large box that contains it.
    expect(merged([at('a', 0.5, 0, 0, 10, 10)], [], [at('a', 0.9, 0, 0, 90, 90)])).toHaveLength(2);
  });

  it('puts the best first, and names it', () => {
    const answer = mergeSections(
      [[at('a', 0.5, 5, 5, 9, 9)], [at('b', 0.8, 50, 5, 60, 9)], []],
      sections,
      picture,
      0.45,
    );
    expect(answer.top).toEqual({ label: 'b', score: 0.8 });
    expect(mergeSections([[], [], []], sections, picture, 0.45)).toEqual({ top: null, predictions: [] });
  });
});
