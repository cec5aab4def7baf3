import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compareDecisions, readExpected } from '../../../bench/accuracy/expected.ts';

describe('answers of PyTorch', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tessera-expected-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  const read = async (answers: unknown) => {
    const file = join(folder, 'answers.json');
    await writeFile(file, JSON.stringify(answers));
    return readExpected(file);
  };

  it('are read as training writes them, with exits and without', async () => {
    expect(await read([3, 1])).toEqual([
      { answer: 3, exit: null },
      { answer: 1, exit: null },
    ]);
    expect(await read({ answers: [3, 1], exits: [0, null] })).toEqual([
      { answer: 3, exit: 0 },
      { answer: 1, exit: null },
    ]);
  });

  it('are compared by class and by exit separately: the same class from another exit is no agreement on exits', async () => {
    const expected = await read({ answers: [3, 1, 2], exits: [0, null, 1] });
    const decided = [
      { answer: 3, exit: null },
      { answer: 2, exit: null },
      { answer: 2, exit: 1 },
    ];
    expect(compareDecisions(decided, expected)).toEqual({ answers: 2, exits: 2, left: 1 });
    expect(compareDecisions(decided.slice(0, 1), expected)).toEqual({ answers: 1, exits: 0, left: 0 });
  });
});
