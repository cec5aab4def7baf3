import {
  type CandidateContext,
  type HeadCandidate,
  implausible,
  type TrialOutput,
  type TrialOutputs,
  type Verdict,
  withoutLeadingOnes,
} from './candidate.ts';
import { shortly } from './judge-boxes.ts';

/** Candidates with one value per class: [1, classes] with any axes of size 1. */

const seen = (look: TrialOutputs, name: string): ArrayLike<number> =>
  look.find((output) => output.name === name)!.values;
const sumOf = (values: ArrayLike<number>) => Array.from(values).reduce((a, b) => a + b, 0);
const isProbability = (value: number) => value >= -1e-3 && value <= 1 + 1e-3;

function probabilities(values: ArrayLike<number>, mustSumTo1: boolean): Verdict {
  const wrong = Array.from(values).find((value) => !isProbability(value));
  if (wrong !== undefined) return implausible(`${shortly(wrong)} would be a probability`);
  const sum = sumOf(values);
  if (mustSumTo1 && Math.abs(sum - 1) > 1e-2) return implausible(`the probabilities would sum to ${shortly(sum)}`);
  return { doubt: 0 };
}

function logits(values: ArrayLike<number>): Verdict {
  const list = Array.from(values);
  const wrong = list.find((value) => !Number.isFinite(value));
  if (wrong !== undefined) return implausible(`${wrong} would be the value of a class`);
  const norm = Math.sqrt(sumOf(list.map((value) => value * value)));
  if (Math.abs(norm - 1) < 1e-3)
    return implausible('its values are a vector of length 1: a description of the picture, no classes');
  if (list.every(isProbability) && list.some((value) => value !== 0))
    return implausible('all values lie between 0 and 1, but the network does not end as a classifier does');
  return { doubt: 0 };
}

/** Operators whose results are probabilities. */
const PROBABLE = new Set(['Softmax', 'Sigmoid', 'HardSigmoid']);

/** Interpretations of an output [1, classes] as that of a classifier. */
export function classCandidates(output: TrialOutput, context: CandidateContext): HeadCandidate[] {
  const sizes = withoutLeadingOnes(output.shape).filter((size) => size !== 1);
  if (output.shape[0] !== 1 || sizes.length > 1) return [];
  const classes = sizes[0] ?? 1;
  if (/embed|feature|descriptor/i.test(output.name)) return [];
  const base = {
    task: 'classify',
    tensors: [],
    // ImageNet with a background class in front has 1001.
    background: classes === 1001 ? 0 : null,
    classCount: classes === 1 ? 2 : classes,
  } as const;
  const operator = context.lastOperator(output.name);
  if (operator !== undefined && PROBABLE.has(operator))
    return [
      {
        name: 'probabilities of classes',
        head: { ...base, decoder: 'softmax', certain: true },
        judge: (look) => probabilities(seen(look, output.name), operator === 'Softmax'),
      },
    ];
  // A single number can mean anything: a probability before its sigmoid, an age, a distance.
  if (classes === 1 || operator === 'BatchNormalization' || operator === 'LpNormalization') return [];
  return [
    {
      name: 'probabilities of classes',
      head: { ...base, decoder: 'softmax', certain: false },
      judge: (look) => probabilities(seen(look, output.name), true),
    },
    {
      name: 'values of classes',
      head: { ...base, decoder: 'logits', certain: false },
      judge: (look) => logits(seen(look, output.name)),
    },
  ];
}
