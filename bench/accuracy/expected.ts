import { readFile } from 'node:fs/promises';

/**
 * A network's answer to one picture: its class, and the index in `exits` of model.yaml of the exit that was taken
 * (null: none).
 */
export interface Decision {
  readonly answer: number;
  readonly exit: number | null;
}

/** answers.json of training: the classes alone, or with the exits that were taken. */
type Answers = readonly number[] | { readonly answers: readonly number[]; readonly exits: readonly (number | null)[] };

/** Reads PyTorch's answers to the test pictures, in their order. */
export async function readExpected(file: string): Promise<readonly Decision[]> {
  const read = JSON.parse(await readFile(file, 'utf8')) as Answers;
  if (!('exits' in read)) return read.map((answer) => ({ answer, exit: null }));
  return read.answers.map((answer, at) => ({ answer, exit: read.exits[at] ?? null }));
}

/** Counts over pictures. */
export interface Agreement {
  /** Pictures with the same class. */
  readonly answers: number;
  /** Pictures that ended at the same exit, or at none in both. */
  readonly exits: number;
  /** Pictures that ended at an exit. */
  readonly left: number;
}

/** Compares answers with the expected ones; only as many expected ones as there are answers. */
export function compareDecisions(decided: readonly Decision[], expected: readonly Decision[]): Agreement {
  const count = (holds: (decision: Decision, at: number) => boolean): number => decided.filter(holds).length;
  return {
    answers: count(({ answer }, at) => answer === expected[at]!.answer),
    exits: count(({ exit }, at) => exit === expected[at]!.exit),
    left: count(({ exit }) => exit !== null),
  };
}

/** The agreement in words, for people. */
export function agreementLine({ answers, exits, left }: Agreement, pictures: number, hasExits: boolean): string {
  const agrees = `agrees with PyTorch on ${answers} of ${pictures} pictures`;
  if (!hasExits) return agrees;
  return `${agrees}, on the exit for ${exits}; ${((100 * left) / pictures).toFixed(1)} % leave early`;
}
