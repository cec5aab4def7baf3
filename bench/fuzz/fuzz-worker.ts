import { openSync, writeSync } from 'node:fs';
import { corpusOf } from './corpus.ts';
import { runTarget } from './engine.ts';
import { TARGETS } from './targets.ts';

/**
 * One target in a process of its own, so that a crash or hang ends only this process. The number of each input is
 * written to a file before it is run, for the report of a crash.
 */
const [name, seed, from, inputs, seconds, progress] = process.argv.slice(2);
const target = TARGETS.find((one) => one.name === name)!;
const file = openSync(progress!, 'w');
const number = new BigInt64Array(1);
const bytes = new Uint8Array(number.buffer);

const tally = await runTarget(target, {
  seed: Number(seed),
  from: Number(from),
  inputs: Number(inputs),
  seconds: Number(seconds),
  corpus: corpusOf(target.name),
  onInput: (index) => {
    number[0] = BigInt(index);
    writeSync(file, bytes, 0, 8, 0);
  },
});
const findings = tally.findings.map((one) => ({ ...one, input: Buffer.from(one.input).toString('base64') }));
process.send!({ ...tally, findings }, () => process.exit(0));
